//! Templates, and the answers made of them. All is in the binary, so that nothing is read from elsewhere.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use form_urlencoded::byte_serialize;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use minijinja::{Environment, Value, context};

use super::{Mounted, format};

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!(concat!("assets/", $name)))),*];
    };
}

templates!(
    "layout.html",
    "macros.html",
    "overview.html",
    "fragments.html",
    "misses.html",
    "events.html",
    "entries.html",
    "entry.html",
    "invalidate.html",
    "confirm.html",
    "problem.html",
);

pub(super) struct View {
    env: Environment<'static>,
}

impl View {
    pub(super) fn new() -> View {
        let mut env = Environment::new();
        env.add_filter("urlencode", |text: &str| byte_serialize(text.as_bytes()).collect::<String>());
        for (name, source) in TEMPLATES {
            let added = env.add_template(name, source);
            debug_assert!(added.is_ok(), "{name}: {added:?}");
        }
        View { env }
    }
}

impl Mounted {
    /// A page, with what all of them show.
    pub(super) fn page(&self, status: StatusCode, template: &str, context: Value) -> Response {
        let context = context! {
            title => self.title.as_str(),
            page => template.trim_end_matches(".html"),
            invalidates => self.signer.is_some(),
            asof => format::clock(SystemTime::now()),
            ..context
        };
        let rendered = self.view.env.get_template(template).and_then(|template| template.render(context));
        let (status, text) = match rendered {
            Ok(text) => (status, text),
            Err(error) => {
                debug_assert!(false, "{error:#}");
                (StatusCode::INTERNAL_SERVER_ERROR, "<!doctype html><title>500</title>This page is broken.".into())
            }
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }

    pub(super) fn problem(&self, status: StatusCode, message: &str) -> Response {
        let context = context! { status => status.as_u16(), reason => status.canonical_reason(), message };
        self.page(status, "problem.html", context)
    }
}

pub(super) fn asset(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A list of texts, for a template.
pub(super) fn texts(texts: &[Arc<str>]) -> Value {
    texts.iter().map(|text| Value::from(&**text)).collect()
}

/// A moment, for a template.
pub(super) fn moment(at: SystemTime, now: SystemTime) -> Value {
    context! { iso => format::iso(at), clock => format::clock(at), ago => format::ago(at, now) }
}
