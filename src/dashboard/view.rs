//! Templates and other assets, which are compiled into the binary, and values for templates.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use form_urlencoded::byte_serialize;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use minijinja::{Environment, Value, context};

use super::format;

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

    pub(super) fn render(&self, template: &str, context: Value) -> Result<String, minijinja::Error> {
        self.env.get_template(template)?.render(context)
    }
}

/// A response with a static asset.
pub(super) fn asset(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A list of strings as a template value.
pub(super) fn texts(texts: &[Arc<str>]) -> Value {
    texts.iter().map(|text| Value::from(&**text)).collect()
}

/// A time as a template value: as ISO 8601, as a clock time, and relative to `now`.
pub(super) fn moment(at: SystemTime, now: SystemTime) -> Value {
    context! { iso => format::iso(at), clock => format::clock(at), ago => format::ago(at, now) }
}
