//! A real browser after an edit: whatever it kept of a page, it shows the edited one, by navigation and by `fetch`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::header::CACHE_CONTROL;
use axum::response::Html;
use axum::routing::get;
use minijinja_cache::FragmentCache;
use minijinja_cache::http::CacheLayer;

use crate::servers::{Chromium, Tab};
use crate::site::{Catalogue, Site};
use crate::visit::{Browser, first_film, title_of};

const MINUTE: Duration = Duration::from_secs(60);

/// How a page is read: by its address.
type Read<'a> = &'a dyn Fn(&str) -> String;

/// What a script of the page is given for an address.
fn fetched(tab: &Tab, path: &str) -> String {
    let page = tab.evaluate(&format!("fetch('{path}').then(it => it.text())"));
    page.as_str().unwrap().to_owned()
}

/// What a visitor is shown who goes there.
fn visited(tab: &Tab, site: &str, path: &str) -> String {
    tab.open(&format!("{site}{path}"));
    tab.evaluate("document.documentElement.outerHTML").as_str().unwrap().to_owned()
}

#[test]
fn an_edit_in_the_catalogue_shows_by_navigation_and_by_fetch() {
    let catalogue = Catalogue::start();
    let (chromium, site) = (Chromium::start(), catalogue.url(""));
    let tab = chromium.tab();
    let (mut ada, mut anybody) = (Browser::default(), Browser::default());
    ada.sign_in(catalogue.address(), "Ada");
    let film = first_film(&anybody.page(catalogue.address(), "/genre/drama"));
    let old = title_of(&anybody.page(catalogue.address(), &film)).to_owned();
    let data = film.replace("/film/", "/api/film/");
    let shown = [film.as_str(), "/genre/drama", &data];
    let reads: [(&str, Read<'_>); 2] =
        [("fetch", &|path| fetched(&tab, path)), ("navigation", &|path| visited(&tab, &site, path))];
    let mut title = old;
    // Each way is the first one after an edit, as a page that was asked for again is new to the browser's cache. Nothing
    // is fetched before an edit: the browser would ask again behind that, at a time of its own.
    for (first, name) in ["Edited once", "Edited twice"].into_iter().enumerate() {
        for path in shown {
            assert!(visited(&tab, &site, path).contains(&title), "{path}");
        }
        let edit = ada.edit_of(catalogue.address(), &film, name);
        assert_eq!(ada.save(catalogue.address(), &film, &edit).status, 303);
        for (way, read) in [reads[first], reads[1 - first]] {
            for path in shown {
                let page = read(path);
                assert!(page.contains(name) && !page.contains(&title), "{way} of {path} shows {title}: {page}");
            }
        }
        title = name.to_owned();
    }
}

/// A site of one text, with windows of a route beside its lifetime for browsers: in a page that says nothing itself, in
/// one that names a window, and in one that announces a window beside a lifetime of 0.
fn small(cache: &FragmentCache, text: &Arc<Mutex<&'static str>>) -> Site {
    let page = |control: &'static str| {
        let text = Arc::clone(text);
        get(move || {
            let text = *text.lock().unwrap();
            async move { ([(CACHE_CONTROL, control)], Html(text)) }
        })
    };
    let layer = CacheLayer::new(cache).tag("text").ttl(MINUTE).browser_ttl(Duration::ZERO);
    let router = Router::new()
        .route("/silent", page(""))
        .route("/windowed", page("stale-while-revalidate=60"))
        .route("/announced", page("public, max-age=0, s-maxage=60, stale-while-revalidate=60"))
        .layer(layer.stale_while_revalidate(MINUTE).stale_if_error(MINUTE));
    Site::serve(router)
}

#[test]
fn a_window_that_is_not_announced_is_not_used_by_the_browser() {
    for path in ["/silent", "/windowed"] {
        for way in ["fetch", "navigation"] {
            let cache = FragmentCache::builder().build().unwrap();
            let text = Arc::new(Mutex::new("before"));
            let server = small(&cache, &text);
            let (chromium, site) = (Chromium::start(), format!("http://{}", server.address()));
            let tab = chromium.tab();
            assert!(visited(&tab, &site, path).contains("before"));
            *text.lock().unwrap() = "after";
            cache.invalidate_tag("text");
            let page = if way == "fetch" { fetched(&tab, path) } else { visited(&tab, &site, path) };
            assert!(page.contains("after"), "{way} of {path}: {page}");
        }
    }
}

/// What the layer keeps from its pages: were a browser not to do so, the tests above could not fail.
#[test]
fn a_browser_uses_a_window_that_is_announced() {
    let cache = FragmentCache::builder().build().unwrap();
    let text = Arc::new(Mutex::new("before"));
    let server = small(&cache, &text);
    let (chromium, site) = (Chromium::start(), format!("http://{}", server.address()));
    let tab = chromium.tab();
    assert!(visited(&tab, &site, "/announced").contains("before"));
    *text.lock().unwrap() = "after";
    cache.invalidate_tag("text");
    assert_eq!(fetched(&tab, "/announced"), "before");
}
