//! What a visitor who has a page already costs: no handler and no query.

use crate::http::{Client, Reply};
use crate::site::Catalogue;
use crate::visit::Browser;

const PAGES: [&str; 5] = ["/", "/genre/drama", "/film/10", "/api/genres", "/api/film/10"];

struct Visit {
    reply: Reply,
    queries: u64,
}

/// Asks as a browser does that has what is under this entity tag.
fn visit(catalogue: &Catalogue, browser: &Browser, path: &str, tag: &str) -> Visit {
    let before = catalogue.app.db.queries();
    let request = Client::new(catalogue.address()).get(path).header("If-None-Match", tag);
    let reply = match &browser.cookie {
        Some(cookie) => request.header("Cookie", cookie).send(),
        None => request.send(),
    };
    Visit { reply, queries: catalogue.app.db.queries() - before }
}

/// What the debug mode says of all queries since the start, its own request included.
fn queries_so_far(catalogue: &Catalogue) -> u64 {
    let page = Browser::default().get(catalogue.address(), "/?debug");
    let timing = page.reply.headers.all("server-timing").join(", ");
    let (text, _) = timing.split_once(" so far").expect("the queries");
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_visitor_who_has_the_page_is_told_so_without_handler_or_query() {
    let (cached, plain) = (Catalogue::start(), Catalogue::with(false, |router, _| router));
    let mut saved = Vec::new();
    for name in [Some("Ada"), None] {
        let (mut here, mut there) = (Browser::default(), Browser::default());
        if let Some(name) = name {
            here.sign_in(cached.address(), name);
            there.sign_in(plain.address(), name);
        }
        for path in PAGES {
            let first = here.get(cached.address(), path);
            let tag = first.header("etag").to_owned();
            assert!(!tag.is_empty(), "{path}: {:?}", first.reply.headers);
            for _ in 0..3 {
                let again = visit(&cached, &here, path, &tag);
                assert_eq!(again.reply.status, 304, "{path}: {:?}", again.reply.headers);
                assert_eq!(again.queries, 0, "{path}");
                assert!(again.reply.body.is_empty() && again.reply.header("etag") == Some(&tag));
                // Nor was a handler asked that needs no query.
                let did = again.reply.header("cache-status").unwrap();
                assert!(did.starts_with("minijinja-cache; hit"), "{path}: {did}");
            }
            let without = visit(&plain, &there, path, &tag);
            // It may be told so too, but only once the page is made.
            assert!(without.queries > 0, "{path}");
            saved.push((name.unwrap_or("nobody"), path, without.queries));
        }
    }
    for (who, path, queries) in &saved {
        println!("{path} for {who}: 0 queries instead of {queries}");
    }
}

#[test]
fn debugging_shows_that_pages_which_come_from_the_cache_ask_nothing() {
    let catalogue = Catalogue::debugged();
    let mut ada = Browser::default();
    ada.sign_in(catalogue.address(), "Ada");
    let page = |ada: &mut Browser| {
        let answer = ada.get(catalogue.address(), "/film/10");
        assert_eq!(answer.status, 200);
        answer.reply.headers.all("server-timing").join(", ")
    };
    assert!(page(&mut ada).contains("miss-cold"));
    // The first look fills the sections of the front page.
    queries_so_far(&catalogue);
    let before = queries_so_far(&catalogue);
    for _ in 0..10 {
        let timing = page(&mut ada);
        assert!(timing.contains("sql;desc=\"0 queries") && timing.contains("cache;desc=\"1 hit\""), "{timing}");
    }
    assert_eq!(queries_so_far(&catalogue), before);
    ada.toggle(catalogue.address(), 10);
    assert!(queries_so_far(&catalogue) > before);
    let timing = page(&mut ada);
    assert!(timing.contains("miss-tag-invalidated;desc=\"1: /film/{id}\""), "the button says something else: {timing}");
}
