//! The reasons of misses and bypasses, and the reasons for not storing a result.
//!
//! `cache/miss_reason.rs` finds the reason of a miss, and `cache/computation.rs` decides about a rejection.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Why a fragment had to be computed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissReason {
    /// The result was never stored on this node, as far as is remembered (the last 32,768 results).
    Cold,
    /// The entry is older than the lifetime it was stored with, or than the lifetime of the request.
    Expired,
    /// The key was invalidated.
    KeyInvalidated,
    /// This tag of the entry was invalidated.
    TagInvalidated(Arc<str>),
    /// The key of a fragment inside was invalidated.
    InnerKeyInvalidated,
    /// The namespace of the entry, or one around it, was cleared.
    NamespaceCleared,
    /// The whole cache was cleared.
    Cleared,
    /// This template was changed: its file changed, its text in memory was replaced, or the application called
    /// [`invalidate_template`](crate::FragmentCache::invalidate_template).
    TemplateChanged(Arc<str>),
    /// A template was added to the environment of the entry.
    EnvironmentChanged,
    /// The entry has another version.
    Version,
    /// The entry was evicted from memory for lack of room.
    Evicted,
    /// The key has entries, but none for this variant: another `vary`, another visitor.
    OtherVariant,
    /// This node has not synchronised with the shared tier within the staleness bound, so it cannot know whether the
    /// entry is valid.
    Unconfirmed,
    /// The shared tier did not answer, or was not called because earlier calls had failed.
    StoreFailed,
    /// The last result was not stored, for this reason.
    Rejected(Rejection),
    /// The stored entry cannot be read as the type of the request.
    Unreadable,
    /// The request does not accept the stored entry: a reload in a browser.
    Refused,
    /// The look-up was not made.
    Bypassed(Bypass),
}

/// Why a look-up was not made.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bypass {
    /// Caching is switched off: [`Builder::enabled`](crate::Builder::enabled).
    Off,
    /// The lifetime is 0.
    Lifetime,
    /// `if=` is false or `unless=` is true.
    Condition,
    /// The key of a handler is empty or `None`.
    Key,
    /// A property of the HTTP request, as in `Cache-Status`: `cookie`, `authorization`, `method` …
    Request(&'static str),
}

impl MissReason {
    /// The reason in one word, for metrics. It does not contain the tag or the template.
    pub fn name(&self) -> &'static str {
        NAMES[self.index()]
    }

    /// The detail of the reason, if it has one: the tag, the template, the rejection of the last result, or the
    /// property of the HTTP request.
    pub fn blamed(&self) -> Option<&str> {
        match self {
            MissReason::TagInvalidated(name) | MissReason::TemplateChanged(name) => Some(name),
            MissReason::Rejected(rejection) => Some(rejection.name()),
            MissReason::Bypassed(Bypass::Request(what)) => Some(what),
            _ => None,
        }
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            MissReason::Cold => 0,
            MissReason::Expired => 1,
            MissReason::KeyInvalidated => 2,
            MissReason::TagInvalidated(_) => 3,
            MissReason::InnerKeyInvalidated => 4,
            MissReason::NamespaceCleared => 5,
            MissReason::Cleared => 6,
            MissReason::TemplateChanged(_) => 7,
            MissReason::EnvironmentChanged => 8,
            MissReason::Version => 9,
            MissReason::Evicted => 10,
            MissReason::OtherVariant => 11,
            MissReason::Unconfirmed => 12,
            MissReason::StoreFailed => 13,
            MissReason::Unreadable => 14,
            MissReason::Refused => 15,
            MissReason::Bypassed(Bypass::Off) => 16,
            MissReason::Bypassed(Bypass::Lifetime) => 17,
            MissReason::Bypassed(Bypass::Condition) => 18,
            MissReason::Bypassed(Bypass::Key) => 19,
            MissReason::Bypassed(Bypass::Request(_)) => 20,
            MissReason::Rejected(_) => 21,
        }
    }
}

/// The names that [`MissReason::name`] returns, by index.
pub(crate) const NAMES: [&str; 22] = [
    "cold",
    "expired",
    "key-invalidated",
    "tag-invalidated",
    "inner-key-invalidated",
    "namespace-cleared",
    "cleared",
    "template-changed",
    "environment-changed",
    "version",
    "evicted",
    "other-variant",
    "unconfirmed",
    "store-failed",
    "unreadable",
    "refused",
    "bypass-off",
    "bypass-lifetime",
    "bypass-condition",
    "bypass-key",
    "bypass-request",
    "rejected",
];

impl fmt::Display for MissReason {
    /// The reason in words, with the tag or the template that was invalidated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissReason::Cold => f.write_str("never stored"),
            MissReason::Expired => f.write_str("expired"),
            MissReason::KeyInvalidated => f.write_str("key invalidated"),
            MissReason::TagInvalidated(tag) => write!(f, "tag {tag:?} invalidated"),
            MissReason::InnerKeyInvalidated => f.write_str("key of something inside invalidated"),
            MissReason::NamespaceCleared => f.write_str("namespace cleared"),
            MissReason::Cleared => f.write_str("everything cleared"),
            MissReason::TemplateChanged(name) => write!(f, "template {name:?} changed"),
            MissReason::EnvironmentChanged => f.write_str("template added to the environment"),
            MissReason::Version => f.write_str("another version"),
            MissReason::Evicted => f.write_str("evicted"),
            MissReason::OtherVariant => f.write_str("stored for other variants only"),
            MissReason::Unconfirmed => f.write_str("out of touch with the shared tier"),
            MissReason::StoreFailed => f.write_str("shared tier failed"),
            MissReason::Rejected(rejection) => write!(f, "not stored last time: {rejection}"),
            MissReason::Unreadable => f.write_str("stored as something else"),
            MissReason::Refused => f.write_str("what is stored was refused"),
            MissReason::Bypassed(bypass) => write!(f, "bypassed: {bypass}"),
        }
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bypass::Off => f.write_str("caching is off"),
            Bypass::Lifetime => f.write_str("lifetime 0"),
            Bypass::Condition => f.write_str("its condition says so"),
            Bypass::Key => f.write_str("no key"),
            Bypass::Request(what) => write!(f, "request ({what})"),
        }
    }
}

/// Why a result was not stored.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// The result may not be stored: `cache_skip()`, a fragment inside with lifetime 0 or a false `if=`, or an error
    /// inside that template code swallowed.
    Uncacheable,
    /// During the computation, one of its dependencies was invalidated or one of its templates was changed.
    Invalidated,
    /// The entry is larger than [`Builder::max_entry_bytes`](crate::Builder::max_entry_bytes).
    TooLarge,
    /// The lifetime, which counts from the start of the computation, had ended when the computation finished.
    Expired,
    /// Another caller leads the flight of this fragment. This caller did not wait for it, or stopped waiting, and
    /// computed the result for itself.
    Apart,
    /// The cache did not see the start of the render, so the result may show data from before an invalidation. The page
    /// was not loaded through the cache, and no scope encloses the render.
    StartUnseen,
}

impl Rejection {
    /// The reason in one word, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::Uncacheable => "uncacheable",
            Rejection::Invalidated => "invalidated",
            Rejection::TooLarge => "too-large",
            Rejection::Expired => "expired",
            Rejection::Apart => "apart",
            Rejection::StartUnseen => "start-unseen",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::Uncacheable => "uncacheable",
            Rejection::Invalidated => "invalidated meanwhile",
            Rejection::TooLarge => "too large",
            Rejection::Expired => "expired when done",
            Rejection::Apart => "computed apart",
            Rejection::StartUnseen => "start of the render not seen",
        })
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        assert_eq!(MissReason::Rejected(Rejection::TooLarge).index(), NAMES.len() - 1);
        assert_eq!(MissReason::TagInvalidated("a".into()).name(), "tag-invalidated");
    }
}
