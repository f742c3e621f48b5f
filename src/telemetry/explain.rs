//! What the cache did for one piece of work: every look-up made in it, and what came of it.

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

/// One look-up, and what came of it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// What was looked up.
    pub about: About,
    /// How it was answered.
    pub outcome: Outcome,
    /// What it was looked up inside of: the place of that in [`Explanation::fragments`].
    pub inside: Option<usize>,
    /// How long before it was looked up its work had begun; zero for what was computed.
    pub age: Duration,
    /// What is left of its lifetime; `None` without expiry, and for what was not stored.
    pub ttl_left: Option<Duration>,
    /// Its tags, those of what is inside among them.
    pub tags: Vec<Arc<str>>,
    /// The templates it was made from.
    pub templates: Vec<Arc<str>>,
    /// What it took to compute, now or when it was stored.
    pub cost: Duration,
    /// The size of the result, in bytes.
    pub bytes: usize,
    /// Why the result was not stored, if it was computed and is not.
    pub rejected: Option<Rejection>,
    /// Whether computing it ended with an error.
    pub failed: bool,
    /// Whether looking it up computed a lazy value, which costs its query on hits too.
    pub lazy_key: bool,
    #[serde(skip)]
    key: Box<[u8]>,
    #[serde(skip)]
    mark: u64,
}

impl Explained {
    /// The number that its text is marked by.
    #[cfg(feature = "debug")]
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// The key as it was given, to be read by people. It may hold what is private: an e-mail address, say.
    pub fn key_text(&self) -> String {
        crate::key::readable(&self.key)
    }
}

/// What the cache did for one piece of work; see [`FragmentCache::explain`](crate::FragmentCache::explain).
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// The look-ups, in the order they were made.
    pub fragments: Vec<Explained>,
}

impl Explanation {
    /// How many look-ups were answered in a way, by the word of [`Outcome::name`].
    pub fn count(&self, outcome: &str) -> usize {
        self.fragments.iter().filter(|fragment| fragment.outcome.name() == outcome).count()
    }

    /// The first look-up under a label.
    pub fn find(&self, label: &str) -> Option<&Explained> {
        self.fragments.iter().find(|fragment| &*fragment.about.label == label)
    }
}

impl fmt::Display for Explanation {
    /// A line for each look-up, what is inside of another one indented.
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

/// An entry, as far as it is reported.
pub(crate) struct EntryReport<'a> {
    pub(crate) label: &'a Arc<FragmentCounters>,
    pub(crate) record: &'a Dependencies,
    pub(crate) cost: Nanos,
    pub(crate) bytes: usize,
}

/// Look-ups being collected.
#[derive(Debug)]
pub(crate) struct Collector {
    /// `None` once the work that was to be explained has ended, whatever of it goes on somewhere.
    fragments: Mutex<Option<Vec<Explained>>>,
    /// Whether templates print where each fragment begins and ends.
    marks: bool,
}

/// How many collect for a cache; nobody looks for a collector while there is none.
#[derive(Debug, Default)]
pub(crate) struct Collectors {
    any: AtomicUsize,
    marking: AtomicUsize,
    /// Whether there was ever one whose templates print marks.
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

    /// Whether a text may have marks: what began while somebody wanted them may end after that.
    pub(crate) fn have_marked(&self) -> bool {
        self.marked.load(Ordering::Relaxed)
    }
}

/// A look-up that a collector has, while its work is under way.
#[derive(Debug, Clone)]
pub(crate) struct LookupHandle {
    collector: Arc<Collector>,
    at: usize,
    mark: Option<u64>,
}

impl LookupHandle {
    /// The place of it among all of its collector.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Has it printed without marks.
    pub(crate) fn unmark(&mut self) {
        self.mark = None;
    }

    /// The number to mark it by, if it is to be marked.
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

    /// It was passed on to one caller.
    #[cfg(feature = "http")]
    pub(crate) fn passed_on(&self) {
        self.update(|fragment| fragment.rejected = Some(Rejection::Uncacheable));
    }

    fn update(&self, change: impl FnOnce(&mut Explained)) {
        // Gone, if the work outlived what was to be explained.
        if let Some(fragment) = self.collector.lock().as_mut().and_then(|fragments| fragments.get_mut(self.at)) {
            change(fragment);
        }
    }
}

impl Collector {
    /// Ends it, and gives what it has.
    pub(crate) fn take(&self) -> Vec<Explained> {
        self.lock().take().unwrap_or_default()
    }

    /// Adds what was collected inside of the look-up `inside`.
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

    /// Notes a look-up inside of another one, and what answered it, if something did. `None` if that is of no interest
    /// any more.
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

    /// Notes that the last look-up under a label computed a lazy value.
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

/// The collector of the look-ups that are made here, if there is one.
pub(crate) fn collector(cache: u64) -> Option<Arc<Collector>> {
    stack::find_of(cache, Frame::attachment)
}

/// What the work here is inside of, among what its collector has.
pub(crate) fn explained(cache: u64) -> Option<usize> {
    stack::find_of(cache, |frame| match frame.explained() {
        None => frame.attachment::<Collector>().map(|_| None),
        at => Some(at),
    })
    .flatten()
}
