//! What is wrong with answers is noticed, named and counted: each site here is spoiled in one way.

use axum::http::{Method, StatusCode};

use crate::generator::check::What;
use crate::generator::report::faults;
use crate::generator::summary::Report;
use crate::spoiled::{Asked, Spoil, spoiled};
use crate::{options, report, run};

/// Visitors who all sign in, and requests enough for several of them to come.
const ALL_SIGNED_IN: &str = "--only pages --seconds 0.1 --warm-up 0 --at-least 150 --connections 4 --visitors 6 \
                             --signed-in 1 --zipf 0.2";
const CHANGING: &str = "--only pages --seconds 0.1 --warm-up 0 --at-least 250 --connections 4 --visitors 6 \
                        --signed-in 1 --zipf 2 --writes 0.3";

fn of(words: &str, spoil: impl Fn(&Asked) -> Spoil + Clone + Send + Sync + 'static) -> Report {
    report(&options(words), |site| spoiled(site, spoil.clone()))
}

/// That nothing but this was noticed, and that the first of it says where, for whom, and what was seen.
fn only(report: &Report, what: What, url: &str, seen: &str) {
    let run = run(report, "pages");
    assert!(!report.is_clean(), "{:?}", run.faults);
    let counts = [(What::Error, run.errors), (What::Leak, run.leaks), (What::Stale, run.stale)];
    for (kind, count) in counts {
        assert_eq!(count > 0, kind == what, "{kind:?}: {count} of {:?}", run.faults);
    }
    assert!(run.faults.len() <= 5, "the first few");
    for fault in &run.faults {
        assert!(fault.url.starts_with(url) && fault.seen.contains(seen), "{fault:?}");
    }
    let told = faults(report);
    assert_eq!(told.lines().count(), run.faults.len(), "{told}");
    let kind = format!("{what:?}").to_lowercase();
    assert!(told.starts_with(&format!("pages: {kind} at {url}")), "{told}");
}

#[test]
fn without_anything_spoiled_nothing_is_wrong() {
    for words in [ALL_SIGNED_IN, CHANGING] {
        let report = of(words, |_| Spoil::Nothing);
        assert!(report.is_clean(), "{}", faults(&report));
        assert!(faults(&report).is_empty() && run(&report, "pages").requests >= 150);
    }
}

#[test]
fn a_page_that_is_kept_for_everybody_is_a_leak() {
    let front = |asked: &Asked| if asked.path == "/" { Spoil::Keep("/".to_owned()) } else { Spoil::Nothing };
    let report = of(&format!("{ALL_SIGNED_IN} --page /"), front);
    only(&report, What::Leak, "/", "the name Reader-");
    let fault = &run(&report, "pages").faults[0];
    assert!(fault.visitor.starts_with("Reader-") && !fault.seen.contains(&fault.visitor), "{fault:?}");
}

#[test]
fn a_name_shown_to_somebody_who_is_not_signed_in_is_a_leak() {
    let words = ALL_SIGNED_IN.replace("--signed-in 1", "--signed-in 0");
    let named = |_: &Asked| Spoil::Rewrite(|page| page.replace("<main", "Reader-000003<main"));
    only(&of(&format!("{words} --page /"), named), What::Leak, "/", "the name Reader-000003");
}

#[test]
fn a_form_of_another_session_is_a_leak_though_no_name_shows() {
    let forged = |asked: &Asked| match asked.path.as_str() {
        "/" => Spoil::Rewrite(|page| page.replace("name=\"csrf\" value=\"", "name=\"csrf\" value=\"0")),
        _ => Spoil::Nothing,
    };
    only(&of(&format!("{ALL_SIGNED_IN} --page /"), forged), What::Leak, "/", "made for another session");
}

#[test]
fn a_film_that_was_never_put_on_the_list_is_a_leak() {
    let listed = |asked: &Asked| match asked.path.as_str() {
        "/watchlist" => Spoil::Rewrite(|page| {
            page.replace("<p class=\"empty\">", "<li class=\"card\"><a href=\"/film/2\"></a></li><p class=\"empty\">")
        }),
        _ => Spoil::Nothing,
    };
    only(&of(ALL_SIGNED_IN, listed), What::Leak, "/watchlist", "the list [2] instead of []");
}

#[test]
fn pages_that_are_kept_for_each_visitor_and_not_invalidated_are_stale() {
    let kept = |asked: &Asked| match asked.path.as_str() {
        path if asked.method == Method::GET && !asked.cookie.is_empty() && lists(path) => {
            Spoil::Keep(format!("{} {path}", asked.cookie))
        }
        _ => Spoil::Nothing,
    };
    let report = of(CHANGING, kept);
    let run = run(&report, "pages");
    assert!(run.stale > 0 && run.leaks == 0 && run.errors == 0, "{:?}", run.faults);
    let of_a_list = |seen: &str| seen.ends_with("his list") || seen.starts_with("the list [");
    assert!(run.faults.iter().any(|fault| lists(&fault.url) && of_a_list(&fault.seen)), "{:?}", run.faults);
}

/// Whether a page shows what is on its visitor's list.
fn lists(path: &str) -> bool {
    path == "/watchlist" || path.starts_with("/film/") && !path.ends_with("/edit")
}

#[test]
fn a_session_that_has_ended_and_still_shows_its_page_is_stale() {
    // Whoever signs out is told that he did.
    let told = |asked: &Asked| if asked.path == "/logout" { Spoil::SeeOther("/") } else { Spoil::Nothing };
    let words = CHANGING.replace("--at-least 250", "--at-least 900").replace("--writes 0.3", "--writes 1");
    let report = of(&words, told);
    let run = run(&report, "pages");
    assert!(run.faults.iter().any(|fault| fault.seen.ends_with("who has signed out")), "{:?}", run.faults);
    assert_eq!(run.leaks, 0, "{:?}", run.faults);
}

#[test]
fn a_list_that_shows_a_title_from_before_an_edit_is_stale() {
    let before = |asked: &Asked| match asked.path.as_str() {
        path if path == "/" || path.starts_with("/genre/") => {
            Spoil::Rewrite(|page| page.replace("Take 1 of film", "Take 0 of film"))
        }
        _ => Spoil::Nothing,
    };
    let words = CHANGING.replace("--at-least 250", "--at-least 900").replace("--writes 0.3", "--writes 1");
    only(&of(&words, before), What::Stale, "/", "edited to \"Take ");
}

#[test]
fn a_status_that_was_not_expected_is_an_error_that_quotes_the_answer() {
    let ill = |asked: &Asked| if asked.path == "/" { Spoil::Status(StatusCode::BAD_GATEWAY) } else { Spoil::Nothing };
    let report = of(&format!("{ALL_SIGNED_IN} --page /"), ill);
    only(&report, What::Error, "/", "status 502: spoiled");
    let run = run(&report, "pages");
    assert_eq!(run.errors, run.requests, "every one of them");
}

#[test]
fn a_page_that_breaks_off_is_an_error() {
    let cut = |asked: &Asked| if asked.path == "/" { Spoil::Cut(1000) } else { Spoil::Nothing };
    only(&of(&format!("{ALL_SIGNED_IN} --page /"), cut), What::Error, "/", "the answer broke off");
    let short = |asked: &Asked| match asked.path.as_str() {
        "/" => Spoil::Rewrite(|page| page[..page.len() - 20].to_owned()),
        _ => Spoil::Nothing,
    };
    only(&of(&format!("{ALL_SIGNED_IN} --page /"), short), What::Error, "/", "bytes that ends with");
}

#[test]
fn another_page_than_the_one_asked_for_is_an_error() {
    let mixed = |asked: &Asked| match asked.path.as_str() {
        path if path.starts_with("/film/") => Spoil::Rewrite(|page| page.replace("<h1>", "<h1>Not ")),
        _ => Spoil::Nothing,
    };
    only(&of(ALL_SIGNED_IN, mixed), What::Error, "/film/", "the title \"Not ");
    let nameless = |asked: &Asked| match asked.path.as_str() {
        "/" => Spoil::Rewrite(|page| page.replace("Reader-", "")),
        _ => Spoil::Nothing,
    };
    only(&of(&format!("{ALL_SIGNED_IN} --page /"), nameless), What::Error, "/", "nobody's name");
    let other = |asked: &Asked| match asked.path.as_str() {
        "/" => Spoil::Rewrite(|page| page.replace("hero", "villain")),
        _ => Spoil::Nothing,
    };
    only(&of(&format!("{ALL_SIGNED_IN} --page /"), other), What::Error, "/", "another page");
}

#[test]
fn a_sign_in_that_fails_counts_though_it_comes_before_the_measuring() {
    let closed = |asked: &Asked| match (&asked.method, asked.path.as_str()) {
        (&Method::POST, "/login") => Spoil::Status(StatusCode::FORBIDDEN),
        _ => Spoil::Nothing,
    };
    let report = of(&format!("{ALL_SIGNED_IN} --page /"), closed);
    only(&report, What::Error, "/login", "status 403");
    assert_eq!(run(&report, "pages").errors, 6, "one for each visitor");
}
