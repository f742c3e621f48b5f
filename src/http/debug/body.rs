//! The body of debugged responses. It removes marks from a streamed body.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::http::body::LayerBody;
use crate::telemetry::MARKS;

pin_project! {
    /// The body of a response that went through a [`DebugLayer`](super::DebugLayer).
    pub struct DebugBody<B: Body> {
        #[pin]
        body: LayerBody<B>,
        filter: Option<MarkFilter>,
    }
}

/// Removes marks from a streamed text.
#[derive(Default)]
struct MarkFilter {
    /// The end of the text so far, if it may be the start of a mark.
    held: Vec<u8>,
    /// The trailers, until the held text is sent.
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

impl<B: Body<Data = Bytes>> DebugBody<B> {
    pub(super) fn new(body: LayerBody<B>) -> DebugBody<B> {
        DebugBody { body, filter: None }
    }

    pub(super) fn filtered(body: LayerBody<B>) -> DebugBody<B> {
        DebugBody { body, filter: Some(MarkFilter::default()) }
    }
}

impl MarkFilter {
    fn take(&mut self, data: &[u8]) -> Bytes {
        self.held.extend_from_slice(data);
        let rest = self.held.split_off(MARKS.decidable_length(&self.held));
        self.release(rest)
    }

    /// Returns the held text without marks, and holds `rest` instead.
    fn release(&mut self, rest: Vec<u8>) -> Bytes {
        let text = std::mem::replace(&mut self.held, rest);
        MARKS.strip(&text).unwrap_or(text).into()
    }
}

impl<B: Body<Data = Bytes>> Body for DebugBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(filter) = this.filter else { return this.body.poll_frame(context) };
        while !filter.ended {
            let Some(frame) = ready!(this.body.as_mut().poll_frame(context)).transpose()? else {
                filter.ended = true;
                break;
            };
            let text = match frame.into_data() {
                Ok(data) => filter.take(&data),
                Err(trailers) => {
                    filter.trailers = Some(trailers);
                    break;
                }
            };
            if !text.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
        }
        if !filter.held.is_empty() {
            let text = filter.release(Vec::new());
            if !text.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
        }
        Poll::Ready(filter.trailers.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match &self.filter {
            Some(filter) => filter.held.is_empty() && filter.trailers.is_none() && self.body.is_end_stream(),
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let Some(filter) = &self.filter else { return hint };
        let mut filtered = SizeHint::new();
        if let Some(upper) = hint.upper() {
            filtered.set_upper(upper.saturating_add(filter.held.len() as u64));
        }
        filtered
    }
}

impl<B: Body<Data = Bytes>> Default for DebugBody<B> {
    fn default() -> DebugBody<B> {
        DebugBody::new(LayerBody::empty())
    }
}

impl<B: Body> fmt::Debug for DebugBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugBody").finish_non_exhaustive()
    }
}
