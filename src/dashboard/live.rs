//! The event stream of an open page: the numbers of the overview, once a second.
//!
//! Messages are not queued. The numbers are read when the client can receive them, so a slow client receives fewer
//! messages. A stream holds only a weak reference to the dashboard, and ends with it. A stream also ends after a few
//! messages, because a graceful shutdown of the server waits for open responses. The page then opens another one.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body::Frame;

use super::mounted::Mounted;
use super::{access, figures};
use crate::util::timer::Sleep;

/// The largest number of open streams. A page without a stream shows the numbers of when it was loaded, and retries.
const STREAMS: usize = 32;

const INTERVAL: Duration = Duration::from_secs(1);

/// The number of messages after which a stream ends.
const TURNS: u32 = 10;

/// The time after which a page opens another stream, in milliseconds.
const RETRY: &str = "retry: 1000\n";

struct Stream {
    mounted: Weak<Mounted>,
    /// The number of the last sample that was sent.
    sent: Option<u64>,
    turns: u32,
    sleep: Option<Sleep>,
    _permit: StreamPermit,
}

/// Counts an open stream. Dropping it lets another stream open.
struct StreamPermit(Arc<AtomicUsize>);

impl StreamPermit {
    fn acquire(streams: &Arc<AtomicUsize>) -> Option<StreamPermit> {
        let acquired =
            streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < STREAMS).then_some(open + 1));
        acquired.ok().map(|_| StreamPermit(Arc::clone(streams)))
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn stream(mounted: &Arc<Mounted>, method: &Method) -> Response {
    let mut response = if *method == Method::HEAD {
        Response::new(Body::empty())
    } else {
        let Some(permit) = StreamPermit::acquire(&mounted.streams) else {
            let mut response = access::plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are live already.\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return response;
        };
        let mounted = Arc::downgrade(mounted);
        Response::new(Body::new(Stream { mounted, sent: None, turns: 0, sleep: None, _permit: permit }))
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx would buffer the response.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(sleep) = &mut self.sleep {
            match Future::poll(Pin::new(sleep), context) {
                Poll::Ready(()) => self.sleep = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some(mounted) = self.mounted.upgrade() else { return Poll::Ready(None) };
        if self.turns == TURNS {
            return Poll::Ready(None);
        }
        let Some(timer) = mounted.cache.inner.timer() else { return Poll::Ready(None) };
        self.sleep = Some(timer.sleep_until(Instant::now() + INTERVAL));
        let text = self.message(&mounted);
        self.turns += 1;
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

impl Stream {
    /// The next message: the numbers, or a comment that keeps the connection open if there is no new sample.
    fn message(&mut self, mounted: &Mounted) -> String {
        let newest = mounted.recorder.samples().last().map(|sample| sample.number);
        if self.turns > 0 && newest == self.sent {
            return ": nothing new\n\n".into();
        }
        self.sent = newest;
        let data = serde_json::to_string(&figures::read(mounted)).unwrap_or_default();
        format!("{}event: figures\ndata: {data}\n\n", if self.turns == 0 { RETRY } else { "" })
    }
}
