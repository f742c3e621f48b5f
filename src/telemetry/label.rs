//! The counters of each fragment, and the registry of their labels.
//!
//! A label names the source of a fragment (`index.html:12`, `_card.html`, `src/pages.rs:40`, `/film/{id}`) and never
//! its content. A cache has at most [`LABELS`] labels. Later fragments share one label for each kind. Counters of the
//! whole cache are in `stats.rs`; the public figures are in `fragment_stats.rs`.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ahash::RandomState;
use xxhash_rust::xxh3::xxh3_64;

use super::fragment_stats::{FragmentKind, FragmentStats, KINDS};
use super::reason::MissReason;
use crate::key::identity::Passthrough;
use crate::telemetry::stats::{SHARDS, shard};
use crate::util::clock::Nanos;
use crate::util::sync::{read_lock, write_lock};

/// Labels of a cache. Each takes 2.3 KiB once it is used.
const LABELS: usize = 512;

/// Positions of cache blocks and names of templates with blocks that are stored. Above this number all are dropped.
const SITES: usize = 1 << 16;

/// The longest label, in bytes.
const LONGEST: usize = 120;

/// The label of the fragments beyond [`LABELS`].
const OTHERS: &str = "(others)";

/// The counters that are too rarely incremented to be sharded by thread.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FragmentCounter {
    StaleHits,
    Joined,
    SharedHits,
    Misses,
    FirstMisses,
    Bypasses,
    Errors,
    Rejected,
    Evicted,
    EvictedUnused,
    AgeAtEviction,
    Renders,
    RenderTime,
    RenderedBytes,
    Verified,
    Differing,
    Saved,
}

const RARE: usize = FragmentCounter::Saved as usize + 1;

/// The counters of every hit, in one shard of the threads.
#[repr(align(128))]
#[derive(Debug, Default)]
struct HotCounters {
    hits: AtomicU64,
    saved: AtomicU64,
}

/// The counters of one fragment.
#[derive(Debug)]
pub(crate) struct FragmentCounters {
    hot: [HotCounters; SHARDS],
    rare: [AtomicU64; RARE],
    /// True if it was reported that the cache did not see the start of a render around the fragment.
    start_unseen: AtomicBool,
    /// Signed, because threads record insertions and removals in any order.
    entries: AtomicI64,
    bytes: AtomicI64,
    pub(crate) name: Arc<str>,
    pub(crate) kind: FragmentKind,
    /// The template of a block. If several blocks share a name, the template of the first.
    pub(crate) template: Option<Arc<str>>,
    /// A hash that all blocks of a template share, so that a block is recognised after its text has changed.
    pub(crate) family: u64,
    /// True if it was reported that the key computes a lazy value.
    lazy_key: AtomicBool,
}

impl FragmentCounters {
    fn new(kind: FragmentKind, name: Arc<str>, template: Option<Arc<str>>) -> FragmentCounters {
        let family = xxh3_64(template.as_ref().unwrap_or(&name).as_bytes());
        FragmentCounters {
            hot: Default::default(),
            rare: Default::default(),
            start_unseen: AtomicBool::new(false),
            entries: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            name,
            kind,
            template,
            family,
            lazy_key: AtomicBool::new(false),
        }
    }

    /// Records that the key computes a lazy value. Returns true if that was recorded before.
    pub(crate) fn has_lazy_key(&self) -> bool {
        self.lazy_key.swap(true, Ordering::Relaxed)
    }

    /// Counts a hit on an entry that took `cost` nanoseconds to compute.
    pub(crate) fn hit(&self, cost: Nanos) {
        let hot = &self.hot[shard()];
        hot.hits.fetch_add(1, Ordering::Relaxed);
        hot.saved.fetch_add(cost, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, what: FragmentCounter) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: FragmentCounter, count: u64) {
        self.rare[what as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count_miss(&self, reason: &MissReason) {
        kinds_of_miss(reason).for_each(|what| self.count(what));
    }

    /// Removes a miss from the counts, because it belongs to another label or was no miss.
    pub(crate) fn uncount_miss(&self, reason: &MissReason) {
        kinds_of_miss(reason).for_each(|what| _ = self.rare[what as usize].fetch_sub(1, Ordering::Relaxed));
    }

    /// Records that the cache did not see the start of a render around the fragment. Returns true the first time.
    pub(crate) fn note_unseen_start(&self) -> bool {
        !self.start_unseen.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn entered(&self, bytes: u32) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(i64::from(bytes), Ordering::Relaxed);
    }

    pub(crate) fn left(&self, bytes: u32) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(i64::from(bytes), Ordering::Relaxed);
    }

    fn rare(&self, what: FragmentCounter) -> u64 {
        self.rare[what as usize].load(Ordering::Relaxed)
    }

    /// The number of hits, and the computation time that they saved in nanoseconds.
    fn hot(&self) -> (u64, u64) {
        let sum = |(hits, saved), hot: &HotCounters| {
            (hits + hot.hits.load(Ordering::Relaxed), saved + hot.saved.load(Ordering::Relaxed))
        };
        self.hot.iter().fold((0, 0), sum)
    }

    fn read(&self) -> FragmentStats {
        let (hits, saved) = self.hot();
        let gauge = |value: &AtomicI64| u64::try_from(value.load(Ordering::Relaxed)).unwrap_or(0);
        let evicted = self.rare(FragmentCounter::Evicted);
        FragmentStats {
            label: self.name.to_string(),
            kind: self.kind,
            hits,
            stale_hits: self.rare(FragmentCounter::StaleHits),
            joined: self.rare(FragmentCounter::Joined),
            shared_hits: self.rare(FragmentCounter::SharedHits),
            misses: self.rare(FragmentCounter::Misses),
            first_misses: self.rare(FragmentCounter::FirstMisses),
            bypasses: self.rare(FragmentCounter::Bypasses),
            errors: self.rare(FragmentCounter::Errors),
            rejected: self.rare(FragmentCounter::Rejected),
            evicted,
            evicted_unused: self.rare(FragmentCounter::EvictedUnused),
            age_at_eviction: self.rare(FragmentCounter::AgeAtEviction).checked_div(evicted).map(Duration::from_nanos),
            entries: gauge(&self.entries),
            bytes: gauge(&self.bytes),
            rendered_bytes: self.rare(FragmentCounter::RenderedBytes),
            renders: self.rare(FragmentCounter::Renders),
            verified: self.rare(FragmentCounter::Verified),
            differing: self.rare(FragmentCounter::Differing),
            render_time: Duration::from_nanos(self.rare(FragmentCounter::RenderTime)),
            render_time_saved: Duration::from_nanos(saved.saturating_add(self.rare(FragmentCounter::Saved))),
        }
    }
}

/// The counters that a miss with this reason increments.
fn kinds_of_miss(reason: &MissReason) -> impl Iterator<Item = FragmentCounter> {
    let first = matches!(reason, MissReason::Cold | MissReason::OtherVariant);
    std::iter::once(FragmentCounter::Misses).chain(first.then_some(FragmentCounter::FirstMisses))
}

/// The position of a cache block in its template.
#[derive(Debug, Clone)]
pub(crate) struct SourceLocation {
    pub(crate) template: Arc<str>,
    pub(crate) line: usize,
    /// The name that the author gave the block.
    pub(crate) name: Option<Arc<str>>,
    /// True if the block replaced a block with another text in a template that was read before.
    changed: bool,
}

/// The labels of a cache, and the positions of its cache blocks.
#[derive(Debug)]
pub(crate) struct FragmentRegistry {
    known: RwLock<KnownLabels>,
    others: [Arc<FragmentCounters>; KINDS.len()],
    sites: RwLock<Sites>,
}

type KnownLabels = HashMap<(FragmentKind, Arc<str>), Arc<FragmentCounters>, RandomState>;

/// The positions of cache blocks, by block digest.
#[derive(Debug, Default)]
struct Sites {
    places: HashMap<u128, SourceLocation, BuildHasherDefault<Passthrough>>,
    /// The templates with blocks that were read, by provider (environment or loader) and name.
    templates: HashSet<(u64, Arc<str>), RandomState>,
}

impl FragmentRegistry {
    pub(crate) fn new() -> FragmentRegistry {
        let others = KINDS.map(|kind| Arc::new(FragmentCounters::new(kind, OTHERS.into(), None)));
        FragmentRegistry { known: RwLock::default(), others, sites: RwLock::default() }
    }

    /// The counters of a label; those of `(others)` if there are too many labels.
    pub(crate) fn get(&self, kind: FragmentKind, name: &str) -> Arc<FragmentCounters> {
        self.find(kind, shortened(name).into(), None)
    }

    /// The counters of a cache block, by its digest.
    pub(crate) fn of_site(&self, site: u128) -> Arc<FragmentCounters> {
        let sites = read_lock(&self.sites);
        match sites.places.get(&site) {
            Some(place) => {
                let name = place.name.clone();
                let name = name.unwrap_or_else(|| shortened(&format!("{}:{}", place.template, place.line)).into());
                self.find(FragmentKind::Block, name, Some(&place.template))
            }
            // The block was rewritten before the positions were dropped, or by another cache.
            None => self.get(FragmentKind::Block, "(unknown block)"),
        }
    }

    /// Stores the positions of the cache blocks of a template. If several blocks have the same text, the position of
    /// the first is stored. Templates of the same name from different environments or loaders are different templates.
    ///
    /// `blocks` yields the digest, the line and the author's name of each block.
    pub(crate) fn note_blocks<'b>(
        &self,
        provider: u64,
        template: &str,
        blocks: impl DoubleEndedIterator<Item = (u128, usize, Option<&'b str>)>,
    ) {
        let mut blocks = blocks.rev().peekable();
        if blocks.peek().is_none() {
            return;
        }
        let mut sites = write_lock(&self.sites);
        if sites.places.len() + sites.templates.len() > SITES {
            *sites = Sites::default();
        }
        let template: Arc<str> = template.into();
        let again = !sites.templates.insert((provider, Arc::clone(&template)));
        for (site, line, name) in blocks {
            let known = sites.places.get(&site).is_some_and(|place| !place.changed);
            let changed = !known && again;
            let name = name.map(|name| shortened(name).into());
            sites.places.insert(site, SourceLocation { template: Arc::clone(&template), line, name, changed });
        }
    }

    /// The position of a block: `template:line`.
    pub(crate) fn place(&self, site: u128) -> Option<String> {
        let sites = read_lock(&self.sites);
        sites.places.get(&site).map(|place| format!("{}:{}", place.template, place.line))
    }

    /// The template of a block that replaced a block with another text.
    pub(crate) fn changed(&self, site: u128) -> Option<Arc<str>> {
        let sites = read_lock(&self.sites);
        sites.places.get(&site).filter(|place| place.changed).map(|place| Arc::clone(&place.template))
    }

    /// The figures of every label that has look-ups or entries.
    pub(crate) fn read(&self) -> Vec<FragmentStats> {
        self.all().iter().map(|label| label.read()).filter(|stats| stats.lookups() > 0 || stats.entries > 0).collect()
    }

    /// The number of hits of all labels, and the computation time that they saved in nanoseconds.
    pub(crate) fn hits(&self) -> (u64, u64) {
        let sum = |sum: (u64, u64), label: &Arc<FragmentCounters>| {
            let (hits, saved) = label.hot();
            (sum.0 + hits, sum.1 + saved)
        };
        self.all().iter().fold((0, 0), sum)
    }

    fn all(&self) -> Vec<Arc<FragmentCounters>> {
        let known = read_lock(&self.known);
        known.values().chain(&self.others).cloned().collect()
    }

    fn find(&self, kind: FragmentKind, name: Arc<str>, template: Option<&Arc<str>>) -> Arc<FragmentCounters> {
        let key = (kind, name);
        if let Some(label) = read_lock(&self.known).get(&key) {
            return Arc::clone(label);
        }
        let mut known = write_lock(&self.known);
        if known.len() >= LABELS && !known.contains_key(&key) {
            return Arc::clone(&self.others[kind as usize]);
        }
        let (kind, name) = key.clone();
        Arc::clone(known.entry(key).or_insert_with(|| Arc::new(FragmentCounters::new(kind, name, template.cloned()))))
    }
}

/// A name for reports, cut to at most [`LONGEST`] bytes between two characters.
fn shortened(name: &str) -> &str {
    let end = (0..=LONGEST.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    &name[..end.unwrap_or(0)]
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn labels_beyond_the_bound_are_counted_together_by_kind() {
        let labels = FragmentRegistry::new();
        for n in 0..2 * LABELS {
            labels.get(FragmentKind::Text, &format!("label {n}")).hit(5);
        }
        let stats = labels.read();
        assert_eq!(stats.len(), LABELS + 1);
        assert_eq!(stats.iter().map(|stats| stats.hits).sum::<u64>(), 2 * LABELS as u64);
        let others = stats.iter().find(|stats| stats.label == OTHERS).unwrap();
        assert_eq!((others.hits, others.kind), (LABELS as u64, FragmentKind::Text));
        assert_eq!(labels.hits(), (2 * LABELS as u64, 10 * LABELS as u64));
        // The labels within the bound are still found.
        labels.get(FragmentKind::Text, "label 0").hit(5);
        assert_eq!(labels.read().iter().find(|stats| stats.label == "label 0").unwrap().hits, 2);
    }

    #[test]
    fn one_name_of_two_kinds_is_two_labels() {
        let labels = FragmentRegistry::new();
        labels.get(FragmentKind::Text, "bio").hit(1);
        labels.get(FragmentKind::Value, "bio").hit(1);
        assert_eq!(labels.read().len(), 2);
    }

    #[test]
    fn a_block_is_called_what_its_author_calls_it_or_by_its_place() {
        let labels = FragmentRegistry::new();
        labels.note_blocks(1, "page.html", [(1, 7, None), (2, 9, Some("hero")), (1, 12, None)].into_iter());
        assert_eq!(&*labels.of_site(1).name, "page.html:7");
        assert_eq!(&*labels.of_site(2).name, "hero");
        assert_eq!(labels.of_site(1).family, labels.of_site(2).family);
        assert_eq!(&*labels.of_site(3).name, "(unknown block)");
        labels.note_blocks(1, "page.html", [(1, 8, None), (3, 10, Some("hero"))].into_iter());
        // The first block moved by a line and is unchanged; the other one has another text.
        assert_eq!(&*labels.of_site(1).name, "page.html:8");
        assert_eq!((labels.changed(1), labels.changed(3).as_deref()), (None, Some("page.html")));
    }

    #[test]
    fn templates_that_are_read_once_each_do_not_grow_what_is_known_without_bound() {
        let labels = FragmentRegistry::new();
        for n in 0..3 * SITES {
            labels.note_blocks(1, &format!("made up {n}"), [(n as u128 % 7, 1, None)].into_iter());
            labels.note_blocks(1, &format!("plain {n}"), std::iter::empty());
        }
        let sites = labels.sites.read().unwrap();
        assert!(sites.places.len() + sites.templates.len() <= SITES + 2);
    }

    #[test]
    fn a_long_name_is_cut_between_two_characters() {
        let labels = FragmentRegistry::new();
        let label = labels.get(FragmentKind::Text, &"ü".repeat(200));
        assert_eq!(&*label.name, "ü".repeat(LONGEST / 2));
    }
}
