//! Replaces `telemetry/trace.rs` without the `tracing` feature: records nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::invalidation::stack::Entered;
use crate::telemetry::{About, By, FragmentCounters, KeyHash, MissReason, Outcome, Rejection, Target};

#[derive(Debug, Clone, Default)]
pub(crate) struct Span(());

impl Span {
    pub(crate) fn open(_: &str, _: &FragmentCounters, _: KeyHash, _: Option<&MissReason>) -> Span {
        Span(())
    }

    pub(crate) fn entered(&self) -> Option<Arc<dyn Entered>> {
        None
    }

    #[cfg(feature = "http")]
    pub(crate) fn downgrade(&self) -> Option<crate::invalidation::stack::WeakEntered> {
        None
    }

    pub(crate) fn computed(&self, _: usize, _: Option<Rejection>) {}

    pub(crate) fn failed(&self) {}

    pub(crate) fn ended(&self, _: &'static str) {}
}

pub(crate) fn of_hits() -> bool {
    false
}

pub(crate) fn of_changes() -> bool {
    false
}

pub(crate) fn answered(_: &str, _: &FragmentCounters, _: KeyHash, _: &Outcome) {}

pub(crate) fn bypassed(_: &str, _: &FragmentCounters, _: KeyHash, _: &MissReason) {}

pub(crate) fn refreshed(_: &str, _: &About, _: &MissReason, _: Duration) {}

pub(crate) fn invalidated(_: &str, _: &Target, _: &By) {}

pub(crate) fn evicted(_: &str, _: &About, _: Duration, _: u32, _: bool) {}

pub(crate) fn is_heard() -> bool {
    false
}

pub(crate) fn error(_: &str, _: &Error) {}
