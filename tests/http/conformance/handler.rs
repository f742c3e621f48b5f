//! The handler behind the layer: it responds as the step says and records its requests.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::{error, fmt};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame};
use minijinja_cache::ManualClock;
use tower_service::Service;

use super::driver::{Dates, header};
use super::steps::{Answer, Outcome};

/// What the handler and the driver share.
#[derive(Clone)]
pub(super) struct Handler {
    clock: ManualClock,
    dates: Dates,
    script: Arc<Mutex<Script>>,
}

struct Script {
    answer: Answer,
    runs: usize,
    last: Option<(Method, HeaderMap)>,
}

impl Handler {
    pub(super) fn new(clock: &ManualClock, dates: Dates, answer: Answer) -> Handler {
        let script = Script { answer, runs: 0, last: None };
        Handler { clock: clock.clone(), dates, script: Arc::new(Mutex::new(script)) }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// What it answers from here on.
    pub(super) fn will(&self, answer: &Answer) {
        self.script().answer = answer.clone();
    }

    pub(super) fn runs(&self) -> usize {
        self.script().runs
    }

    /// The method and the headers of the last request that reached it.
    pub(super) fn last(&self) -> Option<(Method, HeaderMap)> {
        self.script().last.clone()
    }

    fn answer(&self, method: Method, headers: HeaderMap) -> (Answer, Page) {
        let mut script = self.script();
        script.runs += 1;
        let answer = script.answer.clone();
        let bodyless = method == Method::HEAD || matches!(answer.status, 204 | 304);
        script.last = Some((method, headers));
        let text = answer.body.map_or_else(|| format!("answer {}", script.runs), str::to_owned);
        let mut page = Page::default();
        if answer.outcome == Outcome::BreaksOff {
            let half = text.len() / 2;
            page.frames.push_back(Ok(Bytes::copy_from_slice(&text.as_bytes()[..half])));
            page.frames.push_back(Err(Broken));
        } else if !bodyless {
            page.frames.push_back(Ok(Bytes::from(text)));
        }
        (answer, page)
    }
}

impl<B> Service<Request<B>> for Handler {
    type Response = Response<Page>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Page>, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let handler = self.clone();
        let (parts, _) = request.into_parts();
        Box::pin(async move {
            let (answer, page) = handler.answer(parts.method, parts.headers);
            // Requests that come together meet here.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            handler.clock.advance(answer.takes);
            if answer.outcome == Outcome::Fails {
                return Err(Broken);
            }
            let mut response = Response::builder().status(answer.status).body(page).unwrap();
            for line in answer.headers {
                let (name, value) = header(line, &handler.dates);
                response.headers_mut().append(name, value);
            }
            Ok(response)
        })
    }
}

/// The handler has no answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection closed")
    }
}

impl error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Broken {
        match never {}
    }
}

/// A body in pieces, of which one may be an error.
#[derive(Default)]
pub(super) struct Page {
    frames: VecDeque<Result<Bytes, Broken>>,
}

impl Body for Page {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(self.frames.pop_front().map(|piece| piece.map(Frame::data)))
    }
}
