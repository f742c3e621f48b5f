//! What operators are told: who invalidated, which page was missed, and what caching is worth.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::any;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{Dashboard, FragmentCache, ManualClock, Options, Signal};

use crate::support::{app, ask, cache, get, invalidate, put};

const STUCK: Duration = Duration::from_secs(60);

/// Pages of genres that are cached with their queries, and the dashboard of their cache.
fn site(layer: CacheLayer, dashboard: Dashboard) -> Router {
    let page = any(|request: axum::extract::Request| async move {
        let language = request.headers().get("accept-language").cloned();
        let vary = if request.uri().path() == "/genre/foreign" { "accept-language" } else { "" };
        ([("vary", vary)], format!("{} {language:?}", request.uri()))
    });
    Router::new().route("/genre/{name}", page).layer(layer).nest_service("/cache", dashboard.router())
}

fn pages(cache: &FragmentCache) -> CacheLayer {
    CacheLayer::new(cache).ttl(Duration::from_secs(60))
}

/// The cells of a table's rows, without markup.
fn rows(page: &str) -> Vec<Vec<String>> {
    let body = page.split_once("<tbody>").map_or("", |(_, rest)| rest.split("</tbody>").next().unwrap());
    let text = |cell: &str| {
        let mut out = String::new();
        for part in cell.split('<') {
            out += part.split_once('>').map_or(part, |(_, text)| text);
        }
        crate::support::unescaped(out.trim())
    };
    let cells = |row: &str| row.split("</t").filter(|cell| cell.contains("<t")).map(text).collect();
    body.split("<tr>").skip(1).map(cells).collect()
}

/// Who made the newest invalidation, as the page of events says.
async fn newest(app: &Router) -> String {
    let page = get(app, "/cache/events?kind=invalidated").await.text;
    rows(&page).first().unwrap_or_else(|| panic!("no event: {page}")).last().unwrap().clone()
}

#[tokio::test]
async fn an_invalidation_says_who_made_it() {
    let cache = cache();
    let app = site(pages(&cache), Dashboard::new(&cache).allow_invalidation());
    cache.invalidate_tag("t");
    assert_eq!(newest(&app).await, "by the application's code");
    cache.clear();
    assert_eq!(newest(&app).await, "by the application's code");

    // A click, whatever it is about.
    put(&cache, "a", "text");
    for fields in [
        &[("kind", "tag"), ("value", "films")][..],
        &[("kind", "key"), ("as", "text"), ("value", "a")],
        &[("kind", "page"), ("value", "/genre/drama")],
        &[("kind", "template"), ("value", "index.html")],
        &[("kind", "namespace"), ("namespace", "blog")],
        &[("kind", "everything")],
    ] {
        cache.invalidate_tag("between");
        invalidate(&app, fields).await;
        assert_eq!(newest(&app).await, "by an operator on this dashboard", "{fields:?}");
    }

    // A request that changed something, by whatever unsafe method; one that failed changed nothing.
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        cache.invalidate_tag("between");
        ask(&app, method.clone(), "/genre/drama", &[]).await;
        assert_eq!(newest(&app).await, "by a request that changed something there", "{method}");
    }
    cache.invalidate_tag("between");
    get(&app, "/genre/drama").await;
    assert_eq!(newest(&app).await, "by the application's code");

    static SAVED: Signal<u32> = Signal::new("film saved");
    cache.on_signal(&SAVED, |film| [format!("film:{film}")]);
    SAVED.send(&7);
    assert_eq!(newest(&app).await, "by the signal \"film saved\"");
}

#[cfg(feature = "watch")]
#[tokio::test]
async fn a_watched_file_is_named_as_the_cause() {
    let cache = cache();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("films.json");
    std::fs::write(&file, "one").unwrap();
    let _watched = cache.watch_file(&file).unwrap().invalidates("films");
    let app = app(Dashboard::new(&cache));
    let events = cache.subscribe();
    std::fs::write(&file, "another one").unwrap();
    let event = tokio::task::spawn_blocking(move || events.wait(STUCK)).await.unwrap();
    assert!(event.is_some());
    assert_eq!(newest(&app).await, "by a watched file that changed");
}

#[cfg(feature = "shared")]
#[tokio::test]
async fn another_node_is_told_of_and_the_echo_of_this_one_is_not() {
    let store = minijinja_cache::LocalStore::new();
    let node = || FragmentCache::builder().shared(store.clone()).build().unwrap();
    let (here, there) = (node(), node());
    let deadline = std::time::Instant::now() + STUCK;
    while ![&here, &there].iter().all(|node| node.shared_status().unwrap().in_touch) {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let app = app(Dashboard::new(&here));
    let events = here.subscribe();
    // The own invalidations are confirmed, so that their echo was heard.
    here.invalidate_tag("ours").await.unwrap();
    here.clear().await.unwrap();
    there.invalidate_tag("theirs").await.unwrap();
    let told = tokio::task::spawn_blocking(move || [(); 3].map(|()| events.wait(STUCK).unwrap())).await.unwrap();
    let by = told.map(|event| format!("{:?}", event.what));
    assert!(by[0].contains("by: Call") && by[1].contains("by: Call"), "{by:?}");
    assert!(by[2].contains("Hashes(1)") && by[2].contains("by: Node"), "{by:?}");
    assert_eq!(newest(&app).await, "by another node");
}

#[tokio::test]
async fn pages_of_one_path_are_told_apart_by_their_queries() {
    let cache = cache();
    let dashboard = || Dashboard::new(&cache);
    let hidden = site(pages(&cache), dashboard());
    let open = app(dashboard().show_keys(true));
    for page in 1..=30 {
        get(&hidden, &format!("/genre/drama?page={page}")).await;
    }
    get(&hidden, "/genre/drama").await;

    // By their hashes where keys are not shown, and the query is nowhere: it may hold a token.
    for (path, column) in [("/cache/misses", 3), ("/cache/entries", 1)] {
        let text = get(&hidden, path).await.text;
        let rows = rows(&text);
        let mut hashes: Vec<&String> = rows.iter().map(|row| &row[column]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert!(hashes.len() >= 31, "{path}: {} hashes of {} rows", hashes.len(), rows.len());
        assert!(!text.contains("page=") && !text.contains("example.org"), "{path}: {text}");
    }
    // By the query itself where they are.
    for path in ["/cache/misses", "/cache/entries", "/cache/entries?q=page=17&by=key"] {
        let text = get(&open, path).await.text;
        assert!(text.contains("&#x2f;genre&#x2f;drama&quot;] ?page=17<"), "{path}: {text}");
    }
    // A page was never stored before; it is no variant of another one.
    let reasons = cache.miss_reasons();
    assert_eq!((reasons.get("cold"), reasons.get("other-variant")), (Some(&31), None), "{reasons:?}");
    // The link of a miss leads to its entry.
    let misses = get(&hidden, "/cache/misses").await.text;
    let link = misses.split("entries?by=key&amp;q=").nth(1).unwrap().split('"').next().unwrap();
    assert!(!rows(&get(&hidden, &format!("/cache/entries?by=key&q={link}")).await.text).is_empty());
}

#[tokio::test]
async fn what_differs_by_a_header_or_a_cookie_is_a_variant_of_its_page() {
    let cache = cache();
    let app = site(pages(&cache).key_cookies(["theme"]), Dashboard::new(&cache));
    let visit = async |headers: &[(&str, &str)]| ask(&app, Method::GET, "/genre/foreign?page=2", headers).await;
    visit(&[("accept-language", "en")]).await;
    visit(&[("accept-language", "de")]).await;
    visit(&[("accept-language", "en"), ("cookie", "theme=dark")]).await;
    let reasons = cache.miss_reasons();
    assert_eq!((reasons["cold"], reasons["other-variant"]), (1, 2), "{reasons:?}");
}

#[tokio::test]
async fn a_page_is_still_invalidated_with_every_query() {
    let cache = cache();
    let app = site(pages(&cache), Dashboard::new(&cache).allow_invalidation());
    let visit = async || {
        let before = cache.stats().misses;
        for query in ["", "?page=1", "?page=2"] {
            get(&app, &format!("/genre/drama{query}")).await;
        }
        cache.stats().misses - before
    };
    let entry = async || {
        let page = get(&app, "/cache/entries").await.text;
        page.split("entry?id=").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    visit().await;
    assert_eq!(visit().await, 0);
    cache.invalidate(("example.org", "/genre/drama"));
    assert!(visit().await >= 3);
    cache.invalidate_page("/genre/drama");
    assert!(visit().await >= 3);
    ask(&app, Method::POST, "/genre/drama?page=7", &[]).await;
    assert!(visit().await >= 3);
    assert_eq!(visit().await, 0);
    let reply = invalidate(&app, &[("kind", "key"), ("entry", &entry().await)]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert!(visit().await >= 3);
}

/// The warning of the only fragment, if it has one.
async fn hint(cache: &FragmentCache) -> String {
    let page = get(&app(Dashboard::new(cache)), "/cache/fragments").await.text;
    page.split("class=\"hint").nth(1).map_or_else(String::new, |rest| rest.split('<').next().unwrap().to_owned())
}

fn look_up(cache: &FragmentCache, key: u32, options: Options) {
    cache.get_or_set(key, options.label("card"), || Ok::<_, Infallible>("text")).unwrap();
}

#[tokio::test]
async fn a_cold_start_is_no_reason_to_warn() {
    let cache = cache();
    for key in 0..500 {
        look_up(&cache, key, Options::default());
    }
    // Nor are variants that were not asked for before.
    for visitor in 0..100 {
        look_up(&cache, 1, Options::default().vary(visitor));
    }
    let hint_after_start = hint(&cache).await;
    assert!(!hint_after_start.contains("Rarely hit"), "{hint_after_start}");
    // A few that come again say nothing either way.
    for key in 0..10 {
        look_up(&cache, key, Options::default());
    }
    assert!(!hint(&cache).await.contains("Rarely hit"));
}

#[tokio::test]
async fn keys_that_were_seen_before_and_are_not_there_are_warned_about() {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).build().unwrap();
    for _ in 0..10 {
        for key in 0..10 {
            look_up(&cache, key, Options::ttl(Duration::from_secs(1)));
        }
        clock.advance(Duration::from_secs(2));
    }
    let expired = hint(&cache).await;
    assert!(expired.contains("Rarely hit"), "{expired}");

    let cache = crate::support::cache();
    for _ in 0..10 {
        for key in 0..10 {
            look_up(&cache, key, Options::default().tag("films"));
        }
        cache.invalidate_tag("films");
    }
    assert!(hint(&cache).await.contains("Rarely hit"));
}

#[tokio::test]
async fn first_misses_are_counted_with_the_fragment() {
    let cache = cache();
    for key in [1, 2, 1, 3] {
        look_up(&cache, key, Options::default());
    }
    cache.invalidate(2);
    look_up(&cache, 2, Options::default());
    look_up(&cache, 1, Options::default().vary("de"));
    let stats = &cache.fragment_stats()[0];
    assert_eq!((stats.hits, stats.misses, stats.first_misses), (1, 5, 4));
}

#[test]
fn a_miss_keeps_its_key_to_itself_until_it_is_asked() {
    let cache = cache();
    let miss = |key: &str| {
        cache.get_or_set(key, Options::default().label("card"), || Ok::<_, Infallible>("text")).unwrap();
        cache.recent_misses().remove(0)
    };
    assert_eq!(miss("ada@example.org").key_text().as_deref(), Some("\"ada@example.org\""));
    // Of what is long only the beginning is kept, which is none of a key.
    assert_eq!(miss(&"long".repeat(1000)).key_text().as_deref(), Some("?"));
    let miss = miss("bob@example.org");
    let shown = format!("{miss:?} {miss:#?} {}", serde_json::to_string(&miss).unwrap());
    let bytes = format!("{:?}", "bob".as_bytes());
    assert!(!shown.contains("bob@") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}
