//! The tags of a layer count for all its requests, also for pages that were stored without them.

use std::time::Duration;

use minijinja_cache::FragmentCache;
use minijinja_cache::http::CacheLayer;

use crate::support::{App, answer, cache};

const KEPT: (&str, &str) = ("cache-control", "max-age=600");

fn layer(cache: &FragmentCache) -> CacheLayer {
    CacheLayer::new(cache).ttl(Duration::from_secs(600))
}

#[tokio::test]
async fn a_page_stored_without_the_tag_is_not_served_once_the_layers_tag_is_invalidated() {
    let (cache, _) = cache();
    let before = App::new(layer(&cache), |n, _| answer(&[KEPT], format!("before {n}")));
    let tagged = App::new(layer(&cache).tag("films"), |n, _| answer(&[KEPT], format!("tagged {n}")));
    let by_request = App::new(layer(&cache).tags_by(|request| [format!("page:{}", request.uri.path())]), |n, _| {
        answer(&[KEPT], format!("by request {n}"))
    });
    assert_eq!(before.get("/", &[]).await.text(), "before 0");
    assert_eq!(tagged.get("/", &[]).await.text(), "before 0");
    cache.invalidate_tag("films");
    assert_eq!(before.get("/", &[]).await.text(), "before 0");
    assert_eq!(by_request.get("/", &[]).await.text(), "before 0");
    assert_eq!(tagged.get("/", &[]).await.text(), "tagged 0");
    cache.invalidate_tag("page:/");
    assert_eq!(before.get("/", &[]).await.text(), "tagged 0");
    assert_eq!(by_request.get("/", &[]).await.text(), "by request 0");
    assert_eq!(tagged.get("/", &[]).await.text(), "by request 0");
}

#[tokio::test]
async fn a_vary_index_outlives_the_tags_of_its_pages() {
    let (cache, _) = cache();
    let app = App::new(layer(&cache).tag("films"), |n, request| {
        let language = request.headers().get("accept-language").map_or("", |value| value.to_str().unwrap());
        answer(&[KEPT, ("vary", "accept-language")], format!("{n} {language}"))
    });
    let get = async |language: &str| app.get("/", &[("accept-language", language)]).await.text().to_owned();
    assert_eq!((get("de").await, get("en").await, get("de").await), ("0 de".into(), "1 en".into(), "0 de".into()));
    cache.invalidate_tag("films");
    assert_eq!((get("de").await, get("en").await), ("2 de".into(), "3 en".into()));
    assert_eq!((get("de").await, get("en").await), ("2 de".into(), "3 en".into()));
}
