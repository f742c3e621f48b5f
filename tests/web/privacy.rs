//! nginx in front, and who may see what: nothing of one visitor ever reaches another one.

use std::net::SocketAddr;

use minijinja_cache::http::CacheLayer;

use crate::proxy::{in_front_of, stored};
use crate::site::Catalogue;
use crate::visit::{Answer, Browser, csrf, title_of};

const PAGES: [&str; 11] = [
    "/",
    "/genre/drama",
    "/film/10",
    "/film/20",
    "/film/10/edit",
    "/watchlist",
    "/login",
    "/api/genres",
    "/api/film/10",
    "/api/watchlist",
    "/nowhere",
];

/// Somebody, and what nobody else may see.
struct Person {
    browser: Browser,
    name: &'static str,
    secrets: Vec<String>,
}

impl Person {
    fn signed_in(at: SocketAddr, name: &'static str, film: u32) -> Person {
        let mut browser = Browser::default();
        browser.sign_in(at, name);
        browser.toggle(at, film);
        let page = browser.page(at, &format!("/film/{film}"));
        let session = browser.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
        Person { browser, name, secrets: vec![name.to_owned(), csrf(&page), session] }
    }

    fn stranger(cookie: Option<&str>) -> Person {
        Person { browser: Browser { cookie: cookie.map(str::to_owned) }, name: "", secrets: Vec::new() }
    }

    fn is_signed_in(&self) -> bool {
        !self.name.is_empty()
    }

    /// Without keeping what cookies are set: a stranger stays one.
    fn visit(&self, at: SocketAddr, path: &str) -> Answer {
        self.browser.clone().get(at, path)
    }
}

/// Every order of so many.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let inserted =
        shorter.iter().flat_map(|order| (0..count).map(|at| [&order[..at], &[count - 1], &order[at..]].concat()));
    inserted.collect()
}

/// The films each has on the list, by their titles.
struct Lists {
    ten: String,
    twenty: String,
}

fn check(people: &[Person], who: usize, path: &str, answer: &Answer, lists: &Lists) {
    let (person, place) = (&people[who], format!("{path}, {who} of the visitors"));
    let all = format!("{:?}\n{}", answer.reply.headers, answer.body);
    for (other, secrets) in people.iter().enumerate().map(|(at, person)| (at, &person.secrets)) {
        if other != who {
            assert!(!secrets.iter().any(|secret| all.contains(secret)), "{place} sees {other}'s: {all}");
        }
    }
    if !person.is_signed_in() {
        assert!(!answer.body.contains("Signed in"), "{place}: {all}");
        // The form to sign in has a token, which must be nobody else's.
        assert!(path.starts_with("/login") || !answer.body.contains("name=\"csrf\""), "{place}: {all}");
        return;
    }
    assert_ne!(answer.header("x-proxy-cache"), "HIT", "{place}: {all}");
    let page = answer.header("content-type").starts_with("text/html") && answer.status == 200;
    if page {
        assert!(answer.body.contains(&format!("<b>{}</b>", person.name)), "{place}: {all}");
        assert_eq!(csrf(&answer.body), person.secrets[1], "{place}");
    }
    if path.contains("watchlist") {
        let (own, others) =
            if person.name == "Ada" { (&lists.ten, &lists.twenty) } else { (&lists.twenty, &lists.ten) };
        assert!(answer.body.contains(own) && !answer.body.contains(others), "{place}: {all}");
    }
}

/// Everybody visits every page in every order, and again; `seen` is told of each answer, and whether its visitor has a
/// cookie.
fn visit_in_every_order(at: SocketAddr, mut seen: impl FnMut(&Answer, bool)) {
    let people = [
        Person::signed_in(at, "Ada", 10),
        Person::signed_in(at, "Berthold", 20),
        Person::stranger(None),
        Person::stranger(Some("theme=dark")),
    ];
    let mut anybody = Browser::default();
    let title = |page: String| title_of(&page).to_owned();
    let lists = Lists { ten: title(anybody.page(at, "/film/10")), twenty: title(anybody.page(at, "/film/20")) };
    for (round, order) in orders(people.len()).into_iter().enumerate() {
        // The part that nobody reads has every order meet caches that have nothing, and then what it put there.
        for path in PAGES.map(|path| format!("{path}?round={round}")) {
            for _ in 0..2 {
                for &who in &order {
                    let answer = people[who].visit(at, &path);
                    check(&people, who, &path, &answer, &lists);
                    seen(&answer, people[who].browser.cookie.is_some());
                }
            }
        }
    }
}

#[test]
fn nobody_ever_sees_what_is_anothers_in_any_order() {
    let catalogue = Catalogue::start();
    let nginx = in_front_of(&catalogue);
    let (mut kept, first) = (None, stored(&nginx));
    visit_in_every_order(nginx.address(), |answer, cookies| {
        let before = kept.replace(stored(&nginx)).unwrap_or_else(|| stored(&nginx));
        let public = !cookies && answer.header("cache-control").contains("public");
        assert!(kept == Some(before) || public, "kept: {:?}", answer.reply.headers);
    });
    assert!(stored(&nginx) > first + 24, "what is everybody's is kept");
}

#[test]
fn nor_with_a_layer_around_everything_that_was_told_nothing() {
    let catalogue = Catalogue::with(true, |router, cache| {
        router.layer(CacheLayer::new(&cache.namespace("around")).cache_status(Some("around")))
    });
    let mut hits = 0;
    visit_in_every_order(catalogue.address(), |answer, cookies| {
        let hit = answer.reply.headers.all("cache-status").iter().any(|line| line.starts_with("around; hit"));
        assert!(!(hit && cookies), "what is everybody's is for those without cookies: {:?}", answer.reply.headers);
        hits += usize::from(hit);
    });
    assert!(hits > 24, "what is everybody's is kept");
}

#[test]
fn what_was_everybodys_is_not_shown_to_who_signs_in_nor_ones_own_after_signing_out() {
    let catalogue = Catalogue::start();
    let nginx = in_front_of(&catalogue);
    let at = nginx.address();
    let mut ada = Browser::default();
    let anonymous = ada.page(at, "/");
    ada.sign_in(at, "Ada");
    for _ in 0..2 {
        assert!(ada.page(at, "/").contains("Signed in as <b>Ada</b>"));
    }
    let before = ada.clone();
    let token = csrf(&ada.page(at, "/"));
    assert_eq!(ada.post(at, "/logout", &[("csrf", &token)]).status, 303);
    assert_eq!(ada.cookie, None);
    assert_eq!(ada.page(at, "/"), anonymous);
    // Somebody who kept the cookie of the session that ended is nobody, too.
    assert!(!before.clone().page(at, "/").contains("Ada"));
    assert_eq!(before.clone().get(at, "/watchlist").status, 303);
}

#[test]
fn a_stylesheet_is_kept_once_for_all() {
    let catalogue = Catalogue::start();
    let nginx = in_front_of(&catalogue);
    let ada = Person::signed_in(nginx.address(), "Ada", 10);
    let before = stored(&nginx);
    assert_eq!(ada.visit(nginx.address(), "/style.css").header("x-proxy-cache"), "MISS");
    let stranger = Person::stranger(Some("theme=dark"));
    assert_eq!(stranger.visit(nginx.address(), "/style.css").header("x-proxy-cache"), "HIT");
    assert_eq!(Person::stranger(None).visit(nginx.address(), "/style.css").header("x-proxy-cache"), "HIT");
    assert_eq!(stored(&nginx), before + 1);
}
