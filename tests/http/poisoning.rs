//! Text of one client reaches no other: neither in the URI, nor in headers that handlers are known to print.

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderMap, Method};
use axum::middleware::map_request;
use axum::routing::get;
use minijinja_cache::http::{CacheLayer, Query};

use crate::support::{App, answer, cache, request, seconds};

fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(name).iter().next_back().map(|line| line.to_str().unwrap())
}

#[tokio::test]
async fn a_request_with_two_hosts_bypasses_the_cache() {
    let (cache, _) = cache();
    // The header counts for more than the address, as frameworks have it.
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, request| {
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        answer(&[], last(request.headers(), "host").unwrap_or(authority).to_owned())
    });
    for host in ["evil.example", "example.org.evil.example", "example.org:81"] {
        let evil = app.send_request(request("https://example.org/", &[("host", host)])).await;
        assert_eq!(evil.header("cache-status").as_deref(), Some("minijinja-cache; fwd=bypass; detail=ambiguous"));
        assert_eq!(app.send_request(request("https://example.org/", &[])).await.text(), "example.org", "{host}");
    }
}

#[tokio::test]
async fn a_page_for_a_repeated_host_or_forwarding_header_is_not_served_to_others() {
    for name in ["host", "forwarded", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), move |_, request| {
            let lines = request.headers().get_all(name).iter().map(|line| line.to_str().unwrap());
            answer(&[], lines.collect::<Vec<_>>().join("|"))
        });
        let twice = request("/", &[(name, "host=good"), (name, "host=evil")]);
        assert_eq!(app.send_request(twice).await.text(), "host=good|host=evil");
        for once in ["host=good", "host=evil"] {
            assert_eq!(app.send_request(request("/", &[(name, once)])).await.text(), once, "{name}");
        }
        assert_eq!(app.send_request(request("/", &[])).await.text(), "", "{name}");
    }
}

/// The host that a proxy names, read as leniently as frameworks do.
fn forwarded_host(headers: &HeaderMap) -> Option<String> {
    let first = last(headers, "forwarded")?.split(',').next()?;
    first.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("host").then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[tokio::test]
async fn every_spelling_of_a_forwarded_host_is_keyed() {
    for evil in [
        "host =evil.example, for=192.0.2.1",
        "for=192.0.2.1;host =evil.example",
        "for=192.0.2.1; HOST = \"evil.example\"",
        "host\t=evil.example",
        "for=\"192.0.2.1;host=evil.example\"",
        "for=192.0.2.1;host=evil.example, for=192.0.2.2;host=good.example",
    ] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, request| {
            answer(&[], forwarded_host(request.headers()).unwrap_or("none".to_owned()))
        });
        assert_eq!(app.get("/", &[("forwarded", evil)]).await.text(), "evil.example");
        assert_eq!(app.get("/", &[("forwarded", "for=192.0.2.7")]).await.text(), "none", "{evil}");
        assert_eq!(app.get("/", &[("forwarded", "host=good.example")]).await.text(), "good.example", "{evil}");
        assert_eq!(app.get("/", &[]).await.text(), "none", "{evil}");
    }
}

#[tokio::test]
async fn no_extractor_shows_an_unkeyed_parameter() {
    let handler = async |OriginalUri(original): OriginalUri, request: Request| format!("{original} {}", request.uri());
    for (name, query) in [("ignore", Query::ignore(["utm"])), ("only", Query::only(["page"]))] {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60)).query(query);
        let app = App::of(Router::new().route("/list", get(handler)).layer(layer), Default::default());
        app.get("/list?page=2&utm=evil", &[]).await;
        let page = app.get("/list?page=2", &[]).await;
        assert!(page.is_hit(), "{name}");
        assert_eq!(page.text(), "/list?page=2 /list?page=2", "{name}");
        app.get("/list?utm=evil", &[]).await;
        assert_eq!(app.get("/list", &[]).await.text(), "/list /list", "{name}");
        // A bypassed handler does not see more than that of a stored page.
        let part = app.get("/list?utm=evil&page=3", &[("range", "bytes=0-")]).await;
        assert_eq!(part.text(), "/list?page=3 /list?page=3", "{name}");
    }
}

#[tokio::test]
async fn what_something_on_the_way_made_of_an_address_tells_pages_apart() {
    let (cache, _) = cache();
    let to_tenant = map_request(async |mut request: Request| {
        let tenant = last(request.headers(), "x-tenant").unwrap();
        *request.uri_mut() = format!("/{tenant}{}", request.uri().path()).parse().unwrap();
        request
    });
    let router = Router::new().fallback(async |request: Request| request.uri().to_string());
    let app = App::of(router.layer(CacheLayer::new(&cache).ttl(seconds(60))).layer(to_tenant), Default::default());
    for _ in 0..2 {
        assert_eq!(app.get("/a", &[("x-tenant", "one")]).await.text(), "/one/a");
        assert_eq!(app.get("/a", &[("x-tenant", "two")]).await.text(), "/two/a");
    }
}

#[tokio::test]
async fn a_sorted_query_keeps_the_order_of_equal_encoded_names() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).query(Query::Sorted), |_, request| {
        answer(&[], request.uri().query().unwrap().to_owned())
    });
    for (one, other) in [("%61=2&a=1", "a=1&%61=2"), ("a%62=2&ab=1", "ab=1&a%62=2"), ("a+b=2&a%20b=1", "a%20b=1&a+b=2")]
    {
        for query in [one, other] {
            assert_eq!(app.get(&format!("/?{query}"), &[]).await.text(), query);
        }
    }
}

#[tokio::test]
async fn a_public_page_contains_nothing_of_an_ignored_cookie() {
    let twice: &[(&str, &str)] = &[("x-forwarded-host", "a"), ("x-forwarded-host", "b")];
    let ways: [&[(&str, &str)]; 6] = [
        &[],
        &[("range", "bytes=0-")],
        &[("cache-control", "no-store")],
        &[("upgrade", "websocket")],
        &[("authorization", "Basic YTpi")],
        twice,
    ];
    for headers in ways {
        for control in [None, Some("public, max-age=60")] {
            let (cache, _) = cache();
            let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies(), move |_, request| {
                let seen = last(request.headers(), "cookie").unwrap_or("none").to_owned();
                control.map_or_else(|| answer(&[], seen.clone()), |it| answer(&[("cache-control", it)], seen.clone()))
            });
            let headers = [headers, &[("cookie", "sid=ada")]].concat();
            for method in [Method::GET, Method::HEAD, Method::GET] {
                let reply = app.send(method, "/", &headers).await;
                let private = reply.header("cache-control").unwrap().contains("private");
                let split = reply.header("vary").is_some_and(|vary| vary.contains("cookie"));
                assert!(private || split || !reply.text().contains("ada"), "{headers:?} {reply:?}");
            }
            assert_eq!(app.get("/", &[]).await.text(), "none", "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_response_to_head_is_not_stored() {
    let (cache, _) = cache();
    let handler = get(|| async { "the page" }).head(|| async { [("x-cheap", "1")] });
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/", handler).layer(layer), Default::default());
    for _ in 0..2 {
        let head = app.send(Method::HEAD, "/", &[]).await;
        assert_eq!(head.header("cache-status").as_deref(), Some("minijinja-cache; fwd=bypass; detail=head"));
    }
    let page = app.get("/", &[]).await;
    assert_eq!((page.text(), page.is_hit()), ("the page", false));
    assert!(app.send(Method::HEAD, "/", &[]).await.is_hit());
}

#[tokio::test]
async fn a_get_or_head_with_a_body_is_not_stored() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| answer(&[], n.to_string()));
    for method in [Method::GET, Method::HEAD] {
        let request = Request::builder().method(method).uri("/").body(Body::from("evil")).unwrap();
        let reply = app.send_request(request).await;
        assert_eq!(reply.header("cache-status").as_deref(), Some("minijinja-cache; fwd=bypass; detail=body"));
    }
    assert_eq!(cache.stats().stores, 0);
}
