//! Settings of a layer that no header could carry are refused when they are set.

use std::sync::{Arc, Mutex};

use minijinja_cache::http::CacheLayer;
use minijinja_cache::{ErrorKind, FragmentCache};

use crate::support::{App, answer, seconds};

/// Names a cookie to a layer.
type Set = fn(CacheLayer, &str) -> CacheLayer;

type Told = Arc<Mutex<Vec<(ErrorKind, String)>>>;

/// A cache and its reports.
fn reporting() -> (FragmentCache, Told) {
    let told = Told::default();
    let heard = Arc::clone(&told);
    let report = move |error: &minijinja_cache::Error| heard.lock().unwrap().push((error.kind(), error.to_string()));
    (FragmentCache::builder().on_error(report).build().unwrap(), told)
}

fn take(told: &Told) -> Vec<(ErrorKind, String)> {
    std::mem::take(&mut *told.lock().unwrap())
}

#[tokio::test]
async fn an_invalid_name_for_cache_status_is_reported_and_ignored() {
    for name in ["a\r\nb", "a\nset-cookie: b", "\0", "a\tb", "\u{7f}", "caf\u{e9}", "\u{1f36a}"] {
        let (cache, told) = reporting();
        let layer = CacheLayer::new(&cache).ttl(seconds(60)).cache_status(Some("edge")).cache_status(Some(name));
        let reports = take(&told);
        let [(kind, message)] = reports.as_slice() else { panic!("one report for {name:?}: {reports:?}") };
        assert_eq!(*kind, ErrorKind::Config);
        assert!(message.starts_with("cache_status: "), "{message}");
        let app = App::new(layer, |_, _| answer(&[], "page"));
        for did in ["edge; fwd=miss; stored", "edge; hit; ttl="] {
            let status = app.get("/", &[]).await.header("cache-status").unwrap();
            assert!(status.starts_with(did), "{name:?}: {status}");
        }
        assert_eq!(take(&told), []);
    }
}

#[tokio::test]
async fn an_invalid_cookie_name_is_reported_and_ignored() {
    let ways: [(&str, Set); 3] = [
        ("session_cookie: ", |layer, name| layer.session_cookie(name)),
        ("key_cookies: ", |layer, name| layer.key_cookies(["lang", name])),
        ("ignore_cookies: ", |layer, name| layer.ignore_cookies([name, "theme"])),
    ];
    for (way, set) in ways {
        for name in ["", "sid=", "a;b", " sid", "a\r\nb"] {
            let (cache, told) = reporting();
            let layer = set(CacheLayer::new(&cache).ttl(seconds(60)), name);
            let reports = take(&told);
            let [(kind, message)] = reports.as_slice() else { panic!("one report for {name:?}: {reports:?}") };
            assert_eq!(*kind, ErrorKind::Config);
            assert!(message.starts_with(way), "{message}");
            // A cookie pair without a name.
            let app = App::new(layer, |n, _| answer(&[], n.to_string()));
            for n in 0..2 {
                assert_eq!(app.get("/", &[("cookie", "=1")]).await.text(), n.to_string(), "{way}{name:?}");
            }
        }
        let (cache, told) = reporting();
        let _ = set(CacheLayer::new(&cache), "__Host-sid[1]");
        assert_eq!(take(&told), []);
    }
}
