//! An application with one page, and its client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use minijinja::{Environment, context};
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, ManualClock};
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// A cache and the clock it goes by.
pub(crate) fn cache() -> (FragmentCache, ManualClock) {
    let clock = ManualClock::new();
    (FragmentCache::builder().clock(&clock).build().unwrap(), clock)
}

/// An application with one handler for all paths, which counts its calls.
#[derive(Clone)]
pub(crate) struct App {
    router: Router,
    calls: Arc<AtomicUsize>,
}

type Handler = dyn Fn(usize, &Request) -> Response + Send + Sync;

impl App {
    /// `handle` is given how often it was called before.
    pub(crate) fn new(layer: CacheLayer, handle: impl Fn(usize, &Request) -> Response + Send + Sync + 'static) -> App {
        let handle: Arc<Handler> = Arc::new(handle);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let router = Router::new().fallback(move |request: Request| {
            let answer = handle(counted.fetch_add(1, Ordering::SeqCst), &request);
            async move { answer }
        });
        App::of(router.layer(layer), calls)
    }

    /// The same with a slow handler: all running requests arrive before it answers.
    pub(crate) fn slow(
        layer: CacheLayer,
        handle: impl Fn(usize, &Request) -> Response + Clone + Send + Sync + 'static,
    ) -> App {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let router = Router::new().fallback(async move |request: Request| {
            let n = counted.fetch_add(1, Ordering::SeqCst);
            idle().await;
            handle(n, &request)
        });
        App::of(router.layer(layer), calls)
    }

    pub(crate) fn of(router: Router, calls: Arc<AtomicUsize>) -> App {
        // As a server has it: its layers are laid once and not for every request.
        App { router: router.with_state(()), calls }
    }

    /// The number of calls of the handler.
    pub(crate) fn handler_calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, path, headers).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        Reply::of(self.response(method, path, headers).await).await
    }

    pub(crate) async fn response(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if path.starts_with('/') {
            request = request.header("host", "example.org");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(crate) async fn send_request(&self, request: Request) -> Reply {
        Reply::of(self.router.clone().oneshot(request).await.unwrap()).await
    }
}

/// Lets everything else go on for as long as it has something to do.
pub(crate) async fn idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// So many visits at once, each a task of its own.
pub(crate) fn crowd(app: &App, count: usize, headers: &'static [(&str, &str)]) -> Vec<JoinHandle<Reply>> {
    let visit = |_| {
        let app = app.clone();
        tokio::spawn(async move { app.get("/", headers).await })
    };
    (0..count).map(visit).collect()
}

/// What each of them got.
pub(crate) async fn replies(crowd: Vec<JoinHandle<Reply>>) -> Vec<Reply> {
    let mut replies = Vec::with_capacity(crowd.len());
    for visit in crowd {
        replies.push(visit.await.unwrap());
    }
    replies
}

pub(crate) fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
    let named = Request::builder().uri(uri);
    let request = headers.iter().fold(named, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

/// Templates by their names.
pub(crate) fn environment(
    cache: &FragmentCache,
    templates: &[(&'static str, &'static str)],
) -> Arc<Environment<'static>> {
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    for (name, source) in templates {
        cache.add_template(&mut env, name, source).unwrap();
    }
    Arc::new(env)
}

/// The rendered page of a template, or the error message.
pub(crate) fn render(env: &Environment<'_>, name: &str) -> String {
    let page = env.get_template(name).unwrap().render(context! {});
    page.unwrap_or_else(|error| format!("{error:#}"))
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What went wrong, if the body did not come whole.
    pub(crate) body: Result<String, String>,
}

impl Reply {
    async fn of(response: Response) -> Reply {
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        Reply { status: head.status, headers: head.headers, body: body.map_err(|error| error.to_string()) }
    }

    /// All lines of a header, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines: Vec<&str> = self.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    pub(crate) fn text(&self) -> &str {
        self.body.as_ref().unwrap()
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.header("cache-status").is_some_and(|status| status.contains("; hit"))
    }
}

/// An answer of 200 with these headers.
pub(crate) fn answer(headers: &[(&'static str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The requests of a handler, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) fn status(status: StatusCode) -> Response {
    status.into_response()
}
