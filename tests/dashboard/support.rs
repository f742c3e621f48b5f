//! A mounted dashboard, and a client that asks it.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use minijinja_cache::{Dashboard, FragmentCache, Options};
use tower::ServiceExt;

pub(crate) const PAGES: [&str; 6] = ["overview", "fragments", "misses", "events", "entries", "invalidate"];

/// What would run, or break out, if anything of it were taken for markup.
pub(crate) const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}";

pub(crate) fn cache() -> FragmentCache {
    FragmentCache::builder().build().unwrap()
}

/// An application with nothing but a dashboard at `/cache`.
pub(crate) fn app(dashboard: Dashboard) -> Router {
    Router::new().nest_service("/cache", dashboard.router())
}

/// Stores a text, or finds it; what is there.
pub(crate) fn put(cache: &FragmentCache, key: &str, text: &str) -> String {
    let options = Options::default().label(key).tag(format!("tag of {key}"));
    cache.get_or_set(key, options, || Ok::<_, Infallible>(text)).unwrap().to_string()
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a hidden field.
    pub(crate) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", self.text));
        unescaped(rest.split('"').next().unwrap())
    }
}

/// What a browser makes of an attribute's value.
pub(crate) fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    Reply { status: head.status, headers: head.headers, text }
}

pub(crate) async fn get(app: &Router, path: &str) -> Reply {
    ask(app, Method::GET, path, &[]).await
}

pub(crate) async fn ask(app: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    send(app, request(method, path, headers, "")).await
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "example.org");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body.to_owned())).unwrap()
}

/// A form as our own page sends it.
pub(crate) async fn post(app: &Router, fields: &[(&str, &str)]) -> Reply {
    post_with(app, fields, &[("sec-fetch-site", "same-origin"), ("origin", "https://example.org")]).await
}

pub(crate) async fn post_with(app: &Router, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    send(app, request(Method::POST, "/cache/invalidate", &headers, &encoded(fields))).await
}

pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let byte = |byte: u8| format!("%{byte:02X}");
    let text = |text: &str| text.bytes().map(byte).collect::<String>();
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    fields.join("&")
}

/// The first step, and the form that the second one sends.
pub(crate) async fn confirmation(app: &Router, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let page = post(app, fields).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let form = page.text.split_once("<form").unwrap().1.split_once("</form>").unwrap().0;
    let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |input: &str| {
        let (name, rest) = input.split_once("\" value=\"").unwrap();
        (name.to_owned(), unescaped(rest.split('"').next().unwrap()))
    };
    inputs.map(field).collect()
}

/// Both steps.
pub(crate) async fn invalidate(app: &Router, fields: &[(&str, &str)]) -> Reply {
    let form = confirmation(app, fields).await;
    post(app, &borrowed(&form)).await
}

pub(crate) fn borrowed(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
