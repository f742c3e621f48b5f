//! Concurrent requests and invalidations in random order: no request gets an outdated page or one of another visitor.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use minijinja::{Environment, context};
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{FragmentCache, LocalStore, Options};

use crate::support::{App, answer, environment, seconds, status};

/// Data with consecutive versions, and pages that show the version they were rendered from.
#[derive(Clone)]
struct Site {
    cache: FragmentCache,
    env: Arc<Environment<'static>>,
    version: Arc<AtomicUsize>,
}

impl Site {
    fn new(cache: FragmentCache, version: &Arc<AtomicUsize>) -> Site {
        let page = ("page.html", "{% cache 'block' tags=['films'] %}{{ v }}{% endcache %} {{ v }}");
        Site { env: environment(&cache, &[page]), cache, version: Arc::clone(version) }
    }

    fn app(&self) -> App {
        let site = self.clone();
        let router = Router::new().fallback(async move |request: Request| site.handle(request).await);
        let layer = CacheLayer::new(&self.cache).ttl(Duration::from_millis(3)).tag("films").ignore_other_cookies();
        let layer = layer.stale_while_revalidate(seconds(60)).stale_if_error(seconds(60));
        App::of(router.layer(layer), Arc::default())
    }

    async fn handle(&self, request: Request) -> Response {
        if request.method() == Method::POST {
            tokio::task::yield_now().await;
            return "saved".into_response();
        }
        let v = self.version.load(Ordering::SeqCst);
        for _ in 0..v % 3 {
            tokio::task::yield_now().await;
        }
        if v % 7 == 3 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let read = async { Ok::<_, Infallible>(self.version.load(Ordering::SeqCst).to_string()) };
        let value = self.cache.get_or_set_async("value", Options::default().tag("films"), read).await.unwrap();
        let page = self.env.get_template("page.html").unwrap().render(context! { v }).unwrap();
        if v % 11 == 5 {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let vary = if v % 5 == 1 { "foo, bar" } else { "foo" };
        answer(&[("vary", vary)], format!("{page} {value}"))
    }

    fn invalidate_keys(&self) {
        self.cache.invalidate("block");
        self.cache.invalidate("value");
    }
}

/// What is changed from here on has been invalidated when this is done.
type Change = fn(Site, App) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Visits pages until it is over. What was invalidated before a visit began is not seen by it.
async fn visit(app: App, who: usize, floor: Arc<AtomicUsize>, over: Arc<AtomicBool>, checked: bool) {
    let mut visits = 0;
    while !over.load(Ordering::SeqCst) {
        visits += 1;
        let before = floor.load(Ordering::SeqCst);
        let variant = ((who + visits) % 3).to_string();
        let headers = [("foo", variant.as_str()), ("bar", "1"), ("cookie", variant.as_str())];
        let reply = app.get("/page", &headers);
        if visits % 13 == 12 {
            // He goes away again.
            drop(tokio::time::timeout(Duration::from_micros(50), reply).await);
            continue;
        }
        let reply = reply.await;
        if checked && reply.status == StatusCode::OK {
            let oldest = reply.text().split(' ').map(|seen| seen.parse::<usize>().unwrap()).min();
            assert!(oldest >= Some(before), "{before}: {reply:?}");
        }
        tokio::task::yield_now().await;
    }
}

/// Changes the data on the first of these nodes again and again, while all of them are visited.
async fn race(nodes: Vec<FragmentCache>, change: Change) {
    let (version, floor, over) = (Arc::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let sites: Vec<Site> = nodes.into_iter().map(|cache| Site::new(cache, &version)).collect();
    let apps: Vec<App> = sites.iter().map(Site::app).collect();
    let visitors: Vec<_> = (0..16)
        .map(|who| {
            let node = who % apps.len();
            tokio::spawn(visit(apps[node].clone(), who, Arc::clone(&floor), Arc::clone(&over), node == 0))
        })
        .collect();
    for round in 0..200 {
        change(sites[0].clone(), apps[0].clone()).await;
        floor.store(version.load(Ordering::SeqCst), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_micros(500 * (round % 6))).await;
    }
    over.store(true, Ordering::SeqCst);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    assert!(sites[0].cache.stats().hits > 0);
}

fn alone() -> Vec<FragmentCache> {
    vec![FragmentCache::builder().build().unwrap()]
}

async fn two_nodes() -> Vec<FragmentCache> {
    let store = LocalStore::new();
    let nodes: Vec<_> = (0..2).map(|_| FragmentCache::builder().shared(store.clone()).build().unwrap()).collect();
    while !nodes.iter().all(|node| node.shared_status().unwrap().in_touch) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    nodes
}

fn by_tag(site: Site, _: App) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    site.version.fetch_add(1, Ordering::SeqCst);
    drop(site.cache.invalidate_tag("films"));
    Box::pin(std::future::ready(()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_gets_a_page_whose_tag_was_invalidated_before_it() {
    race(alone(), by_tag).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_gets_a_page_that_was_cleared_before_it() {
    race(alone(), |site, _| {
        site.version.fetch_add(1, Ordering::SeqCst);
        drop(site.cache.clear());
        Box::pin(std::future::ready(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_gets_a_page_whose_path_was_invalidated_before_it() {
    race(alone(), |site, _| {
        site.version.fetch_add(1, Ordering::SeqCst);
        site.invalidate_keys();
        drop(site.cache.invalidate_page("/page"));
        Box::pin(std::future::ready(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_gets_a_page_from_before_an_answered_unsafe_request() {
    race(alone(), |site, app| {
        Box::pin(async move {
            site.version.fetch_add(1, Ordering::SeqCst);
            site.invalidate_keys();
            app.send(Method::POST, "/page", &[]).await;
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_gets_a_page_of_another_node_that_was_invalidated_before_it() {
    race(two_nodes().await, by_tag).await;
}

/// Who a request comes from, as far as a handler can tell.
fn who(headers: &HeaderMap) -> String {
    let said = |name: &str| headers.get(name).map_or("-", |value| value.to_str().unwrap());
    format!("{} {} {}", said("cookie"), said("authorization"), said("foo"))
}

/// Pages of all kinds, each with a hole, that show their visitor.
fn telling() -> App {
    let cache = FragmentCache::builder().build().unwrap();
    let env = environment(&cache, &[("page.html", "{{ who }}|{{ cache_hole('who') }}")]);
    let handler = async move |request: Request| {
        let who = who(request.headers());
        tokio::task::yield_now().await;
        let page = env.get_template("page.html").unwrap().render(context! { who }).unwrap();
        let header = match request.uri().path() {
            "/private" => ("cache-control", "private, max-age=1"),
            "/public" => ("cache-control", "public, max-age=1, stale-while-revalidate=9"),
            "/signing-in" => ("set-cookie", "sid=1"),
            _ => ("x-none", ""),
        };
        answer(&[("vary", "foo"), header], page)
    };
    let short = Duration::from_millis(2);
    let layer = CacheLayer::new(&cache).ttl(short).stale_while_revalidate(short).stale_if_error(seconds(9));
    let layer = layer.session_cookie("sid").ignore_cookies(["_ga"]).hole("who", |hole: HoleRequest| {
        let who = who(hole.headers());
        async move { Ok::<_, Infallible>(who) }
    });
    App::of(Router::new().fallback(handler).layer(layer), Arc::default())
}

/// One of the requests that there may be, by a number.
fn any_request(number: usize) -> Request {
    let mut rest = number;
    let mut choose = |of: usize| {
        let chosen = rest % of;
        rest /= of;
        chosen
    };
    let path = ["/private", "/public", "/declared", "/signing-in"][choose(4)];
    let sid = format!("sid={}", choose(3));
    let cookie = [None, Some(sid.clone()), Some(format!("x={number}")), Some(format!("_ga={number}; {sid}"))];
    let cookie = cookie[choose(4)].clone();
    let authorization = [None, None, Some("Basic 0"), Some("Basic 1")][choose(4)];
    let variant = [None, Some("0"), Some("1")][choose(3)];
    let method = if choose(8) == 0 { Method::HEAD } else { Method::GET };
    let mut request = Request::builder().method(method).uri(path).header("host", "example.org");
    for (name, value) in [("cookie", cookie.as_deref()), ("authorization", authorization), ("foo", variant)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    request.body(Body::empty()).unwrap()
}

/// What may stand in the page for this request, without those cookies that no page depends on.
fn may_see(request: &Request) -> Vec<String> {
    let mut headers = request.headers().clone();
    let cookie = headers.get("cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
    let own = who(&headers);
    if let Some((_, sid)) = cookie.as_deref().and_then(|cookie| cookie.split_once("; ")) {
        headers.insert("cookie", sid.parse().unwrap());
    }
    let mut seen = vec![own, who(&headers)];
    // A public response may be that of another visitor with credentials (RFC 9111 §3.5).
    if request.uri().path() == "/public" {
        for authorization in ["Basic 0", "Basic 1"] {
            headers.insert("authorization", authorization.parse().unwrap());
            seen.push(who(&headers));
        }
        headers.remove("authorization");
        seen.push(who(&headers));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_visitor_gets_a_page_of_another_visitor() {
    let app = telling();
    let visitors: Vec<_> = (0..16)
        .map(|visitor| {
            let app = app.clone();
            tokio::spawn(async move {
                let mut number: usize = visitor;
                for _ in 0..300 {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let request = any_request(number >> 33);
                    let (allowed, own) = (may_see(&request), who(request.headers()));
                    let told = format!("{} {}", request.method(), request.uri());
                    let reply = app.send_request(request).await;
                    if told.starts_with("HEAD") {
                        assert_eq!(reply.text(), "");
                        continue;
                    }
                    let (page, hole) = reply.text().split_once('|').unwrap();
                    assert_eq!(hole, own, "{told}");
                    assert!(allowed.iter().any(|allowed| allowed == page), "{told} of {own}: {page}");
                }
            })
        })
        .collect();
    for visitor in visitors {
        visitor.await.unwrap();
    }
}
