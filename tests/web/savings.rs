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

/// What the debug panel says of all queries since the start, itself included.
fn queries_so_far(catalogue: &Catalogue) -> u64 {
    let panel = Browser::default().page(catalogue.address(), "/?debug=1");
    let (text, _) = panel.split_once(" queries so far").expect("a panel");
    let number = text.rsplit('>').next().unwrap();
    number.replace(',', "").parse().unwrap()
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
fn the_panel_shows_that_pages_which_are_confirmed_ask_nothing() {
    let catalogue = Catalogue::start();
    let mut ada = Browser::default();
    ada.sign_in(catalogue.address(), "Ada");
    let tag = ada.get(catalogue.address(), "/film/10").header("etag").to_owned();
    // The first look at the panel fills the sections of the front page.
    queries_so_far(&catalogue);
    let before = queries_so_far(&catalogue);
    for _ in 0..10 {
        assert_eq!(visit(&catalogue, &ada, "/film/10", &tag).reply.status, 304);
    }
    assert_eq!(queries_so_far(&catalogue), before);
    ada.toggle(catalogue.address(), 10);
    assert!(queries_so_far(&catalogue) > before);
    assert_eq!(visit(&catalogue, &ada, "/film/10", &tag).reply.status, 200, "the button says something else");
}
