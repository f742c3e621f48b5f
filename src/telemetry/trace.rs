//! The cache in `tracing`: a span around each computation, and events of what it does beside that.
//!
//! Owns names, levels and fields; who calls it and when is `recorder.rs` and `cache/computation.rs`. Without the
//! feature `trace/disabled.rs` stands in: nobody listens.
//!
//! Names follow OpenTelemetry's attribute naming (lower case, namespaces before dots, words with underscores).
//! `otel.name`, `otel.status_code` and `error.type` are the names that are fixed there; for a cache there is no
//! convention. A key's text is never in here, only its hash.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::field::Empty;
use tracing::subscriber::NoSubscriber;
use tracing::{Level, debug, debug_span, trace, warn};

use crate::error::Error;
use crate::invalidation::stack::Entered;
use crate::telemetry::{About, By, FragmentCounters, KeyHash, MissReason, Outcome, Rejection, Target};

/// What the application's filters know all of this by.
const TARGET: &str = "minijinja_cache";

/// The span of a computation; none while no subscriber listens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span(Option<Arc<OpenSpan>>);

/// A span that is not over.
#[derive(Debug)]
struct OpenSpan(tracing::Span);

impl Span {
    /// The span of a computation that begins, inside of what is current on this thread.
    #[inline]
    pub(crate) fn open(cache: &str, label: &FragmentCounters, key: KeyHash, reason: Option<&MissReason>) -> Span {
        if tracing::level_enabled!(Level::DEBUG) { Span::opened(cache, label, key, reason) } else { Span(None) }
    }

    #[cold]
    fn opened(cache: &str, label: &FragmentCounters, key: KeyHash, reason: Option<&MissReason>) -> Span {
        let span = quietly(|| {
            debug_span!(
                target: TARGET,
                "fragment",
                otel.name = %format_args!("fragment {}", label.name),
                cache.name = cache,
                fragment.label = &*label.name,
                fragment.kind = label.kind.name(),
                fragment.key_hash = %key,
                fragment.template = label.template.as_deref(),
                fragment.outcome = reason.map(|_| "miss"),
                fragment.reason = reason.map(MissReason::name),
                fragment.reason_detail = reason.and_then(MissReason::blamed),
                fragment.bytes = Empty,
                fragment.stored = Empty,
                fragment.rejection = Empty,
                error.type = Empty,
                otel.status_code = Empty,
            )
        });
        Span(span.filter(|span| !span.is_disabled()).map(|span| Arc::new(OpenSpan(span))))
    }

    /// What a frame enters.
    pub(crate) fn entered(&self) -> Option<Arc<dyn Entered>> {
        self.0.clone().map(|span| span as Arc<dyn Entered>)
    }

    /// The same for what may outlive the computation: it does not keep the span open.
    #[cfg(feature = "http")]
    pub(crate) fn downgrade(&self) -> Option<crate::invalidation::stack::WeakEntered> {
        self.entered().as_ref().map(Arc::downgrade)
    }

    /// Says what came of it.
    pub(crate) fn computed(&self, bytes: usize, rejected: Option<Rejection>) {
        let Some(span) = &self.0 else { return };
        quietly(|| {
            span.0.record("fragment.bytes", bytes as u64).record("fragment.stored", rejected.is_none());
            if let Some(rejection) = rejected {
                span.0.record("fragment.rejection", rejection.name());
            }
        });
    }

    /// Says that it ended with an error or a panic.
    pub(crate) fn failed(&self) {
        let Some(span) = &self.0 else { return };
        let kind = if std::thread::panicking() { "panic" } else { "error" };
        quietly(|| {
            span.0.record("error.type", kind).record("otel.status_code", "ERROR").record("fragment.stored", false);
        });
    }

    /// Says that it ended without a result to store, and without an error.
    pub(crate) fn ended(&self, why: &'static str) {
        let Some(span) = &self.0 else { return };
        quietly(|| {
            span.0.record("fragment.stored", false).record("fragment.rejection", why);
        });
    }
}

impl Entered for OpenSpan {
    fn enter(&self) {
        quietly(|| self.0.with_subscriber(|(id, subscriber)| subscriber.enter(id)));
    }

    fn exit(&self) {
        quietly(|| self.0.with_subscriber(|(id, subscriber)| subscriber.exit(id)));
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        // The subscriber is told that the span is over.
        let span = std::mem::replace(&mut self.0, tracing::Span::none());
        quietly(|| drop(span));
    }
}

/// Whether look-ups that the cache answered are told to anybody.
#[inline]
pub(crate) fn of_hits() -> bool {
    tracing::level_enabled!(Level::TRACE)
}

/// Whether changes of the cache may be told to anybody.
#[inline]
pub(crate) fn of_changes() -> bool {
    tracing::level_enabled!(Level::DEBUG)
}

/// A look-up that an entry answered.
pub(crate) fn answered(cache: &str, label: &FragmentCounters, key: KeyHash, outcome: &Outcome) {
    quietly(|| {
        trace!(
            target: TARGET,
            {
                cache.name = cache,
                fragment.label = &*label.name,
                fragment.kind = label.kind.name(),
                fragment.key_hash = %key,
                fragment.template = label.template.as_deref(),
                fragment.outcome = outcome.name()
            },
            "fragment answered"
        );
    });
}

/// A look-up that was not made.
pub(crate) fn bypassed(cache: &str, label: &FragmentCounters, key: KeyHash, reason: &MissReason) {
    quietly(|| {
        debug!(
            target: TARGET,
            {
                cache.name = cache,
                fragment.label = &*label.name,
                fragment.kind = label.kind.name(),
                fragment.key_hash = %key,
                fragment.template = label.template.as_deref(),
                fragment.outcome = "bypass",
                fragment.reason = reason.name(),
                fragment.reason_detail = reason.blamed()
            },
            "fragment bypassed"
        );
    });
}

/// A result that took the place of one that was of no use any more.
pub(crate) fn refreshed(cache: &str, about: &About, reason: &MissReason, took: Duration) {
    quietly(|| {
        debug!(
            target: TARGET,
            {
                cache.name = cache,
                fragment.label = &*about.label,
                fragment.kind = about.kind.name(),
                fragment.key_hash = %about.key,
                fragment.reason = reason.name(),
                fragment.reason_detail = reason.blamed(),
                fragment.duration = took.as_secs_f64()
            },
            "fragment refreshed"
        );
    });
}

/// An invalidation, once it is in force.
pub(crate) fn invalidated(cache: &str, what: &Target, by: &By) {
    let (hash, name, count) = match what {
        Target::Key(hash) => (Some(tracing::field::display(hash)), None, None),
        Target::Tag(name) | Target::Page(name) | Target::Template(name) | Target::Namespace(name) => {
            (None, Some(&**name), None)
        }
        Target::Everything => (None, None, None),
        Target::Hashes(count) => (None, None, Some(*count as u64)),
    };
    let (signal, message) = match by {
        By::Signal(signal) => (Some(&**signal), "invalidated"),
        By::Watch => (None, "template changed"),
        _ => (None, "invalidated"),
    };
    quietly(|| {
        debug!(
            target: TARGET,
            {
                cache.name = cache,
                invalidation.target = what.name(),
                invalidation.name = name,
                invalidation.key_hash = hash,
                invalidation.count = count,
                invalidation.by = by.name(),
                invalidation.signal = signal
            },
            "{message}"
        );
    });
}

/// An entry that left memory because there was no room.
pub(crate) fn evicted(cache: &str, about: &About, age: Duration, bytes: u32, used: bool) {
    quietly(|| {
        trace!(
            target: TARGET,
            {
                cache.name = cache,
                fragment.label = &*about.label,
                fragment.kind = about.kind.name(),
                fragment.key_hash = %about.key,
                fragment.age = age.as_secs_f64(),
                fragment.bytes = bytes,
                fragment.used = used
            },
            "fragment evicted"
        );
    });
}

/// Whether there is a subscriber that is told of failures, whatever it makes of them.
pub(crate) fn is_heard() -> bool {
    quietly(|| tracing::dispatcher::get_default(|dispatch| !dispatch.is::<NoSubscriber>())).unwrap_or(false)
}

/// A failure of the cache itself, which failed no page.
pub(crate) fn error(cache: &str, error: &Error) {
    quietly(|| warn!(target: TARGET, { cache.name = cache, error.type = error.kind().name() }, "{error}"));
}

/// A subscriber that panics must fail no page, least of all from a destructor. The panic hook has told of it.
fn quietly<R>(tell: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(tell)).ok()
}
