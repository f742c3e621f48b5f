//! Spans and events for `tracing`: a span around each computation, and events for look-ups, refreshes, invalidations,
//! evictions and errors.
//!
//! Defines names, levels and fields. `recorder.rs`, `report.rs`, `cache/computation.rs` and
//! `store/eviction_listener.rs` decide when to record. Without the feature `tracing`, `trace/disabled.rs` replaces this
//! file and records nothing.
//!
//! Names follow OpenTelemetry's attribute naming (lower case, namespaces before dots, words with underscores).
//! `otel.name`, `otel.status_code` and `error.type` are fixed there; OpenTelemetry has no convention for caches. Fields
//! contain the hash of a key, never its text.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::field::Empty;
use tracing::subscriber::NoSubscriber;
use tracing::{Level, debug, debug_span, trace, warn};

use crate::error::Error;
use crate::invalidation::stack::Entered;
use crate::telemetry::{About, By, FragmentCounters, KeyHash, MissReason, Outcome, Rejection, Target};

/// The target of all spans and events, for the application's filters.
const TARGET: &str = "minijinja_cache";

/// The span of a computation. Empty if no tracing subscriber records it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span(Option<Arc<OpenSpan>>);

/// A span that has not ended.
#[derive(Debug)]
struct OpenSpan(tracing::Span);

impl Span {
    /// Opens the span of a computation inside the current span of this thread.
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

    /// The span, for a frame that enters it.
    pub(crate) fn entered(&self) -> Option<Arc<dyn Entered>> {
        self.0.clone().map(|span| span as Arc<dyn Entered>)
    }

    /// The same as a weak reference, for a frame that may outlive the computation. It does not keep the span open.
    #[cfg(feature = "http")]
    pub(crate) fn downgrade(&self) -> Option<crate::invalidation::stack::WeakEntered> {
        self.entered().as_ref().map(Arc::downgrade)
    }

    /// Records the result of the computation.
    pub(crate) fn computed(&self, bytes: usize, rejected: Option<Rejection>) {
        let Some(span) = &self.0 else { return };
        quietly(|| {
            span.0.record("fragment.bytes", bytes as u64).record("fragment.stored", rejected.is_none());
            if let Some(rejection) = rejected {
                span.0.record("fragment.rejection", rejection.name());
            }
        });
    }

    /// Records that the computation ended with an error or a panic.
    pub(crate) fn failed(&self) {
        let Some(span) = &self.0 else { return };
        let kind = if std::thread::panicking() { "panic" } else { "error" };
        quietly(|| {
            span.0.record("error.type", kind).record("otel.status_code", "ERROR").record("fragment.stored", false);
        });
    }

    /// Records that the computation ended without an error and without a result to store.
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
        // Dropping the span calls the subscriber, which may panic.
        let span = std::mem::replace(&mut self.0, tracing::Span::none());
        quietly(|| drop(span));
    }
}

/// True if a tracing subscriber may record hits (level TRACE).
#[inline]
pub(crate) fn of_hits() -> bool {
    tracing::level_enabled!(Level::TRACE)
}

/// True if a tracing subscriber may record changes of the cache (level DEBUG).
#[inline]
pub(crate) fn of_changes() -> bool {
    tracing::level_enabled!(Level::DEBUG)
}

/// Records a look-up that an entry answered.
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

/// Records a bypass.
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

/// Records a result that replaced an entry that could not be used.
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

/// Records an invalidation that is in force.
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

/// Records an entry that was evicted for lack of room.
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

/// True if there is a tracing subscriber, even if its filter drops the failures.
pub(crate) fn is_heard() -> bool {
    quietly(|| tracing::dispatcher::get_default(|dispatch| !dispatch.is::<NoSubscriber>())).unwrap_or(false)
}

/// Records a failure of the cache itself, which failed no page.
pub(crate) fn error(cache: &str, error: &Error) {
    quietly(|| warn!(target: TARGET, { cache.name = cache, error.type = error.kind().name() }, "{error}"));
}

/// Catches panics of a tracing subscriber: they must not fail a page, and must not leave a destructor. The panic hook
/// has reported the panic.
fn quietly<R>(tell: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(tell)).ok()
}
