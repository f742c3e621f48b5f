//! Invalidating: what it does, and that nobody else's page can do it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode};
use http_body::Frame;
use minijinja::{Environment, context};
use minijinja_cache::{Dashboard, FragmentCache, Options};

use crate::support::{
    HOSTILE, app, ask, borrowed, cache, confirmation, encoded, get, invalidate, post, post_with, put, request, send,
};

fn changing(cache: &FragmentCache) -> Router {
    app(Dashboard::new(cache).allow_invalidation())
}

/// Whether what is stored under a key is gone.
fn gone(cache: &FragmentCache, key: &str) -> bool {
    put(cache, key, "new") == "new"
}

#[tokio::test]
async fn each_kind_invalidates_what_it_says() {
    let cache = cache();
    let app = changing(&cache);
    for (fields, goes) in [
        (&[("kind", "key"), ("value", "a"), ("as", "text")][..], true),
        (&[("kind", "key"), ("value", "\"a\""), ("as", "json")], true),
        (&[("kind", "key"), ("value", "b"), ("as", "text")], false),
        (&[("kind", "key"), ("value", "a"), ("as", "text"), ("namespace", "n")], false),
        (&[("kind", "tag"), ("value", "tag of a")], true),
        (&[("kind", "tag"), ("value", "tag of a "), ("namespace", "")], false),
        (&[("kind", "template"), ("value", "a")], false),
        (&[("kind", "page"), ("value", "/a")], false),
        (&[("kind", "namespace"), ("namespace", "n")], false),
        (&[("kind", "everything")], true),
    ] {
        cache.clear();
        put(&cache, "a", "old");
        let reply = invalidate(&app, fields).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{fields:?}");
        assert_eq!(reply.header("location"), format!("invalidate?done={}", fields[0].1));
        assert_eq!(gone(&cache, "a"), goes, "{fields:?}");
    }
    let page = get(&app, "/cache/invalidate?done=tag").await;
    assert!(page.text.contains("the tag was invalidated") && page.text.contains("everything"), "{}", page.text);
    // Nobody can have it say anything else.
    let page = get(&app, "/cache/invalidate?done=%3Cb%3E").await;
    assert!(!page.text.contains("Done"));
}

#[tokio::test]
async fn templates_and_namespaces_go_as_the_applications_own() {
    let cache = cache();
    let app = changing(&cache);
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "card.html", "{{ n }}").unwrap();
    let card =
        |n: u32| cache.render(&env, "card.html", context! { n }, "card", Options::default()).unwrap().to_string();
    card(1);
    invalidate(&app, &[("kind", "template"), ("value", "card.html")]).await;
    assert_eq!(card(2), "2");
    let shop = cache.namespace("shop").namespace("de");
    put(&shop, "a", "old");
    invalidate(&app, &[("kind", "tag"), ("value", "tag of a"), ("namespace", "shop / de")]).await;
    assert!(gone(&shop, "a"));
    invalidate(&app, &[("kind", "namespace"), ("namespace", "shop")]).await;
    assert_eq!(put(&shop, "a", "newer"), "newer");
}

#[tokio::test]
async fn a_dashboard_of_a_namespace_cannot_reach_beyond_it() {
    let cache = cache();
    let blog = cache.namespace("blog");
    let app = changing(&blog);
    put(&cache, "a", "old");
    put(&blog, "a", "old");
    invalidate(&app, &[("kind", "key"), ("value", "a"), ("as", "text")]).await;
    assert!(gone(&blog, "a") && !gone(&cache, "a"));
    invalidate(&app, &[("kind", "everything")]).await;
    assert_eq!(put(&blog, "a", "newer"), "newer");
    assert!(!gone(&cache, "a"));
    // A form that names a floor of its own, as only a confirmed one may.
    let floor = confirmation(&changing(&cache), &[("kind", "key"), ("value", "a"), ("as", "text")]).await;
    assert_eq!(post(&app, &borrowed(&floor)).await.status, StatusCode::FORBIDDEN);
    let without: Vec<_> = borrowed(&floor).into_iter().filter(|(name, _)| *name != "token").collect();
    assert_eq!(post(&app, &without).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!gone(&cache, "a"));
}

#[tokio::test]
async fn the_first_step_changes_nothing_and_says_what_would_go() {
    let cache = cache();
    let app = changing(&cache);
    put(&cache, "a", "old");
    for _ in 0..3 {
        let page = post(&app, &[("kind", "tag"), ("value", "tag of a")]).await;
        assert!(page.text.contains("1 entry in memory") && page.text.contains("the tag &quot;tag of a&quot;"));
    }
    let page = post(&app, &[("kind", "tag"), ("value", "no such tag")]).await;
    assert!(page.text.contains("No entry in memory"));
    assert!(!gone(&cache, "a"));
}

#[tokio::test]
async fn a_key_that_was_typed_is_in_no_form_or_address() {
    let cache = cache();
    let app = changing(&cache);
    let form = confirmation(&app, &[("kind", "key"), ("value", "ada@example.org"), ("as", "text")]).await;
    assert!(form.iter().all(|(_, value)| !value.contains("ada")), "{form:?}");
    let reply = post(&app, &borrowed(&form)).await;
    assert!(!format!("{:?}", reply.headers).contains("ada"));
}

#[tokio::test]
async fn an_entry_is_invalidated_from_its_own_page() {
    let cache = cache();
    let app = changing(&cache);
    let number = |n: u64| cache.get_or_set(("user", 1.5), Options::default(), || Ok::<_, Infallible>(n.to_string()));
    number(1).unwrap();
    let list = get(&app, "/cache/entries").await;
    let id = list.text.split_once("entry?id=").unwrap().1.split('"').next().unwrap().to_owned();
    let entry = get(&app, &format!("/cache/entry?id={id}")).await;
    let fields = [("kind", "key"), ("entry", &*entry.field("entry"))];
    assert_eq!(invalidate(&app, &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(&*number(2).unwrap(), "2");
    let reply = post(&app, &[("kind", "key"), ("entry", "123")]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_read_only_dashboard_invalidates_nothing() {
    let cache = cache();
    let (reading, changing) = (app(Dashboard::new(&cache)), changing(&cache));
    put(&cache, "a", "old");
    let form = confirmation(&changing, &[("kind", "everything")]).await;
    let replies = [
        get(&reading, "/cache/invalidate").await,
        post(&reading, &borrowed(&form)).await,
        post(&reading, &[("kind", "everything")]).await,
    ];
    for reply in replies {
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    assert!(!get(&reading, "/cache/overview").await.text.contains("href=\"invalidate\""));
    assert!(!gone(&cache, "a"));
}

#[tokio::test]
async fn no_other_sites_page_can_invalidate_anything() {
    let cache = cache();
    let app = changing(&cache);
    put(&cache, "a", "old");
    let form = confirmation(&app, &[("kind", "everything")]).await;
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://example.org.evil.example")],
    ] {
        // With a token that is good, and in both steps.
        for fields in [borrowed(&form), vec![("kind", "everything")]] {
            let reply = post_with(&app, &fields, headers).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{headers:?}");
            assert!(!reply.text.contains("name=\"token\""));
        }
    }
    assert!(!gone(&cache, "a"));
    // The token was good all the time: it is the origin that was refused.
    assert_eq!(post(&app, &borrowed(&form)).await.status, StatusCode::SEE_OTHER);
    assert!(gone(&cache, "a"));
}

#[tokio::test]
async fn a_token_that_is_wrong_or_anothers_does_nothing() {
    let cache = cache();
    let (app, other) = (changing(&cache), changing(&cache));
    put(&cache, "a", "old");
    let form = confirmation(&app, &[("kind", "tag"), ("value", "tag of b")]).await;
    let token = &form.iter().find(|(name, _)| name == "token").unwrap().1;
    for token in ["x", "0.0", &token[1..], &format!("{token}0"), &token.to_uppercase()] {
        let reply = post(&app, &[("kind", "everything"), ("token", token)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{token}");
    }
    // Good for one order, and that only.
    for fields in [
        vec![("kind", "everything"), ("token", token)],
        vec![("kind", "tag"), ("value", "tag of a"), ("token", token)],
        vec![("kind", "tag"), ("value", "tag of b"), ("namespace", "n"), ("token", token)],
    ] {
        assert_eq!(post(&app, &fields).await.status, StatusCode::FORBIDDEN);
    }
    let foreign = confirmation(&other, &[("kind", "everything")]).await;
    assert_eq!(post(&app, &borrowed(&foreign)).await.status, StatusCode::FORBIDDEN);
    assert!(!gone(&cache, "a"));
    // Two processes with one secret understand each other.
    let [one, two] = [(); 2].map(|()| app_with_secret(&cache));
    let shared = confirmation(&one, &[("kind", "everything")]).await;
    assert_eq!(post(&two, &borrowed(&shared)).await.status, StatusCode::SEE_OTHER);
    assert!(gone(&cache, "a"));
}

fn app_with_secret(cache: &FragmentCache) -> Router {
    app(Dashboard::new(cache).allow_invalidation().sign_with("a secret of the application"))
}

#[tokio::test]
async fn only_a_form_that_is_posted_counts() {
    let cache = cache();
    let app = changing(&cache);
    put(&cache, "a", "old");
    let form = confirmation(&app, &[("kind", "everything")]).await;
    let query = encoded(&borrowed(&form));
    let same = ("sec-fetch-site", "same-origin");
    for method in [Method::GET, Method::HEAD] {
        let overrides =
            [same, ("x-http-method-override", "POST"), ("x-http-method", "POST"), ("x-method-override", "POST")];
        let path = format!("/cache/invalidate?{query}&_method=POST");
        assert_eq!(ask(&app, method, &path, &overrides).await.status, StatusCode::OK);
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let headers = [same, ("content-type", "application/x-www-form-urlencoded")];
        let reply = send(&app, request(method, "/cache/invalidate", &headers, &query)).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    // What a page of another site could send without being asked, and what it could not.
    for kind in
        ["text/plain", "multipart/form-data; boundary=x", "application/json", "", "application/x-www-form-urlencoded-x"]
    {
        let reply =
            send(&app, request(Method::POST, "/cache/invalidate", &[same, ("content-type", kind)], &query)).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    // The address is no form.
    let headers = [same, ("content-type", "application/x-www-form-urlencoded")];
    let reply = send(&app, request(Method::POST, &format!("/cache/invalidate?{query}"), &headers, "")).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let reply = send(&app, request(Method::POST, "/cache/overview", &headers, &query)).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(!gone(&cache, "a"));
    let charset = [same, ("content-type", "application/X-WWW-form-urlencoded; charset=UTF-8")];
    let reply = send(&app, request(Method::POST, "/cache/invalidate", &charset, &query)).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert!(gone(&cache, "a"));
}

#[tokio::test]
async fn forms_that_are_broken_or_huge_are_refused() {
    let cache = cache();
    let app = changing(&cache);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let huge = format!("kind=tag&value={}", "x".repeat(1 << 20));
    let reply = send(&app, request(Method::POST, "/cache/invalidate", &headers, &huge)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    for form in [
        "",
        "kind",
        "kind=%ff%fe",
        "kind=key&value=&as=text",
        "kind=key&as=json&value=%5B",
        "token=1",
        "kind=key&token=1",
    ] {
        let reply = send(&app, request(Method::POST, "/cache/invalidate", &headers, form)).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
    }
    let broken = request(Method::POST, "/cache/invalidate", &headers, "").map(|_| Body::new(Broken(0)));
    assert_eq!(send(&app, broken).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// A body that begins, and breaks off.
struct Broken(u8);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0 += 1;
        Poll::Ready(Some(match self.0 {
            1 => Ok(Frame::data("kind=every".into())),
            _ => Err(std::io::Error::other("gone")),
        }))
    }
}

#[tokio::test]
async fn what_was_typed_is_shown_as_text() {
    let cache = cache();
    let app = changing(&cache);
    for fields in [
        &[("kind", "tag"), ("value", HOSTILE), ("namespace", HOSTILE)][..],
        &[("kind", "key"), ("value", HOSTILE), ("as", "text")],
        &[("kind", "key"), ("value", HOSTILE), ("as", HOSTILE)],
        &[("kind", "page"), ("value", HOSTILE)],
        &[("kind", "template"), ("value", HOSTILE)],
    ] {
        let page = post(&app, fields).await;
        assert!(
            page.status == StatusCode::OK && !page.text.contains("<script>alert") && !page.text.contains("<img src=x")
        );
        assert_eq!(invalidate(&app, fields).await.status, StatusCode::SEE_OTHER);
    }
    let error = post(&app, &[("kind", "key"), ("value", "<script>alert(1)"), ("as", "json")]).await;
    assert!(error.status == StatusCode::UNPROCESSABLE_ENTITY && !error.text.contains("<script>alert"));
}
