//! Why a look-up found nothing of use, and why a result was not stored.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Why a result had to be computed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissReason {
    /// It was never stored here, as far as is remembered (the last 32,768 results).
    Cold,
    /// What is stored is older than the lifetime it was stored with, or than the one asked for.
    Expired,
    /// Its key was invalidated.
    KeyInvalidated,
    /// This tag of it was invalidated.
    TagInvalidated(Arc<str>),
    /// The key of something inside it was invalidated.
    InnerKeyInvalidated,
    /// Its namespace was cleared, or one around it.
    NamespaceCleared,
    /// Everything was cleared.
    Cleared,
    /// This template was changed: its file, its text in memory, or by
    /// [`invalidate_template`](crate::FragmentCache::invalidate_template).
    TemplateChanged(Arc<str>),
    /// A template was added to its environment.
    EnvironmentChanged,
    /// What is stored is of another version.
    Version,
    /// It was evicted from memory, where there was no room for it.
    Evicted,
    /// Its key is stored, but not for these variants: another `vary`, another visitor.
    OtherVariant,
    /// Other nodes' invalidations were not heard of for too long, so nobody can say whether what is stored is valid.
    Unconfirmed,
    /// The shared tier did not answer, or was not asked because it had not answered before.
    StoreFailed,
    /// What was computed last was not stored, and why.
    Rejected(Rejection),
    /// What is stored cannot be read as what is asked for.
    Unreadable,
    /// The caller would not take what is stored: a reload in a browser.
    Refused,
    /// The cache was not asked.
    Bypassed(Bypass),
}

/// Why the cache was not asked.
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
    /// The key of a handler is empty, or none.
    Key,
    /// Something about the request, in the word that `Cache-Status` has for it: `cookie`, `authorization`, `method` …
    Request(&'static str),
}

impl MissReason {
    /// In one word, for counting: the tag and the template are not in it.
    pub fn name(&self) -> &'static str {
        NAMES[self.index()]
    }

    /// What is to blame, where the reason names something: the tag, the template, why the last result was not stored, what
    /// about the request.
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

/// The words of [`MissReason::name`], by index.
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
    /// The reason in words, with the tag or template that is to blame.
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
    /// It may not be: `cache_skip()`, lifetime 0 or a false `if=` inside, an error inside that somebody swallowed.
    Uncacheable,
    /// Something it depends on was invalidated, or a template it used was changed, while it was computed.
    Invalidated,
    /// It is larger than [`Builder::max_entry_bytes`](crate::Builder::max_entry_bytes).
    TooLarge,
    /// Its lifetime, which counts from the start of its work, was over when it was done.
    Expired,
    /// Somebody else computes the same, and this caller had not waited for that, or no longer.
    Apart,
    /// It is part of a render whose start the cache did not see, so it may show data from before an invalidation: the
    /// page was not loaded through the cache, and no scope is around it.
    StartUnseen,
}

impl Rejection {
    /// In one word, for counting.
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
