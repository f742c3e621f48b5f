//! Filling the holes of a page for each request.
//!
//! A template leaves a hole with `cache_hole`. A hole that is in the page but cannot be filled is reported here.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use bytes::Bytes;
use http::request::Parts;

use super::hole_request::{BoxError, HoleFuture, HoleRequest};
use super::policy::Policy;
use super::timeout::{in_time, wait_timeout};
use crate::cache::hole::{self, HoleCall, Holes};
use crate::error::{Error, ErrorKind};
use crate::http::page::BodySegment;

/// Why a hole of a page cannot be filled.
pub(super) enum UnfilledHole {
    /// The page was not read whole, or the page has no mark of a hole.
    Unread,
    /// The mark of this hole was changed, or it belongs to a layer outside of this one.
    Misplaced(String),
}

impl UnfilledHole {
    /// For a page that is stored. It must not contain a mark of any request.
    pub(super) fn in_stored(page: &Bytes, holes: Option<&Holes>) -> Option<UnfilledHole> {
        let segments = split_at_holes(page.clone(), holes);
        if segments.len() == 1 && holes.is_some_and(Holes::any) && hole::left_in(page).is_none() {
            return Some(UnfilledHole::Unread);
        }
        texts(&segments).find_map(|text| hole::left_in(text)).map(UnfilledHole::Misplaced)
    }

    /// For a page that is passed on. It may contain marks of a layer outside of this one, which fills those holes.
    pub(super) fn in_unstored(page: &Bytes, holes: Option<&Holes>) -> Option<UnfilledHole> {
        let holes = holes?;
        let segments = split_at_holes(page.clone(), Some(holes));
        texts(&segments).find_map(|text| holes.left_in(text)).map(UnfilledHole::Misplaced)
    }

    /// For a page that is not read whole.
    pub(super) fn in_unread(holes: Option<&Holes>) -> Option<UnfilledHole> {
        holes.is_some_and(Holes::any).then_some(UnfilledHole::Unread)
    }

    pub(super) fn report(&self, policy: &Policy) {
        let message = match self {
            UnfilledHole::Unread => {
                let why = "larger than max_body_bytes, slower than the wait timeout, or compressed inside of the layer";
                format!("the holes of a page were not filled: it is {why}")
            }
            UnfilledHole::Misplaced(name) => format!(
                "the hole {name:?} was not filled: print the output of cache_hole as it is, in the page of the layer \
                 that has the hole"
            ),
        };
        policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
    }
}

fn texts(segments: &[BodySegment]) -> impl Iterator<Item = &Bytes> {
    segments.iter().filter_map(|segment| match segment {
        BodySegment::Text(bytes) => Some(bytes),
        BodySegment::Hole(_) => None,
    })
}

pub(super) fn split_at_holes(bytes: Bytes, holes: Option<&Holes>) -> Vec<BodySegment> {
    let found = holes.filter(|holes| holes.any()).map(|holes| holes.find(&bytes)).unwrap_or_default();
    let mut segments = Vec::with_capacity(2 * found.len() + 1);
    let mut from = 0;
    for (mark, call) in found {
        segments.push(BodySegment::Text(bytes.slice(from..mark.start)));
        segments.push(BodySegment::Hole(call));
        from = mark.end;
    }
    segments.push(BodySegment::Text(bytes.slice(from..)));
    segments
}

/// Fills all holes of a body concurrently. A hole that fails stays empty and is reported.
pub(super) async fn assemble(policy: &Policy, segments: &[BodySegment], request: &Parts) -> Vec<Bytes> {
    let mut body: Vec<Result<Bytes, HoleFuture>> = Vec::with_capacity(segments.len());
    let mut names = Vec::with_capacity(segments.len());
    for segment in segments {
        let (name, part) = match segment {
            BodySegment::Text(bytes) => ("", Ok(bytes.clone())),
            BodySegment::Hole(call) => (call.name.as_str(), Err(fill(policy, call, request))),
        };
        names.push(name);
        body.push(part);
    }
    policy.cache.scope().run_async(poll_all(policy, body, &names)).await
}

fn fill(policy: &Policy, call: &HoleCall, request: &Parts) -> HoleFuture {
    let request = HoleRequest::new(request, &call.arguments);
    match policy.holes.get(&call.name).cloned() {
        Some(fill) => Box::pin(async move { fill(request).await }),
        None => Box::pin(async { Err("this layer has no hole of that name".into()) }),
    }
}

/// Polls the futures of all holes until they are ready or the cache's wait timeout has passed.
async fn poll_all(policy: &Policy, mut body: Vec<Result<Bytes, HoleFuture>>, names: &[&str]) -> Vec<Bytes> {
    let inner = &policy.cache.inner;
    let leave_empty = |name: &str, error: BoxError| {
        let message = format!("the hole {name:?} was left empty");
        inner.report(&Error::new(ErrorKind::Callback, message).with_source(error));
        Ok(Bytes::new())
    };
    let filled = poll_fn(|context| {
        let mut pending = false;
        for (part, name) in body.iter_mut().zip(names) {
            let Err(filling) = part else { continue };
            match catch_unwind(AssertUnwindSafe(|| filling.as_mut().poll(context))) {
                Ok(Poll::Ready(Ok(text))) => *part = Ok(Bytes::from(text)),
                Ok(Poll::Ready(Err(error))) => *part = leave_empty(name, error),
                Ok(Poll::Pending) => pending = true,
                Err(_) => *part = leave_empty(name, "it panicked".into()),
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    });
    if in_time(filled, wait_timeout(policy)).await.is_none() {
        for (part, name) in body.iter_mut().zip(names).filter(|(part, _)| part.is_err()) {
            *part = leave_empty(name, "it took longer than the wait timeout".into());
        }
    }
    body.into_iter().filter_map(Result::ok).collect()
}
