//! Templates, and the answers made of them. All is in the binary, so that nothing is read from elsewhere.

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
