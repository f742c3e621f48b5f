//! A stored result, and what a caller receives of it. What the result depends on is in `invalidation/dependencies.rs`,
//! the map that stores it in `memory.rs`.

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

/// The content of an entry.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Text as a template value, marked safe if and only if it is markup: printing a hit then copies the text once.
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
    /// The grace: how long after its expiry the entry may still be served to requests that would otherwise wait for a
    /// computation.
    pub(crate) stale: Nanos,
    /// How long after its expiry the entry stays in memory; at least `stale`.
    pub(crate) kept: Nanos,
    /// How long the computation took.
    pub(crate) cost: Nanos,
    /// The counters of the fragment.
    pub(crate) label: Arc<FragmentCounters>,
    weight: u32,
    /// Whether the entry was ever hit.
    used: AtomicBool,
}

/// The result of a hit: the content, when its computation began, and when it expires.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) body: Body,
    pub(crate) began: Nanos,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) expires: Nanos,
}

impl Body {
    /// The bytes of a text or a value; empty for a page.
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

    /// Bytes allocated beside the entry itself.
    fn weight(&self) -> usize {
        match self {
            Body::Text(text) if text.is_safe() || self.len() > INLINE => shared(self.len()),
            Body::Text(_) => 0,
            Body::Data(bytes) => shared(bytes.len()),
            Body::Page(page) => page.weight(),
        }
    }
}

/// The longest text, in bytes, that MiniJinja stores inside a value, if the text is not markup.
const INLINE: usize = 22;

/// Arguments of [`Entry::new`].
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

    /// Whether the entry is the `Vary` index of a page, not a response. No tag applies to it.
    pub(crate) fn is_direction(&self) -> bool {
        matches!(&self.body, Body::Page(page) if page.is_index())
    }

    /// Counts a hit.
    pub(crate) fn hit(&self) {
        self.label.hit(self.cost);
        // A load first: hits of all threads run through this line, and a store would contend for the cache line.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the entry is younger than its own lifetime and than the lifetime of the request.
    pub(crate) fn fresh(&self, latest: Nanos, asked: Nanos) -> bool {
        latest < self.record.expires && latest < self.record.begin.at.saturating_add(asked)
    }

    /// Whether the entry is younger than the two lifetimes of [`Entry::fresh`], each extended by `grace`.
    pub(crate) fn fresh_within(&self, latest: Nanos, asked: Nanos, grace: Nanos) -> bool {
        latest < self.record.expires.saturating_add(grace)
            && latest < self.record.grace_ends
            && latest < self.record.begin.at.saturating_add(asked).saturating_add(grace)
    }

    /// The description of the entry for reports.
    pub(crate) fn report(&self) -> EntryReport<'_> {
        EntryReport { label: &self.label, record: &self.record, cost: self.cost, bytes: self.body.len() }
    }

    /// What a caller receives of the entry.
    pub(crate) fn found(&self) -> Found {
        Found { body: self.body.clone(), began: self.record.begin.at, expires: self.record.expires }
    }

    /// Bytes that the entry takes in memory, including what the memory store allocates for it.
    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }
}

/// Bytes that moka allocates for each entry: key, value, state and nodes in five pieces, a node of its queue, and a
/// share of the table. `tests/footprint.rs` compares the sum with the growth of the process.
const STORE: usize = 352;

/// Bytes that moka allocates in addition for an entry that expires: a node of its timer wheel.
const TIMER: usize = 64;

/// A text from the cache, or on its way into the cache. It dereferences to `str`, and cloning does not copy the text.
///
/// A template that prints a fragment escapes it like any text, unless the fragment is markup: rendered by a template
/// under auto-escaping, or declared as markup with [`Options::markup`](crate::Options::markup).
#[derive(Clone)]
pub struct Fragment(Value);

impl Fragment {
    pub(crate) fn new(text: Value) -> Fragment {
        Fragment(text)
    }

    /// The fragment between the marks with this number, if there is one.
    pub(crate) fn marked(self, mark: Option<u64>) -> Fragment {
        Fragment(marked(self.0, mark))
    }

    /// The text, with its marks.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str().unwrap_or_default()
    }

    /// Whether the fragment is markup, which a template prints without escaping.
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
