//! What the layer costs, as ratios to a handler that answers with the same headers and the same bytes from memory:
//! called directly, and by `wrk` over a socket.
//!
//! `cargo bench --bench http --no-default-features --features axum,http`
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod measure;
#[path = "../tests/servers/mod.rs"]
mod servers;

use std::future::Future;
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, COOKIE, ETAG, HOST, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use minijinja_cache::FragmentCache;
use minijinja_cache::http::CacheLayer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use measure::{Subject, measure, median, only};
use servers::{ensure_programs, program};

const HOUR: Duration = Duration::from_secs(3600);
/// How often `wrk` asks each server, and for how long.
const ROUNDS: usize = 5;
const EACH: &str = "-d3s";
/// How many headers a hit has.
const HEADERS: usize = 8;

/// A page in the cache, and handlers that answer with what a hit answers.
struct Fixture {
    cached: Router,
    /// The answer to a hit.
    fixed: Router,
    /// The same, written as handlers are: names and texts in an array.
    written: Router,
    /// The answer to a visitor who has it.
    fixed_304: Router,
    /// The handler behind the layer, and the same without it; once more with an answer that has no entity tag.
    passed: Router,
    passed_untagged: Router,
    untagged: Router,
    hit: Parts,
    known: Parts,
    foreign: Parts,
}

/// Answers with these in whatever state the cache is.
fn fixed(status: StatusCode, headers: HeaderMap, bytes: Bytes) -> Router {
    let headers: Arc<[(HeaderName, HeaderValue)]> =
        headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let handler = move || {
        let mut response = Response::new(Body::from(bytes.clone()));
        *response.status_mut() = status;
        for (name, value) in headers.iter() {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        std::future::ready(response)
    };
    Router::new().route("/page", get(handler))
}

/// The same with headers that axum makes of texts for each answer.
fn written(headers: &HeaderMap, bytes: Bytes) -> Router {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.to_str().unwrap().to_owned().leak() as &str));
    let headers: Vec<(HeaderName, &'static str)> = headers.collect();
    let headers: [(HeaderName, &str); HEADERS] = headers.try_into().expect("as many headers as a hit has");
    Router::new().route("/page", get(move || std::future::ready((headers.clone(), bytes.clone()).into_response())))
}

/// As a browser asks.
fn request(more: &[(HeaderName, HeaderValue)]) -> Parts {
    let mut request = Request::builder()
        .uri("/page")
        .header(HOST, "films.example")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "en-GB,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd");
    for (name, value) in more {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

async fn answer(router: &Router, request: &Parts) -> Response {
    router.clone().oneshot(Request::from_parts(request.clone(), Body::empty())).await.unwrap()
}

impl Fixture {
    fn new(runtime: &Runtime, bytes: &Bytes) -> Fixture {
        let html = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))]);
        let untagged = fixed(StatusCode::OK, html, bytes.clone());
        let cache = FragmentCache::builder().build().unwrap();
        let layer = CacheLayer::new(&cache).ttl(HOUR);
        let cached = untagged.clone().layer(layer.clone());
        let hit = request(&[]);
        let ask = |request: &Parts| runtime.block_on(answer(&cached, request));
        let tag = ask(&hit).headers()[ETAG].clone();
        let known = request(&[(IF_NONE_MATCH, tag)]);
        let (shown, confirmed) = (ask(&hit), ask(&known));
        assert!(shown.headers()["cache-status"].to_str().unwrap().contains("hit"));
        assert_eq!(confirmed.status(), StatusCode::NOT_MODIFIED);
        let fixed_304 = fixed(StatusCode::NOT_MODIFIED, confirmed.headers().clone(), Bytes::new());
        let written = written(shown.headers(), bytes.clone());
        let fixed = fixed(StatusCode::OK, shown.headers().clone(), bytes.clone());
        Fixture {
            passed: fixed.clone().layer(layer.clone()),
            passed_untagged: untagged.clone().layer(layer),
            foreign: request(&[(COOKIE, HeaderValue::from_static("theme=dark"))]),
            cached,
            fixed,
            written,
            fixed_304,
            untagged,
            hit,
            known,
        }
    }

    fn subjects(&self) -> Vec<Subject<'_>> {
        let of = |name, router, request| Subject { name, run: Box::new(move || _ = black_box(call(router, request))) };
        vec![
            of("hit", &self.cached, &self.hit),
            of("handler", &self.fixed, &self.hit),
            of("the same hit", &self.cached, &self.hit),
            of("handler with an array", &self.written, &self.hit),
            of("304", &self.cached, &self.known),
            of("handler of a 304", &self.fixed_304, &self.known),
            of("passed by", &self.passed, &self.foreign),
            of("handler behind", &self.fixed, &self.foreign),
            of("passed by and tagged", &self.passed_untagged, &self.foreign),
            of("handler of the untagged", &self.untagged, &self.foreign),
        ]
    }
}

/// The length of the body, all of it read. There is nothing to wait for, so no runtime is part of what is measured.
fn call(router: &Router, request: &Parts) -> usize {
    let whole = async { to_bytes(answer(router, request).await.into_body(), usize::MAX).await.unwrap().len() };
    match pin!(whole).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(length) => length,
        Poll::Pending => panic!("an answer from memory waits for something"),
    }
}

fn listen(runtime: &Runtime, router: &Router) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (address, router) = (listener.local_addr().unwrap(), router.clone());
    runtime.spawn(async move { axum::serve(listener, router).await });
    address
}

/// Requests per second.
fn wrk(address: SocketAddr) -> f64 {
    let output = Command::new(program("wrk"))
        .args(["-t1", "-c16", EACH, "-H", "Host: films.example", &format!("http://{address}/page")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap_or_else(|| panic!("{text}"));
    rate.trim().parse().unwrap()
}

/// Requests per second of the layer and of the handler, and the ratio, by the medians of rounds that take turns.
fn throughput(runtime: &Runtime, fixture: &Fixture) -> (f64, f64, f64) {
    let (cached, fixed) = (listen(runtime, &fixture.cached), listen(runtime, &fixture.fixed));
    let rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|round| {
            // Whoever comes first has no advantage from it.
            if round % 2 == 0 {
                let first = wrk(cached);
                (first, wrk(fixed))
            } else {
                let first = wrk(fixed);
                (wrk(cached), first)
            }
        })
        .collect();
    let of = |what: fn(&(f64, f64)) -> f64| median(rounds.iter().map(what).collect());
    (of(|it| it.0), of(|it| it.1), of(|it| it.0 / it.1))
}

fn main() {
    ensure_programs(&["wrk"]);
    let runtime = Runtime::new().unwrap();
    let row = "<li class=\"film\"><a href=\"/film/1\">The film with number 1</a> <span>1950</span></li>";
    let pages = [("4.6 kB", row.repeat(57)), ("64 kB", row.repeat(780))];
    let fixtures = pages.map(|(size, page)| (size, Fixture::new(&runtime, &Bytes::from(page))));
    let _entered = runtime.enter();
    if only(&fixtures[0].1.subjects()) {
        return;
    }
    println!("nanoseconds, and as a ratio to the handler            {:>16} {:>18}", fixtures[0].0, fixtures[1].0);
    let times = fixtures.each_ref().map(|(_, fixture)| measure(&fixture.subjects()));
    let names: Vec<&str> = fixtures[0].1.subjects().iter().map(|subject| subject.name).collect();
    for (at, names) in names.chunks(2).enumerate() {
        let [small, large] = times.each_ref().map(|times| (times[2 * at], times[2 * at + 1]));
        let cell = |(layer, handler): (f64, f64)| format!("{layer:>6.0} {handler:>6.0} {:>5.2}", layer / handler);
        println!("{:<54} {} {}", format!("{} / {}", names[0], names[1]), cell(small), cell(large));
    }
    println!("\nrequests per second by wrk, 16 connections            {:>7} {:>9} {:>6}", "hit", "handler", "ratio");
    for (size, fixture) in &fixtures {
        let (layer, handler, ratio) = throughput(&runtime, fixture);
        println!("{size:<53} {layer:>7.0} {handler:>9.0} {ratio:>6.2}");
    }
}
