//! Explanations: the look-ups of a closure or a future, with their outcomes, in the order they were made.
//!
//! A collector is attached to a frame and records the look-ups made in that frame. `recorder.rs` notes look-ups in it;
//! `cache/explain.rs` starts and ends it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;

use super::fragment_ref::About;
use super::label::FragmentCounters;
use super::outcome::Outcome;
use super::reason::Rejection;
use crate::invalidation::dependencies::{Dependencies, FOREVER};
use crate::invalidation::stack::{self, Frame};
use crate::util::clock::Nanos;
use crate::util::sync::lock;

/// One look-up and its outcome.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The fragment that was looked up.
    pub about: About,
    /// How the look-up was answered.
    pub outcome: Outcome,
    /// The look-up that encloses this one, by its index in [`Explanation::fragments`]; `None` at the top level.
    pub inside: Option<usize>,
    /// Time from the start of the computation of the entry to the look-up. Zero if the look-up computed the fragment.
    pub age: Duration,
    /// The remaining lifetime. `None` if the entry does not expire, or if the result was not stored.
    pub ttl_left: Option<Duration>,
    /// The tags of the fragment, including those of the fragments inside.
    pub tags: Vec<Arc<str>>,
    /// The templates that the fragment used.
    pub templates: Vec<Arc<str>>,
    /// How long the computation took, in this look-up or when the entry was stored.
    pub cost: Duration,
    /// The size of the result, in bytes.
    pub bytes: usize,
    /// Why the result was not stored. `None` if it was stored or not computed.
    pub rejected: Option<Rejection>,
    /// True if the computation ended with an error.
    pub failed: bool,
    /// True if the key computed a lazy value. Its query then runs on hits too.
    pub lazy_key: bool,
    #[serde(skip)]
    key: Box<[u8]>,
    #[serde(skip)]
    mark: u64,
}

impl Explained {
    /// The number of the marks around its text.
    #[cfg(feature = "debug")]
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// The key as the caller gave it, in readable form. It may contain private data, such as an e-mail address.
    pub fn key_text(&self) -> String {
        crate::key::readable(&self.key)
    }
}

/// The look-ups of a closure or a future; see [`FragmentCache::explain`](crate::FragmentCache::explain).
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// The look-ups, in the order they were made.
    pub fragments: Vec<Explained>,
}

impl Explanation {
    /// The number of look-ups with this outcome, given as in [`Outcome::name`].
    pub fn count(&self, outcome: &str) -> usize {
        self.fragments.iter().filter(|fragment| fragment.outcome.name() == outcome).count()
    }

    /// The first look-up of the fragment with this label.
    pub fn find(&self, label: &str) -> Option<&Explained> {
        self.fragments.iter().find(|fragment| &*fragment.about.label == label)
    }
}

impl fmt::Display for Explanation {
    /// One line for each look-up. A look-up inside another one is indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut depths: Vec<usize> = Vec::with_capacity(self.fragments.len());
        for fragment in &self.fragments {
            let depth = fragment.inside.and_then(|at| depths.get(at)).map_or(0, |depth| depth + 1);
            depths.push(depth);
            let About { label, kind, key } = &fragment.about;
            write!(f, "{:depth$}{kind} {label} [{key}]: {}", "", fragment.outcome, depth = depth * 2)?;
            if fragment.failed {
                f.write_str(", failed")?;
            }
            if fragment.lazy_key {
                f.write_str(", its key computes a lazy value")?;
            }
            if let Some(rejected) = fragment.rejected {
                write!(f, ", not stored: {rejected}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The parts of an entry that are reported.
pub(crate) struct EntryReport<'a> {
    pub(crate) label: &'a Arc<FragmentCounters>,
    pub(crate) record: &'a Dependencies,
    pub(crate) cost: Nanos,
    pub(crate) bytes: usize,
}

/// Collects the look-ups of one explanation.
#[derive(Debug)]
pub(crate) struct Collector {
    /// `None` after the explanation has ended. Computations that continue after that are not recorded.
    fragments: Mutex<Option<Vec<Explained>>>,
    /// True if templates print marks where each fragment begins and ends.
    marks: bool,
}

/// The number of running collectors of a cache. While it is zero, look-ups do not search the frames for one.
#[derive(Debug, Default)]
pub(crate) struct Collectors {
    any: AtomicUsize,
    marking: AtomicUsize,
    /// True if there was ever a collector with marks.
    marked: AtomicBool,
}

impl Collectors {
    pub(crate) fn begin(&self, marks: bool) -> Arc<Collector> {
        self.any.fetch_add(1, Ordering::Relaxed);
        self.marking.fetch_add(usize::from(marks), Ordering::Relaxed);
        self.marked.fetch_or(marks, Ordering::Relaxed);
        Arc::new(Collector { fragments: Mutex::new(Some(Vec::new())), marks })
    }

    pub(crate) fn end(&self, collector: &Collector) {
        self.any.fetch_sub(1, Ordering::Relaxed);
        self.marking.fetch_sub(usize::from(collector.marks), Ordering::Relaxed);
    }

    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn marking(&self) -> bool {
        self.marking.load(Ordering::Relaxed) > 0
    }

    /// True if a text may contain marks. It stays true after the last collector with marks has ended, because a
    /// computation that began before may end later.
    pub(crate) fn have_marked(&self) -> bool {
        self.marked.load(Ordering::Relaxed)
    }
}

/// A look-up in a collector whose computation is not finished.
#[derive(Debug, Clone)]
pub(crate) struct LookupHandle {
    collector: Arc<Collector>,
    at: usize,
    mark: Option<u64>,
}

impl LookupHandle {
    /// The index of the look-up in its collector.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Prints the fragment without marks.
    pub(crate) fn unmark(&mut self) {
        self.mark = None;
    }

    /// The number of the marks; `None` if the fragment is printed without marks.
    pub(crate) fn mark(&self) -> Option<u64> {
        self.mark
    }

    pub(crate) fn computed(&self, entry: &EntryReport<'_>, rejected: Option<Rejection>, latest: Nanos) {
        self.update(|fragment| {
            fragment.cost = Duration::from_nanos(entry.cost);
            fragment.bytes = entry.bytes;
            fragment.rejected = rejected;
            fragment.depends_on(entry.record);
            if rejected.is_none() {
                fragment.ttl_left = left(entry.record, latest);
            }
        });
    }

    pub(crate) fn call(&self, label: &Arc<str>) {
        self.update(|fragment| fragment.about.label = Arc::clone(label));
    }

    pub(crate) fn failed(&self) {
        self.update(|fragment| fragment.failed = true);
    }

    /// Records that the response was passed on to one caller and not stored.
    #[cfg(feature = "http")]
    pub(crate) fn passed_on(&self) {
        self.update(|fragment| fragment.rejected = Some(Rejection::Uncacheable));
    }

    fn update(&self, change: impl FnOnce(&mut Explained)) {
        // `None` if the computation outlived the explanation.
        if let Some(fragment) = self.collector.lock().as_mut().and_then(|fragments| fragments.get_mut(self.at)) {
            change(fragment);
        }
    }
}

impl Collector {
    /// Ends the collector and returns its look-ups.
    pub(crate) fn take(&self) -> Vec<Explained> {
        self.lock().take().unwrap_or_default()
    }

    /// Adds the look-ups that another collector recorded inside the look-up `inside`.
    pub(crate) fn add(&self, fragments: &[Explained], inside: Option<usize>) {
        let mut all = self.lock();
        let Some(all) = &mut *all else { return };
        let before = all.len();
        all.extend(fragments.iter().cloned().map(|mut fragment| {
            fragment.inside = fragment.inside.map(|at| at + before).or(inside);
            fragment
        }));
    }

    pub(crate) fn marks(&self) -> bool {
        self.marks
    }

    /// Records a look-up, the one that encloses it (`inside`), and the entry that answered it (`found`). Returns `None`
    /// if the explanation has ended.
    pub(crate) fn note(
        self: &Arc<Self>,
        about: About,
        outcome: Outcome,
        key: &[u8],
        inside: Option<usize>,
        found: Option<(&EntryReport<'_>, Nanos)>,
    ) -> Option<LookupHandle> {
        static MARKS: AtomicU64 = AtomicU64::new(1);
        let mark = MARKS.fetch_add(1, Ordering::Relaxed);
        let mut fragment = Explained {
            about,
            outcome,
            inside,
            age: Duration::ZERO,
            ttl_left: None,
            tags: Vec::new(),
            templates: Vec::new(),
            cost: Duration::ZERO,
            bytes: 0,
            rejected: None,
            failed: false,
            lazy_key: false,
            key: key.into(),
            mark,
        };
        if let Some((entry, latest)) = found {
            fragment.age = Duration::from_nanos(latest.saturating_sub(entry.record.begin.at));
            fragment.ttl_left = left(entry.record, latest);
            fragment.cost = Duration::from_nanos(entry.cost);
            fragment.bytes = entry.bytes;
            fragment.depends_on(entry.record);
        }
        let mark = (self.marks && stack::is_in_text()).then_some(mark);
        let mut fragments = self.lock();
        let fragments = fragments.as_mut()?;
        fragments.push(fragment);
        Some(LookupHandle { collector: Arc::clone(self), at: fragments.len() - 1, mark })
    }

    /// Records that the key of the last look-up with this label computed a lazy value.
    pub(crate) fn lazy_key(&self, label: &str) {
        let mut fragments = self.lock();
        let of_label = |fragment: &&mut Explained| &*fragment.about.label == label;
        if let Some(fragment) = fragments.iter_mut().flatten().rev().find(of_label) {
            fragment.lazy_key = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Explained>>> {
        lock(&self.fragments)
    }
}

impl Explained {
    fn depends_on(&mut self, record: &Dependencies) {
        self.tags = record.tags().iter().filter_map(|tag| tag.name.clone()).collect();
        let names = record.dependencies().iter().map(|dependency| Arc::from(dependency.template.name()));
        self.templates = names.collect();
        self.templates.sort_unstable();
        self.templates.dedup();
    }
}

fn left(record: &Dependencies, latest: Nanos) -> Option<Duration> {
    (record.expires != FOREVER).then(|| Duration::from_nanos(record.expires.saturating_sub(latest)))
}

/// The collector of the innermost frame of this cache on this thread that has one.
pub(crate) fn collector(cache: u64) -> Option<Arc<Collector>> {
    stack::find_of(cache, Frame::attachment)
}

/// The look-up that encloses the current code, by its index in the collector.
pub(crate) fn explained(cache: u64) -> Option<usize> {
    stack::find_of(cache, |frame| match frame.explained() {
        None => frame.attachment::<Collector>().map(|_| None),
        at => Some(at),
    })
    .flatten()
}
