//! No visitor gets a page of another visitor: cookies, credentials, and `Cache-Control` of the page.

use axum::http::Method;
use axum::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION};
use minijinja_cache::http::CacheLayer;

use crate::support::{App, answer, cache, seconds};

/// Prints all headers that may name a visitor, and says that the page is public.
fn personal(control: &'static str) -> impl Fn(usize, &axum::extract::Request) -> axum::response::Response {
    move |n, request| {
        let said = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let text = format!("{n}:{}:{}", said("cookie"), said("authorization"));
        if control.is_empty() { answer(&[], text) } else { answer(&[("cache-control", control)], text) }
    }
}

const ADA: &[(&str, &str)] = &[("cookie", "sid=ada")];
const BOB: &[(&str, &str)] = &[("cookie", "sid=bob")];

#[tokio::test]
async fn a_request_with_cookies_is_neither_stored_nor_served_from_the_cache() {
    let (cache, _) = cache();
    for control in ["public, max-age=60", "s-maxage=60", "max-age=60", ""] {
        let app = App::new(CacheLayer::new(&cache.namespace(control)).ttl(seconds(60)), personal(control));
        assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
        assert_eq!(app.get("/", &[]).await.text(), "1::");
        assert_eq!(app.get("/", BOB).await.text(), "2:sid=bob:");
        let again = app.get("/", ADA).await;
        assert_eq!(again.text(), "3:sid=ada:");
        assert_eq!(again.header("cache-status").as_deref(), Some("minijinja-cache; fwd=bypass; detail=cookie"));
        assert_eq!(app.get("/", &[]).await.text(), "1::", "{control}");
    }
}

#[tokio::test]
async fn the_layers_ttl_does_not_apply_to_a_page_for_one_visitor() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), personal(""));
    assert_eq!(app.get("/", ADA).await.header("cache-control").as_deref(), Some("private, no-cache"));
    let everybodys = app.get("/", &[]).await;
    assert_eq!(everybodys.header("cache-control").as_deref(), Some("public, max-age=60"));
    // Or a cache in front would show it to visitors with cookies.
    assert_eq!(everybodys.header("vary").as_deref(), Some("authorization, cookie"));
}

#[tokio::test]
async fn keyed_cookies_give_each_visitor_their_own_pages() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid"), personal(""));
    for _ in 0..2 {
        assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
        assert_eq!(app.get("/", BOB).await.text(), "1:sid=bob:");
        assert_eq!(app.get("/", &[]).await.text(), "2::");
    }
    let hers = app.get("/", ADA).await;
    assert!(hers.is_hit());
    assert_eq!(hers.header("cache-control").as_deref(), Some("private, no-cache"));
    assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("public, max-age=60"));
    // A cookie that is neither keyed nor ignored may name a visitor.
    assert_eq!(app.get("/", &[("cookie", "sid=ada; cart=7")]).await.text(), "3:sid=ada; cart=7:");
    assert_eq!(app.get("/", &[("cookie", "sid=ada"), ("cookie", "cart=7")]).await.header("age"), None);
    // The handler decides which of two equal cookies counts, so their order is part of the key.
    assert!(!app.get("/", &[("cookie", "sid=ada; sid=bob")]).await.is_hit());
    assert!(!app.get("/", &[("cookie", "sid=bob; sid=ada")]).await.is_hit());
    assert!(!app.get("/", &[("cookie", "sid=ada; sid=")]).await.is_hit());
}

#[tokio::test]
async fn private_pages_are_stored_under_a_visitors_key_only() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).session_cookie("sid"), personal("private, max-age=60"));
    assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
    assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
    // Without the cookie the key names no visitor.
    assert_eq!(app.get("/", &[]).await.text(), "1::");
    assert_eq!(app.get("/", &[]).await.text(), "2::");
}

#[tokio::test]
async fn a_public_page_under_a_visitors_key_is_private_for_downstream_caches() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).session_cookie("sid"), personal("public, max-age=60"));
    for _ in 0..2 {
        let hers = app.get("/", ADA).await;
        assert_eq!(hers.header("cache-control").as_deref(), Some("private, max-age=60"));
    }
}

#[tokio::test]
async fn the_handler_does_not_see_ignored_cookies() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid").ignore_cookies(["_ga", "theme"]);
    let app = App::new(layer, personal(""));
    let tracked = &[("cookie", "_ga=evil; sid=ada;theme=dark")];
    assert_eq!(app.get("/", tracked).await.text(), "0:sid=ada:");
    assert!(app.get("/", ADA).await.is_hit());
    assert_eq!(app.get("/", &[("cookie", "_ga=<script>")]).await.text(), "1::");
    assert!(app.get("/", &[]).await.is_hit());
    // The names are compared whole.
    assert_eq!(app.get("/", &[("cookie", "_ga2=x")]).await.text(), "2:_ga2=x:");
}

#[tokio::test]
async fn a_layer_that_ignores_other_cookies_stores_one_page_for_all_visitors() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies(), personal(""));
    assert_eq!(app.get("/", ADA).await.text(), "0::");
    let his = app.get("/", BOB).await;
    assert_eq!((his.text(), his.header("vary").as_deref()), ("0::", Some("authorization")));
}

#[tokio::test]
async fn credentials_are_answered_from_the_cache_only_if_the_page_allows_it() {
    let basic: &[(&str, &str)] = &[("authorization", "Basic YTpi")];
    for (control, shared) in [
        ("max-age=60", false),
        ("private, max-age=60", false),
        ("public, max-age=60", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
    ] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache), personal(control));
        app.get("/", basic).await;
        assert_eq!(app.get("/", basic).await.is_hit(), shared, "{control}");
        assert_eq!(app.get("/", &[]).await.is_hit(), shared, "{control}");
        // The page was generated for a request without credentials.
        let (cache, _) = crate::support::cache();
        let app = App::new(CacheLayer::new(&cache), personal(control));
        app.get("/", &[]).await;
        assert_eq!(app.get("/", basic).await.is_hit(), shared, "{control}");
    }
}

#[tokio::test]
async fn credentials_can_be_part_of_the_key() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).vary(AUTHORIZATION);
    let app = App::new(layer, personal(""));
    for _ in 0..2 {
        assert_eq!(app.get("/", &[("authorization", "Bearer a")]).await.text(), "0::Bearer a");
        assert_eq!(app.get("/", &[("authorization", "Bearer b")]).await.text(), "1::Bearer b");
        assert_eq!(app.get("/", &[]).await.text(), "2::");
    }
    let one = app.get("/", &[("authorization", "Bearer a")]).await;
    assert_eq!(one.header("cache-control").as_deref(), Some("private, no-cache"));
}

#[tokio::test]
async fn a_value_of_vary_by_is_keyed_and_private_for_downstream_caches() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache)
        .ttl(seconds(60))
        .ignore_other_cookies()
        .vary_by("role", |request| request.headers.get("x-role").map_or("", |role| role.to_str().unwrap()).to_owned());
    let app = App::new(layer, |n, _| answer(&[], n.to_string()));
    for _ in 0..2 {
        assert_eq!(app.get("/", &[("x-role", "admin")]).await.text(), "0");
        assert_eq!(app.get("/", &[]).await.text(), "1");
    }
    assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("private, no-cache"));
}

#[tokio::test]
async fn a_page_that_sets_a_cookie_is_never_stored() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid"), |n, _| {
        answer(&[("set-cookie", "sid=new"), ("cache-control", "public, max-age=60")], n.to_string())
    });
    for n in 0..3 {
        assert_eq!(app.get("/", &[]).await.text(), n.to_string());
    }
    for n in 3..5 {
        assert_eq!(app.get("/", ADA).await.text(), n.to_string());
    }
}

#[tokio::test]
async fn a_get_with_a_body_bypasses_the_cache() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| answer(&[], n.to_string()));
    let with_body = || {
        let request = axum::extract::Request::builder().method(Method::GET).uri("/").header("host", "example.org");
        request.body("poison".into()).unwrap()
    };
    assert_eq!(app.send_request(with_body()).await.text(), "0");
    assert_eq!(app.get("/", &[]).await.text(), "1");
    assert_eq!(app.send_request(with_body()).await.text(), "2");
}

#[tokio::test]
async fn a_private_page_is_not_stored_for_a_cookie_that_names_no_visitor() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).key_cookies(["lang"]), |_, request| {
        answer(&[("cache-control", "private, max-age=60")], format!("{:?}", request.headers().get("x-api-key")))
    });
    for who in ["ada", "bob"] {
        let page = app.get("/", &[("cookie", "lang=en"), ("x-api-key", who)]).await;
        assert_eq!((page.text(), page.is_hit()), (&*format!("Some({who:?})"), false));
    }
}

#[tokio::test]
async fn an_empty_session_cookie_names_no_visitor() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).session_cookie("sid"), personal("private, max-age=60"));
    for (n, cookie) in ["sid=", "sid=", "sid", "sid", "sid=; sid"].iter().enumerate() {
        assert_eq!(app.get("/", &[("cookie", cookie)]).await.text(), format!("{n}:{cookie}:"));
    }
}

#[tokio::test]
async fn a_hit_has_the_keyed_cookies_of_its_request() {
    const COOKIES: &[&[&str]] = &[
        &["sid=1"],
        &["sid=1; sid=2"],
        &["sid=2; sid=1"],
        &["sid=\"1; s=2\""],
        &["sid=\"1", "s=2\""],
        &["s=id=1"],
        &["s= id=1"],
        &["sid =1"],
        &["sid"],
        &["sid="],
        &["_ga=1; sid=1"],
        &["sid=1; _ga=sid=9"],
        &["_ga=\"x; sid=5\""],
        &["sid=1,2"],
        &["sid=1, 2"],
        &[" ; ;sid=1;;"],
    ];
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid").key_cookies(["s"]);
    let app = App::new(layer.ignore_cookies(["_ga"]), personal(""));
    let keyed = |line: &str| {
        let pairs = line.split(';').map(str::trim).filter(|pair| !pair.is_empty());
        let keyed = pairs.filter(|pair| ["sid", "s"].contains(&pair.split('=').next().unwrap().trim()));
        keyed.collect::<Vec<_>>().join("; ")
    };
    for _ in 0..2 {
        for lines in COOKIES {
            let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("cookie", *line)).collect();
            let page = app.get("/", &headers).await;
            assert_eq!(page.text().split(':').nth(1).unwrap(), keyed(&lines.join("; ")), "{lines:?}");
            assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn cookies_of_two_lines_reach_the_handler_in_one_line() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).key_cookies(["a", "b"]), personal(""));
    // HTTP/2 sends each in a line of its own.
    assert_eq!(app.get("/", &[("cookie", "a=1"), ("cookie", "b=2")]).await.text(), "0:a=1; b=2:");
    assert!(app.get("/", &[("cookie", "a=1; b=2")]).await.is_hit());
}

#[tokio::test]
async fn visitors_in_any_order_get_their_own_page() {
    let kinds: [(&[(&str, &str)], &str); 3] =
        [(&[], ":"), (&[("authorization", "Basic YTpi")], ":Basic YTpi"), (ADA, "sid=ada:")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), personal(""));
        for kind in order.into_iter().chain(order) {
            let (headers, expected) = kinds[kind];
            let page = app.get("/", headers).await;
            assert_eq!(page.text().split_once(':').unwrap().1, expected, "{order:?}");
        }
    }
}

#[tokio::test]
async fn a_private_page_names_cookie_and_authorization_in_vary() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).browser_ttl(seconds(30)).session_cookie("sid");
    let app = App::new(layer.vary(ACCEPT_LANGUAGE), personal(""));
    for _ in 0..2 {
        let hers = app.get("/", ADA).await;
        assert_eq!(hers.header("cache-control").as_deref(), Some("private, max-age=30"));
        assert_eq!(hers.header("vary").as_deref(), Some("accept-language, authorization, cookie"));
    }
    let app = App::new(CacheLayer::new(&cache).vary(ACCEPT_LANGUAGE), personal("private, max-age=600"));
    assert_eq!(app.get("/", &[]).await.header("vary").as_deref(), Some("accept-language, authorization, cookie"));
}

#[tokio::test]
async fn a_bypassed_page_with_vary_by_is_private_for_downstream_caches() {
    for header in [("upgrade", "websocket"), ("cookie", "a=1"), ("range", "bytes=0-"), ("foo", "bar")] {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).vary_by("role", |request| format!("{:?}", request.headers.get("x-role")));
        let app = App::new(layer, personal("public, max-age=60"));
        let page = app.get("/", &[("x-role", "admin"), header]).await;
        assert_eq!(page.header("cache-control").as_deref(), Some("private, max-age=60"), "{header:?}");
    }
}

#[tokio::test]
async fn layers_with_other_vary_by_names_share_no_page() {
    let (cache, _) = cache();
    let app = |name: &'static str| {
        let layer = CacheLayer::new(&cache).ttl(seconds(60));
        let layer = layer.vary_by(name, move |request| request.headers[name].to_str().unwrap().to_owned());
        App::new(layer, move |_, _| answer(&[], name))
    };
    let (user, lang) = (app("x-user"), app("x-lang"));
    for _ in 0..2 {
        assert_eq!(user.get("/", &[("x-user", "de")]).await.text(), "x-user");
        assert_eq!(lang.get("/", &[("x-lang", "de")]).await.text(), "x-lang");
    }
}

#[tokio::test]
async fn must_understand_does_not_make_a_visitors_page_public() {
    let (cache, _) = cache();
    let control = "public, no-store, must-understand, max-age=60";
    let app = App::new(CacheLayer::new(&cache).session_cookie("sid"), personal(control));
    for visitor in [ADA, BOB, ADA] {
        let page = app.get("/", visitor).await;
        assert!(page.text().ends_with(&format!(":{}:", visitor[0].1)));
        assert!(page.header("cache-control").unwrap().contains("private"), "{page:?}");
    }
}

#[tokio::test]
async fn vary_cookie_of_a_handler_makes_no_variants_of_a_page_that_ignores_cookies() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies(), |n, _| {
        answer(&[("vary", "cookie")], n.to_string())
    });
    app.get("/", ADA).await;
    for headers in [ADA, BOB, &[]] {
        assert!(app.get("/", headers).await.is_hit(), "{headers:?}");
    }
}

const TARGETED: [&str; 3] = ["cdn-cache-control", "surrogate-control", "minijinja-cdn-cache-control"];

#[tokio::test]
async fn targeted_headers_do_not_make_a_visitors_page_public() {
    type Personal = fn(CacheLayer) -> CacheLayer;
    let ways: [(&str, Personal); 3] = [
        ("session", |layer| layer.session_cookie("sid")),
        ("keyed", |layer| layer.key_cookies(["sid"])),
        ("application", |layer| layer.ignore_other_cookies().vary_by("sid", |r| format!("{:?}", r.headers["cookie"]))),
    ];
    for (name, personal) in ways {
        let (cache, _) = cache();
        let app = App::new(personal(CacheLayer::new(&cache)), |_, _| {
            let mut page = answer(&[("cache-control", "public, max-age=60")], "hers");
            for targeted in TARGETED {
                page.headers_mut().insert(targeted, "max-age=600".parse().unwrap());
            }
            page
        });
        for _ in 0..2 {
            let page = app.get("/", ADA).await;
            assert_eq!(page.header("cache-control").as_deref(), Some("private, max-age=60"));
            for targeted in TARGETED {
                assert_ne!(page.header(targeted).as_deref(), Some("max-age=600"), "{name}: {targeted}");
            }
        }
    }
}
