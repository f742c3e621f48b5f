//! A stored result and what a caller gets to see of it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::Value;

use crate::invalidation::dependencies::{Dependencies, FOREVER};
use crate::store::payload::Payload;
use crate::telemetry::{EntryReport, FragmentCounters, marked, readable};
use crate::util::clock::Nanos;
use crate::util::weight::shared;

/// What was computed.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Text as a template value, safe if and only if it is markup: printing a hit then copies the text once.
    Text(Value),
    /// A value in MessagePack.
    Data(Arc<[u8]>),
    /// A whole response.
    #[cfg_attr(
        not(any(feature = "http", feature = "shared")),
        expect(dead_code, reason = "only the HTTP layers store pages")
    )]
    Page(Arc<dyn Payload>),
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) identity: Arc<[u8]>,
    pub(crate) version: Option<u128>,
    pub(crate) body: Body,
    pub(crate) record: Dependencies,
    /// How long after its expiry it may still be served to those who would otherwise wait for somebody's work.
    pub(crate) stale: Nanos,
    /// How long after its expiry it is kept in memory, `stale` at the least.
    pub(crate) kept: Nanos,
    /// What it took to compute.
    pub(crate) cost: Nanos,
    /// What it is counted under.
    pub(crate) label: Arc<FragmentCounters>,
    weight: u32,
    /// Whether it was ever hit.
    used: AtomicBool,
}

/// An answer from the cache: what was computed, when that began, and when it expires.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) body: Body,
    pub(crate) began: Nanos,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) expires: Nanos,
}

impl Body {
    /// The bytes of a text or a value.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Body::Text(text) => text.as_str().unwrap_or_default().as_bytes(),
            Body::Data(bytes) => bytes,
            Body::Page(_) => &[],
        }
    }

    /// Its size, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Body::Text(text) => text.as_str().map_or(0, str::len),
            Body::Data(bytes) => bytes.len(),
            Body::Page(page) => page.len(),
        }
    }

    /// What it takes beside the entry itself.
    fn weight(&self) -> usize {
        match self {
            Body::Text(text) if text.is_safe() || self.len() > INLINE => shared(self.len()),
            Body::Text(_) => 0,
            Body::Data(bytes) => shared(bytes.len()),
            Body::Page(page) => page.weight(),
        }
    }
}

/// The longest text that MiniJinja keeps in a value itself, if it is no markup.
const INLINE: usize = 22;

/// What [`Entry::new`] does not find out for itself.
pub(crate) struct EntryParts {
    pub(crate) identity: Arc<[u8]>,
    pub(crate) version: Option<u128>,
    pub(crate) stale: Nanos,
    pub(crate) kept: Nanos,
    pub(crate) cost: Nanos,
    pub(crate) label: Arc<FragmentCounters>,
}

impl Entry {
    pub(crate) fn new(terms: EntryParts, body: Body, record: Dependencies) -> Entry {
        let EntryParts { identity, version, stale, kept, cost, label } = terms;
        let expires = if record.expires == FOREVER { 0 } else { TIMER };
        let own = shared(size_of::<Entry>()) + shared(identity.len()) + body.weight() + record.weight();
        let weight = u32::try_from(own + STORE + expires).unwrap_or(u32::MAX);
        Entry { identity, version, body, record, stale, kept, cost, label, weight, used: AtomicBool::new(false) }
    }

    /// Whether it only says by what an address varies, which no tag is about.
    pub(crate) fn is_direction(&self) -> bool {
        matches!(&self.body, Body::Page(page) if page.is_index())
    }

    /// Counts a hit.
    pub(crate) fn hit(&self) {
        self.label.hit(self.cost);
        // Read first: hits of all threads come through here.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the entry is younger than the lifetime it was stored with and the one asked for.
    pub(crate) fn fresh(&self, latest: Nanos, asked: Nanos) -> bool {
        latest < self.record.expires && latest < self.record.begin.at.saturating_add(asked)
    }

    /// Whether the entry is younger than the lifetimes that [`Entry::fresh`] holds it against, with this much added.
    pub(crate) fn fresh_within(&self, latest: Nanos, asked: Nanos, grace: Nanos) -> bool {
        latest < self.record.expires.saturating_add(grace)
            && latest < self.record.grace_ends
            && latest < self.record.begin.at.saturating_add(asked).saturating_add(grace)
    }

    /// What is reported of it.
    pub(crate) fn report(&self) -> EntryReport<'_> {
        EntryReport { label: &self.label, record: &self.record, cost: self.cost, bytes: self.body.len() }
    }

    /// What a caller gets to see of it.
    pub(crate) fn found(&self) -> Found {
        Found { body: self.body.clone(), began: self.record.begin.at, expires: self.record.expires }
    }

    /// Bytes it takes in memory, with what the store keeps beside it.
    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }
}

/// What moka keeps for each entry: its key, value, state and places in five pieces, a node of its queue, and a share of
/// the table. `tests/footprint.rs` holds the sum against the process.
const STORE: usize = 352;

/// What it keeps beside for one that expires: a node of its timer wheel.
const TIMER: usize = 64;

/// A piece of text from the cache, or on its way into it. Reads as a `str`, clones without copying.
///
/// Printed by a template it is escaped like any text, unless it is markup: rendered by a template under
/// auto-escaping, or declared so with [`Options::markup`](crate::Options::markup).
#[derive(Clone)]
pub struct Fragment(Value);

impl Fragment {
    pub(crate) fn new(text: Value) -> Fragment {
        Fragment(text)
    }

    /// The same between the marks of a number, if there is one.
    pub(crate) fn marked(self, mark: Option<u64>) -> Fragment {
        Fragment(marked(self.0, mark))
    }

    /// The text as it is, with its marks.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str().unwrap_or_default()
    }

    /// Whether a template prints it as it is.
    pub fn is_markup(&self) -> bool {
        self.0.is_safe()
    }
}

impl Deref for Fragment {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Fragment {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fragment").field("text", &self.as_str()).field("markup", &self.is_markup()).finish()
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl PartialEq for Fragment {
    fn eq(&self, other: &Fragment) -> bool {
        self.as_str() == other.as_str() && self.is_markup() == other.is_markup()
    }
}

impl Eq for Fragment {}

impl PartialEq<str> for Fragment {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Fragment {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<Fragment> for String {
    fn from(fragment: Fragment) -> String {
        fragment.as_str().to_owned()
    }
}

impl From<Fragment> for Value {
    fn from(fragment: Fragment) -> Value {
        readable(fragment.0)
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Fragment {
    /// Markup as `text/html`, other text as `text/plain`, both in UTF-8.
    fn into_response(self) -> axum_core::response::Response {
        let kind = if self.is_markup() { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        ([("content-type", kind)], String::from(self)).into_response()
    }
}
