//! The catalogue behind something that spoils its answers, as a cache in front of it might.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, COOKIE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use http_body::Frame;

use crate::generator::scenario::Site;

/// What is done to an answer.
pub(crate) enum Spoil {
    Nothing,
    /// It is kept under this key, and so are later ones answered.
    Keep(String),
    /// Its text is changed, whatever that is.
    Rewrite(fn(&str) -> String),
    /// It breaks off there, after its headers promised more.
    Cut(usize),
    Status(StatusCode),
    /// Nothing is done, and the visitor is sent there as if it were.
    SeeOther(&'static str),
    Late(Duration),
}

/// What a request is known by.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) cookie: String,
}

type Kept = Arc<Mutex<HashMap<String, (StatusCode, HeaderValue, Bytes)>>>;

/// A site whose answers are spoiled as this says.
pub(crate) fn spoiled(mut site: Site, spoil: impl Fn(&Asked) -> Spoil + Clone + Send + Sync + 'static) -> Site {
    let kept = Kept::default();
    let layer = middleware::from_fn(move |request: Request, next: Next| {
        let (spoil, kept) = (spoil.clone(), Arc::clone(&kept));
        async move {
            let cookie = request.headers().get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let asked = Asked { method, path, cookie: cookie.to_owned() };
            answer(spoil(&asked), kept, request, next).await
        }
    });
    site.router = site.router.layer(layer);
    site
}

async fn answer(spoil: Spoil, kept: Kept, request: Request, next: Next) -> Response {
    match spoil {
        Spoil::Nothing => next.run(request).await,
        Spoil::Late(span) => {
            tokio::time::sleep(span).await;
            next.run(request).await
        }
        Spoil::SeeOther(path) => Redirect::to(path).into_response(),
        Spoil::Status(status) => (status, "spoiled").into_response(),
        Spoil::Keep(key) => {
            let known = kept.lock().unwrap().get(&key).cloned();
            let (status, kind, body) = match known {
                Some(known) => known,
                None => {
                    let (parts, body) = next.run(request).await.into_parts();
                    let kind = parts.headers.get("content-type").cloned();
                    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain"));
                    let made = (parts.status, kind, to_bytes(body, usize::MAX).await.unwrap());
                    kept.lock().unwrap().insert(key, made.clone());
                    made
                }
            };
            (status, [("content-type", kind)], body).into_response()
        }
        Spoil::Rewrite(rewrite) => {
            let (mut parts, body) = next.run(request).await.into_parts();
            let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().into()).unwrap();
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(rewrite(&text)))
        }
        Spoil::Cut(at) => {
            let (parts, body) = next.run(request).await.into_parts();
            let whole = to_bytes(body, usize::MAX).await.unwrap();
            Response::from_parts(
                parts,
                Body::new(Broken { begin: Some(whole.slice(..at.min(whole.len()))), sent: false }),
            )
        }
    }
}

/// A body that fails after this, once that is on its way.
struct Broken {
    begin: Option<Bytes>,
    sent: bool,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.begin.take() {
            Some(begin) => Poll::Ready(Some(Ok(Frame::data(begin)))),
            None if !std::mem::replace(&mut self.sent, true) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Some(Err(std::io::Error::other("broken")))),
        }
    }
}
