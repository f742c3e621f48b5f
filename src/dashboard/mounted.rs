//! A mounted dashboard: the state that all requests share, and the HTML pages that it answers with.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use minijinja::{Value, context};

use super::access::Access;
use super::format;
use super::recorder::Recorder;
use super::token::Signer;
use super::view::View;
use crate::cache::FragmentCache;

/// Data that may be private, and whether it is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shows {
    pub(super) keys: bool,
    pub(super) contents: bool,
}

/// The state of a mounted dashboard, shared by all requests.
pub(super) struct Mounted {
    pub(super) cache: FragmentCache,
    pub(super) title: String,
    pub(super) shows: Shows,
    pub(super) access: Access,
    pub(super) recorder: Arc<Recorder>,
    pub(super) view: View,
    /// `None` if the dashboard may not invalidate.
    pub(super) signer: Option<Signer>,
    /// The number of open event streams.
    pub(super) streams: Arc<AtomicUsize>,
}

impl Mounted {
    /// Renders a page. Adds the variables that the layout of all pages needs.
    pub(super) fn page(&self, status: StatusCode, template: &str, context: Value) -> Response {
        let context = context! {
            title => self.title.as_str(),
            page => template.trim_end_matches(".html"),
            invalidates => self.signer.is_some(),
            asof => format::clock(SystemTime::now()),
            ..context
        };
        let rendered = self.view.render(template, context);
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

    /// A page that says why a request failed.
    pub(super) fn problem(&self, status: StatusCode, message: &str) -> Response {
        let context = context! { status => status.as_u16(), reason => status.canonical_reason(), message };
        self.page(status, "problem.html", context)
    }
}
