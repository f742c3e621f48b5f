//! The cache's own pages in a real browser, on the example application.

use std::convert::Infallible;

use axum::Router;
use minijinja_cache::{Dashboard, FragmentCache, Options};

use crate::browser::{check, picture, sign_in};
use crate::servers::{Chromium, Tab};
use crate::site::{Catalogue, Site};
use crate::visit::Browser;

const PAGES: [&str; 6] = ["overview", "fragments", "misses", "events", "entries", "invalidate"];

/// What would run if anything of it were taken for markup.
const HOSTILE: &str = "\"'></pre><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>";

/// People read, and one of them edits.
fn traffic(catalogue: &Catalogue) {
    let at = catalogue.address();
    let (mut stranger, mut ada) = (Browser::default(), Browser::default());
    ada.sign_in(at, "Ada <b>");
    for _ in 0..3 {
        for path in ["/", "/genre/drama", "/genre/comedy", "/film/10", "/film/11", "/film/12", "/nowhere"] {
            stranger.get(at, path);
            ada.get(at, path);
        }
        ada.toggle(at, 10);
    }
}

fn cache_page(catalogue: &Catalogue, page: &str) -> String {
    catalogue.url(&format!("/cache/{page}"))
}

/// Nothing is wider than the window.
fn fits(tab: &Tab, what: &str) {
    let wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "{what}");
}

#[test]
fn every_page_fits_its_window_in_both_schemes() {
    let catalogue = Catalogue::start();
    traffic(&catalogue);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    for (size, (width, height)) in [("desk", (1280, 900)), ("phone", (390, 844))] {
        for scheme in ["light", "dark"] {
            tab.emulate(width, height, scheme);
            for page in PAGES {
                tab.open(&cache_page(&catalogue, page));
                fits(&tab, page);
                picture(&tab, &format!("dashboard {page} {size} {scheme}"));
            }
            tab.open(&cache_page(&catalogue, "entries?q=film"));
            tab.follow("tbody a");
            fits(&tab, "entry");
            picture(&tab, &format!("dashboard entry {size} {scheme}"));
        }
    }
    check(&tab, &catalogue);
}

#[test]
fn the_chart_moves_with_the_traffic() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&catalogue.url("/cache"));
    assert_eq!(tab.evaluate("location.pathname"), "/cache/overview");
    tab.wait_until("document.querySelector('#live').textContent === 'Live'");
    let line = "document.querySelector('[data-live=\"d:answered_line\"]').getAttribute('d')";
    let hits = "document.querySelector('[data-live=\"text:hits\"]').textContent";
    tab.evaluate(&format!("window.before = {line}"));
    assert_eq!(tab.evaluate(hits), "0");
    traffic(&catalogue);
    tab.wait_until(&format!("{hits} !== '0' && {line} !== window.before"));
    // It stays live after its stream has ended, which is when the browser lists it, and another one has begun.
    tab.wait_until("performance.getEntriesByName(new URL('live', location).href).length > 0");
    tab.evaluate(&format!("window.before = {hits}"));
    traffic(&catalogue);
    tab.wait_until(&format!("{hits} !== window.before && document.querySelector('#live').textContent === 'Live'"));
    picture(&tab, "dashboard live");
    check(&tab, &catalogue);
}

/// Looks for a film's entries, and invalidates them by their tag, which the page of one of them leads to.
fn search_and_invalidate(tab: &Tab, catalogue: &Catalogue) {
    tab.open(&cache_page(catalogue, "entries"));
    tab.fill("input[name=q]", "film:10");
    tab.evaluate("void (document.querySelector('select[name=by]').value = 'tag')");
    tab.follow("form button");
    assert!(tab.text("main").contains("entries") && tab.text("tbody").contains("film:10"));
    tab.follow("tbody a");
    assert!(tab.text("main").contains("Lifetime left") && tab.text("pre").contains('<'));
    tab.open(&cache_page(catalogue, "invalidate"));
    tab.fill("form:has([value=tag]) [name=value]", "film:10");
    tab.follow("form:has([value=tag]) button");
    assert!(tab.text("main").contains("the tag \"film:10\"") && tab.text("main").contains("in memory"));
    picture(tab, "dashboard confirm");
    tab.follow("main form button");
    assert_eq!(tab.evaluate("location.pathname"), "/cache/invalidate");
    assert!(tab.text(".notice").contains("the tag was invalidated"));
    assert!(tab.text("tbody").contains("tag \"film:10\""));
    picture(tab, "dashboard invalidated");
}

#[test]
fn an_operator_finds_an_entry_and_invalidates_it() {
    let catalogue = Catalogue::start();
    traffic(&catalogue);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    let before = catalogue.app.cache.stats().invalidations;
    search_and_invalidate(&tab, &catalogue);
    assert_eq!(catalogue.app.cache.stats().invalidations, before + 1);
    // From an entry's own page, whose key nobody typed.
    tab.open(&cache_page(&catalogue, "entries?q=_card.html"));
    tab.follow("tbody a");
    let entry = tab.evaluate("location.href");
    tab.follow("form[method=post] button");
    assert!(tab.text("main").contains("the key with the hash"));
    tab.follow("main form button");
    assert!(tab.text(".notice").contains("the key was invalidated"));
    tab.open(entry.as_str().unwrap());
    assert!(tab.text(".lead").contains("invalidated"));
    check(&tab, &catalogue);
}

#[test]
fn everything_works_without_a_script() {
    let catalogue = Catalogue::start();
    traffic(&catalogue);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.disable_scripts();
    tab.open(&catalogue.url("/cache/"));
    let words = tab.text("main");
    for said in ["Hit ratio", "Time saved", "Why computed", "cold", "Without a script", "Hits in memory"] {
        assert!(words.contains(said), "{said}: {words}");
    }
    assert_eq!(tab.text("#live"), "Not live");
    assert_ne!(tab.text("[data-live='text:hits']"), "0");
    picture(&tab, "dashboard without script");
    tab.open(&cache_page(&catalogue, "fragments"));
    tab.follow("th:nth-child(8) a");
    assert_eq!(tab.text("th[aria-sort=descending]"), "Misses");
    let misses = "[...document.querySelectorAll('tbody td:nth-child(8)')].map(it => +it.textContent.replace(',', ''))";
    assert_eq!(tab.evaluate(&format!("{misses}.every((it, at, all) => at === 0 || all[at - 1] >= it)")), true);
    search_and_invalidate(&tab, &catalogue);
    check(&tab, &catalogue);
}

#[test]
fn the_keyboard_reaches_the_content_and_every_page() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    tab.open(&cache_page(&catalogue, "overview"));
    let focused = "document.activeElement.textContent.trim()";
    let mut seen = Vec::new();
    for _ in 0..8 {
        tab.press("Tab");
        seen.push(tab.evaluate(focused).as_str().unwrap().to_owned());
    }
    assert_eq!(seen[0], "To the content");
    assert_eq!(seen[2..], ["Overview", "Fragments", "Misses", "Events", "Entries", "Invalidate"]);
    tab.press("Enter");
    tab.wait_until("location.pathname === '/cache/invalidate'");
    check(&tab, &catalogue);
}

#[test]
fn no_value_runs_as_a_script() {
    let cache = FragmentCache::builder().build().unwrap();
    let options = || Options::default().label(HOSTILE).tag(HOSTILE);
    let inside = cache.namespace(HOSTILE);
    inside.get_or_set(HOSTILE, options().markup(), || Ok::<_, Infallible>(HOSTILE)).unwrap();
    cache.get_or_set_value(HOSTILE, options(), || Ok::<_, Infallible>(vec![HOSTILE.to_owned()])).unwrap();
    let dashboard = Dashboard::new(&cache).title(HOSTILE).allow_invalidation().show_keys(true).show_contents(true);
    let site = Site::serve(Router::new().nest_service("/cache", dashboard.router()));
    cache.invalidate_tag(HOSTILE);
    cache.invalidate_template(HOSTILE);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    let untouched = |what: &str| {
        assert_eq!(tab.evaluate("typeof window.ran"), "undefined", "{what}");
        assert_eq!(tab.evaluate("document.querySelectorAll('main img, main script').length"), 0, "{what}");
    };
    for page in PAGES {
        tab.open(&format!("http://{}/cache/{page}", site.address()));
        untouched(page);
    }
    for at in 1..=2 {
        tab.open(&format!("http://{}/cache/entries?first=label", site.address()));
        tab.follow(&format!("tbody tr:nth-child({at}) a"));
        assert!(tab.text("pre").contains("<script>"));
        untouched("entry");
    }
    tab.open(&format!("http://{}/cache/invalidate", site.address()));
    tab.fill("form:has([value=key]) [name=value]", HOSTILE);
    tab.follow("form:has([value=key]) button");
    assert_eq!(tab.text("pre"), HOSTILE);
    untouched("confirm");
    assert_eq!(tab.console_errors(), Vec::<String>::new());
    let base = format!("http://{}/cache/", site.address());
    assert!(tab.requests().iter().all(|it| it.url.starts_with(&base) && !it.url.ends_with("/x")));
}

#[test]
fn a_page_of_another_site_invalidates_nothing() {
    let catalogue = Catalogue::start();
    traffic(&catalogue);
    let token = {
        // The attacker even has a token that is good.
        let form = Browser::default().post(catalogue.address(), "/cache/invalidate", &[("kind", "everything")]).body;
        form.split_once("name=\"token\" value=\"").unwrap().1.split('"').next().unwrap().to_owned()
    };
    let action = cache_page(&catalogue, "invalidate");
    let page = format!(
        "<form method=post action='{action}'><input name=kind value=everything><input name=namespace value=''>\
         <input name=token value='{token}'><button>A prize</button></form>"
    );
    let evil = Router::new().fallback(move || {
        let page = page.clone();
        async move { axum::response::Html(page) }
    });
    // Another port of this machine is another origin on the same site.
    let evil = Site::serve(evil);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    for host in ["127.0.0.1", "localhost"] {
        tab.open(&format!("http://{host}:{}/", evil.address().port()));
        let invalidations = catalogue.app.cache.stats().invalidations;
        tab.follow("button");
        assert!(tab.text("main").contains("another site"), "{host}");
        assert_eq!(catalogue.app.cache.stats().invalidations, invalidations, "{host}");
    }
}

#[test]
fn the_application_links_to_it_and_shows_it_to_this_machine_only() {
    let catalogue = Catalogue::start();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    sign_in(&tab, &catalogue, "Ada");
    tab.open(&catalogue.url("/"));
    tab.follow("footer a");
    assert_eq!(tab.evaluate("location.pathname"), "/cache/overview");
    check(&tab, &catalogue);
    let client = crate::http::Client::new(catalogue.address());
    let visit = |host: &str| client.get("/cache/overview").header("Host", host).send().status;
    let port = catalogue.address().port();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert_eq!((visit(host), visit(&format!("{host}:{port}"))), (200, 200), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:3000", "127.0.0.1.evil.example", "", "10.0.0.1"] {
        assert_eq!(visit(host), 404, "{host}");
    }
}
