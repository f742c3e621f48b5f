//! The body type of all responses, and reading a body whole.
//!
//! A body that is too large, too slow, fails, or ends with trailers is passed on to the client: first the frames that
//! were read, then the rest of the body.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::cache::scope::Scope;

pin_project! {
    /// The body of a response that went through a layer: a stored one, or that of the inner service.
    pub struct LayerBody<B: Body> {
        #[pin]
        source: BodySource<B>,
        // A streamed body is polled inside of the request's scope, because it may render fragments.
        scope: Option<Scope>,
    }
}

pin_project! {
    #[project = BodySourceProjected]
    enum BodySource<B: Body> {
        /// `None` once it was sent.
        Whole { bytes: Option<Bytes> },
        /// Text and filled holes. `length` counts the bytes not sent yet.
        Pieces { pieces: VecDeque<Bytes>, length: u64 },
        /// The inner body.
        Through { #[pin] body: B },
        /// An inner body that was read in part.
        Replayed { read: PartlyReadBody<B> },
    }
}

/// The frames that were read of a body, and the rest of it.
struct PartlyReadBody<B: Body> {
    frames: VecDeque<Frame<Bytes>>,
    rest: Option<Pin<Box<B>>>,
    error: Option<B::Error>,
}

/// The result of reading a body.
pub(super) enum CollectedBody<B: Body> {
    Whole(Bytes),

    Streaming(LayerBody<B>),
}

impl<B: Body<Data = Bytes>> LayerBody<B> {
    pub(super) fn empty() -> LayerBody<B> {
        LayerBody::of(BodySource::Whole { bytes: None })
    }

    pub(super) fn whole(bytes: Bytes) -> LayerBody<B> {
        LayerBody::of(BodySource::Whole { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()) })
    }

    pub(super) fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> LayerBody<B> {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        LayerBody::of(BodySource::Pieces { pieces, length })
    }

    fn of(source: BodySource<B>) -> LayerBody<B> {
        LayerBody { source, scope: None }
    }

    /// Polls the body inside of the scope.
    pub(super) fn inside(mut self, scope: Scope) -> LayerBody<B> {
        self.scope = Some(scope);
        self
    }

    pub(super) fn through(body: B) -> LayerBody<B> {
        LayerBody::of(BodySource::Through { body })
    }
}

/// Bytes of memory for a frame beside its data.
const FRAME: u64 = size_of::<Frame<Bytes>>() as u64;

/// The number of frames that are read for any limit.
const MIN_FRAMES: u64 = 4096;

/// Reads a body of at most `limit` bytes until the timer is ready.
pub(super) async fn collect<B>(body: B, limit: usize, timer: impl Future<Output = ()>) -> CollectedBody<B>
where
    B: Body<Data = Bytes>,
{
    let limit = limit as u64;
    if body.size_hint().lower() > limit {
        return CollectedBody::Streaming(LayerBody::through(body));
    }
    let mut timer = pin!(timer);
    let mut body = Box::pin(body);
    let mut read = PartlyReadBody { frames: VecDeque::new(), rest: None, error: None };
    // The memory for frames is limited as well, because many small frames need much more than their data.
    let (mut length, mut memory, mut data_only) = (0, 0, true);
    loop {
        let next = poll_fn(|context| match body.as_mut().poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => timer.as_mut().poll(context).map(|()| None),
        });
        let frame = match next.await {
            Some(Some(Ok(frame))) => frame,
            Some(Some(Err(error))) => {
                read.error = Some(error);
                break;
            }
            Some(None) if data_only => return CollectedBody::Whole(joined(read.frames, length)),
            Some(None) => break,
            None => {
                read.rest = Some(body);
                break;
            }
        };
        let data = frame.data_ref().map_or(0, |data| data.len() as u64);
        length += data;
        memory += data + FRAME;
        data_only &= frame.is_data();
        read.frames.push_back(frame);
        if length > limit || memory > limit.saturating_mul(2).max(MIN_FRAMES * FRAME) {
            read.rest = Some(body);
            break;
        }
    }
    CollectedBody::Streaming(LayerBody::of(BodySource::Replayed { read }))
}

fn joined(frames: VecDeque<Frame<Bytes>>, length: u64) -> Bytes {
    let mut pieces = frames.into_iter().filter_map(|frame| frame.into_data().ok());
    match (pieces.next(), pieces.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
            for piece in [first, second].into_iter().chain(pieces) {
                whole.extend_from_slice(&piece);
            }
            whole.freeze()
        }
    }
}

impl<B: Body<Data = Bytes>> BodySource<B> {
    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            BodySourceProjected::Whole { bytes } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            BodySourceProjected::Pieces { pieces, length } => Poll::Ready(pieces.pop_front().map(|piece| {
                *length -= piece.remaining() as u64;
                Ok(Frame::data(piece))
            })),
            BodySourceProjected::Through { body } => body.poll_frame(context),
            BodySourceProjected::Replayed { read } => {
                if let Some(frame) = read.frames.pop_front() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                if let Some(error) = read.error.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                match &mut read.rest {
                    Some(rest) => rest.as_mut().poll_frame(context),
                    None => Poll::Ready(None),
                }
            }
        }
    }
}

impl<B: Body<Data = Bytes>> Body for LayerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match this.scope {
            Some(scope) => scope.run(|| this.source.poll_frame(context)),
            None => this.source.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            BodySource::Whole { bytes } => bytes.is_none(),
            BodySource::Pieces { pieces, .. } => pieces.is_empty(),
            BodySource::Through { body } => body.is_end_stream(),
            BodySource::Replayed { read } => {
                read.frames.is_empty() && read.error.is_none() && read.rest.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            BodySource::Whole { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            BodySource::Pieces { length, .. } => SizeHint::with_exact(*length),
            BodySource::Through { body } => body.size_hint(),
            BodySource::Replayed { read } => read.size_hint(),
        }
    }
}

impl<B: Body<Data = Bytes>> PartlyReadBody<B> {
    fn size_hint(&self) -> SizeHint {
        let data = self.frames.iter().filter_map(Frame::data_ref);
        let read: u64 = data.map(|data| data.len() as u64).sum();
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            // The length of a body that failed is unknown.
            None if self.error.is_some() => SizeHint::new(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(rest.lower().saturating_add(read));
        hint
    }
}

impl<B: Body> fmt::Debug for LayerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBody").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes>> Default for LayerBody<B> {
    fn default() -> LayerBody<B> {
        LayerBody::empty()
    }
}
