//! A real browser on the example application. What it showed is kept as pictures beside the other test files.

use std::path::PathBuf;

use crate::servers::{Chromium, Seen, Tab};
use crate::site::Catalogue;

/// A picture of the tab for people to look at.
pub(crate) fn picture(tab: &Tab, name: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("web");
    std::fs::create_dir_all(&folder).unwrap();
    tab.screenshot(folder.join(name).with_extension("png"));
}

pub(crate) fn sign_in(tab: &Tab, catalogue: &Catalogue, name: &str) {
    tab.open(&catalogue.url("/login"));
    tab.fill("form.sheet input[name=name]", name);
    tab.follow("form.sheet button");
    assert_eq!(tab.evaluate("location.pathname"), "/watchlist");
}

/// Nothing went wrong, and nobody else was asked anything.
pub(crate) fn check(tab: &Tab, catalogue: &Catalogue) {
    assert_eq!(tab.console_errors(), Vec::<String>::new());
    let requests = tab.requests();
    assert!(requests.iter().all(|it| it.url.starts_with(&catalogue.url("/"))), "{requests:?}");
}

fn seen<'a>(requests: &'a [Seen], url: &str) -> Vec<&'a Seen> {
    requests.iter().filter(|it| it.url == url).collect()
}

/// The page's words without those of the frame around it.
fn content(tab: &Tab) -> String {
    tab.text("main")
}

#[test]
fn a_second_visit_is_confirmed_and_shows_the_page() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    let front = catalogue.url("/");
    tab.open(&front);
    let words = content(&tab);
    assert!(words.contains("3,200 films") && words.contains("Best rated directors"), "{words}");
    picture(&tab, "front page");
    check(&tab, &catalogue);
    assert_eq!(seen(&tab.requests(), &front)[0].status, 200);
    for path in ["/film/10", "/genre/drama"] {
        tab.open(&catalogue.url(path));
        picture(&tab, &format!("anonymous {}", path.replace('/', " ").trim()));
    }
    tab.forget();
    let arrived = catalogue.log().len();
    for (path, expected) in [("/", words.as_str()), ("/film/10", "IMDb"), ("/genre/drama", "Drama")] {
        tab.open(&catalogue.url(path));
        assert!(content(&tab).contains(expected), "{path}");
        let requests = tab.requests();
        let page = seen(&requests, &catalogue.url(path))[0];
        assert!(page.status == 304 && !page.from_disk_cache, "{page:?}");
    }
    // The style sheet is the browser's for an hour.
    let sheets: Vec<Seen> = tab.requests().into_iter().filter(|it| it.url.ends_with(".css")).collect();
    assert!(!sheets.is_empty() && sheets.iter().all(|it| it.from_disk_cache || it.from_memory_cache), "{sheets:?}");
    let arrivals = &catalogue.log().all()[arrived..];
    assert!(arrivals.len() == 3 && arrivals.iter().all(|it| it.conditional && it.status == 304), "{arrivals:?}");
    check(&tab, &catalogue);
}

#[test]
fn an_edit_made_in_the_browser_shows_at_once_wherever_the_film_is() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    sign_in(&tab, &catalogue, "Ada Lovelace");
    tab.open(&catalogue.url("/genre/drama"));
    let film = tab.evaluate("document.querySelector('main a[href^=\"/film/\"]').href");
    let film = film.as_str().unwrap().to_owned();
    tab.open(&film);
    let old = tab.text("h1");
    tab.follow("form[action$='/watch'] button");
    for path in ["/", "/watchlist"] {
        tab.open(&catalogue.url(path));
    }
    assert!(content(&tab).contains(&old));
    tab.open(&film);
    tab.follow("a[href$='/edit']");
    picture(&tab, "edit form");
    tab.fill("form.sheet input[name=title]", "The Edit <b> & After");
    tab.follow("form.sheet button");
    assert_eq!(tab.evaluate("location.href"), film.as_str());
    assert_eq!(tab.text("h1"), "The Edit <b> & After");
    picture(&tab, "edited film");
    for path in ["/genre/drama", "/watchlist"] {
        tab.open(&catalogue.url(path));
        let words = content(&tab);
        assert!(words.contains("The Edit <b> & After") && !words.contains(&format!("{old}\n")), "{path}: {words}");
        picture(&tab, &format!("after the edit {}", path.replace('/', " ").trim()));
    }
    // In a browser that has never been here, too.
    let other = Chromium::start();
    let stranger = other.tab();
    stranger.open(&film);
    assert_eq!(stranger.text("h1"), "The Edit <b> & After");
    check(&tab, &catalogue);
    check(&stranger, &catalogue);
}

#[test]
fn a_form_that_is_wrong_says_so_beside_the_field() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    sign_in(&tab, &catalogue, "Ada");
    tab.open(&catalogue.url("/film/10/edit"));
    tab.fill("form.sheet input[name=imdb]", "eleven");
    tab.follow("form.sheet button");
    assert!(tab.text(".fault").contains("not a number from 1 to 10"));
    picture(&tab, "edit form with a fault");
    check(&tab, &catalogue);
}

#[test]
fn two_browsers_show_two_visitors_their_own() {
    let catalogue = Catalogue::start();
    let browsers = [("Ada", Chromium::start()), ("Berthold", Chromium::start())];
    let visitors = browsers.each_ref().map(|(name, chromium)| (*name, chromium.tab()));
    for (at, (name, tab)) in visitors.iter().enumerate() {
        sign_in(tab, &catalogue, name);
        tab.open(&catalogue.url(&format!("/film/{}", 10 + at)));
        tab.follow("form[action$='/watch'] button");
    }
    for path in ["/", "/film/10", "/film/11", "/genre/drama", "/watchlist", "/film/10/edit", "/login"] {
        for _ in 0..2 {
            for (name, tab) in &visitors {
                tab.open(&catalogue.url(path));
                let page = tab.evaluate("document.documentElement.outerHTML");
                let page = page.as_str().unwrap();
                assert_eq!(tab.text("nav.who b"), *name, "{path}");
                let other = if *name == "Ada" { "Berthold" } else { "Ada" };
                assert!(!page.contains(other), "{path} shows {name} what is of {other}");
            }
        }
    }
    let [(_, ada), (_, berthold)] = &visitors;
    ada.open(&catalogue.url("/watchlist"));
    berthold.open(&catalogue.url("/watchlist"));
    assert_ne!(content(ada), content(berthold));
    picture(ada, "watch-list of Ada");
    visitors.iter().for_each(|(_, tab)| check(tab, &catalogue));
}

/// Goes there as the browser's buttons do; such a page may be one the browser kept alive, which does not load again.
fn travel(tab: &Tab, by: &str, to: &str) {
    tab.evaluate(&format!("void setTimeout(() => history.{by}())"));
    tab.wait_until(&format!("location.pathname === '{to}' && document.readyState === 'complete'"));
}

#[test]
fn back_and_forward_show_ones_own_and_after_signing_out_the_front_page_is_everybodys() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&catalogue.url("/"));
    assert_eq!(tab.text("nav.who a"), "Sign in");
    sign_in(&tab, &catalogue, "Ada");
    for path in ["/film/10", "/genre/drama"] {
        tab.open(&catalogue.url(path));
    }
    for (by, to) in [("back", "/film/10"), ("back", "/watchlist"), ("forward", "/film/10"), ("forward", "/genre/drama")]
    {
        travel(&tab, by, to);
        assert_eq!(tab.text("nav.who b"), "Ada", "{by} to {to}");
    }
    picture(&tab, "signed in genre");
    tab.open(&catalogue.url("/"));
    assert_eq!(tab.text("nav.who b"), "Ada");
    tab.follow("nav.who button");
    for _ in 0..2 {
        assert_eq!(tab.evaluate("location.pathname"), "/");
        assert_eq!(tab.text("nav.who a"), "Sign in");
        assert!(!tab.evaluate("document.documentElement.outerHTML").as_str().unwrap().contains("Ada"));
        tab.open(&catalogue.url("/"));
    }
    picture(&tab, "signed out");
    // Whatever the browser kept of before: what is typed again is asked again.
    tab.open(&catalogue.url("/film/10"));
    assert_eq!(tab.text("nav.who a"), "Sign in");
    check(&tab, &catalogue);
}

#[test]
fn pages_that_are_not_there_look_like_pages() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&catalogue.url("/nowhere"));
    assert!(content(&tab).contains("no page at this address"));
    picture(&tab, "not found");
}
