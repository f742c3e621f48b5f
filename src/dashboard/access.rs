//! The access rule, the addresses of the pages, and the security headers of every response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::response::Response;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

type Decision = Pin<Box<dyn Future<Output = Result<(), Response>> + Send>>;

/// The rule that decides which requests may see the dashboard.
pub(super) enum Access {
    Everybody,
    Rule(Box<dyn Fn(&Parts) -> bool + Send + Sync>),
    Decision(Box<dyn Fn(Parts) -> Decision + Send + Sync>),
}

/// The security headers of every response.
const PROTECTION: [(HeaderName, &str); 7] = [
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

impl Access {
    pub(super) fn rule(allow: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Access {
        Access::Rule(Box::new(allow))
    }

    pub(super) fn decision<F>(decide: impl Fn(Parts) -> F + Send + Sync + 'static) -> Access
    where
        F: Future<Output = Result<(), Response>> + Send + 'static,
    {
        Access::Decision(Box::new(move |parts| Box::pin(decide(parts))))
    }

    pub(super) async fn check(&self, parts: &Parts) -> Result<(), Response> {
        match self {
            Access::Everybody => Ok(()),
            Access::Rule(allow) if allow(parts) => Ok(()),
            Access::Rule(_) => Err(plain(StatusCode::NOT_FOUND, "")),
            Access::Decision(decide) => decide(parts.clone()).await,
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Everybody => "everybody",
            Access::Rule(_) => "rule",
            Access::Decision(_) => "decision",
        })
    }
}

/// Adds the security headers that a response does not have.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The target of a request.
pub(super) enum PageAddress {
    /// A page, without slashes around it.
    Page(String),
    /// The page has another address, relative to this one. All pages are in one folder, so that their relative links
    /// work wherever the dashboard is mounted, behind proxies too.
    Redirect(String),
}

impl PageAddress {
    pub(super) fn of(parts: &Parts) -> PageAddress {
        let path = parts.uri.path();
        let inner = path.trim_matches('/');
        let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
        if inner.is_empty() {
            let original = parts.extensions.get::<OriginalUri>().map_or(path, |uri| uri.0.path());
            let folder = original.rsplit('/').next().unwrap_or_default();
            // Without the dot, a colon in the folder's name would make it a URL with a scheme.
            let folder = if folder.is_empty() { String::new() } else { format!("./{folder}/") };
            return PageAddress::Redirect(format!("{folder}overview{query}"));
        }
        if path.ends_with('/') && !inner.contains('/') {
            return PageAddress::Redirect(format!("../{inner}{query}"));
        }
        PageAddress::Page(inner.to_owned())
    }
}

pub(super) fn redirect(address: &str) -> Response {
    let mut response = Response::new(Body::empty());
    match HeaderValue::try_from(address) {
        Ok(address) => {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(LOCATION, address);
        }
        Err(_) => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

pub(super) fn not_allowed(posts: bool) -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "That method does nothing here.\n");
    let allowed = if posts { "GET, HEAD, POST" } else { "GET, HEAD" };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if !text.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(inner: &str, original: &str) -> String {
        let mut request = http::Request::builder().uri(inner).body(()).unwrap();
        request.extensions_mut().insert(OriginalUri(original.parse().unwrap()));
        match PageAddress::of(&request.into_parts().0) {
            PageAddress::Page(page) => page,
            PageAddress::Redirect(address) => format!("-> {address}"),
        }
    }

    #[test]
    fn all_pages_are_in_one_folder_wherever_it_is_mounted() {
        assert_eq!(of("/", "/cache"), "-> ./cache/overview");
        assert_eq!(of("/", "/admin/cache/"), "-> overview");
        assert_eq!(of("/?a=1", "/a:b?a=1"), "-> ./a:b/overview?a=1");
        assert_eq!(of("/", "//evil.example"), "-> ./evil.example/overview");
        assert_eq!(of("/", "/"), "-> overview");
        assert_eq!(of("/fragments", "/cache/fragments"), "fragments");
        assert_eq!(of("/fragments/?sort=hits", "/cache/fragments/?sort=hits"), "-> ../fragments?sort=hits");
        assert_eq!(of("/a/b", "/cache/a/b"), "a/b");
        assert_eq!(of("/a/b/", "/cache/a/b/"), "a/b");
    }
}
