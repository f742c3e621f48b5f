//! What is counted per fragment: labels, and the counts under each.
//!
//! A label names the place a result comes from (`index.html:12`, `_card.html`, `src/pages.rs:40`, `/film/{id}`) and never
//! what is in it. There are at most [`LABELS`] of a cache; what comes later is counted under one label for its kind.

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

/// FragmentRegistry of a cache: 2.3 KiB each once used.
const LABELS: usize = 512;

/// Places known of cache blocks, and templates they stand in, before all are forgotten and learned again.
const SITES: usize = 1 << 16;

/// The longest label, in bytes.
const LONGEST: usize = 120;

/// What the label of all that came too late says.
const OTHERS: &str = "(others)";

/// What happens too rarely to keep threads apart for it.
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

/// What every hit counts, for one thread among a few.
#[repr(align(128))]
#[derive(Debug, Default)]
struct HotCounters {
    hits: AtomicU64,
    saved: AtomicU64,
}

/// One fragment, and what it did.
#[derive(Debug)]
pub(crate) struct FragmentCounters {
    hot: [HotCounters; SHARDS],
    rare: [AtomicU64; RARE],
    /// Whether it was reported that the start of a render around it was not seen.
    start_unseen: AtomicBool,
    /// Insertions and removals are told by different threads, in no order.
    entries: AtomicI64,
    bytes: AtomicI64,
    pub(crate) name: Arc<str>,
    pub(crate) kind: FragmentKind,
    /// The template of a block; of several that share a name, the first one's.
    pub(crate) template: Option<Arc<str>>,
    /// The same for all blocks of a template, so that one is known again after its text changed.
    pub(crate) family: u64,
    /// Whether it was said that its key computes a lazy value.
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

    /// Whether it was noted before that its key computes a lazy value; notes it.
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

    /// Takes back what turned out to be another label's, or no miss.
    pub(crate) fn uncount_miss(&self, reason: &MissReason) {
        kinds_of_miss(reason).for_each(|what| _ = self.rare[what as usize].fetch_sub(1, Ordering::Relaxed));
    }

    /// Notes that the start of a render around it was not seen; whether that is the first time.
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

    /// Hits, and the nanoseconds they saved.
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

/// The counts that a miss is added to.
fn kinds_of_miss(reason: &MissReason) -> impl Iterator<Item = FragmentCounter> {
    let first = matches!(reason, MissReason::Cold | MissReason::OtherVariant);
    std::iter::once(FragmentCounter::Misses).chain(first.then_some(FragmentCounter::FirstMisses))
}

/// Where a cache block stands.
#[derive(Debug, Clone)]
pub(crate) struct SourceLocation {
    pub(crate) template: Arc<str>,
    pub(crate) line: usize,
    /// What its author called it.
    pub(crate) name: Option<Arc<str>>,
    /// Whether its template was known before with another text in this place.
    changed: bool,
}

/// The labels of a cache, and the places that cache blocks were read at.
#[derive(Debug)]
pub(crate) struct FragmentRegistry {
    known: RwLock<KnownLabels>,
    others: [Arc<FragmentCounters>; KINDS.len()],
    sites: RwLock<Sites>,
}

type KnownLabels = HashMap<(FragmentKind, Arc<str>), Arc<FragmentCounters>, RandomState>;

/// By the digest of a block's text.
#[derive(Debug, Default)]
struct Sites {
    places: HashMap<u128, SourceLocation, BuildHasherDefault<Passthrough>>,
    /// The templates with blocks that were read, each by its name and who provides it.
    templates: HashSet<(u64, Arc<str>), RandomState>,
}

impl FragmentRegistry {
    pub(crate) fn new() -> FragmentRegistry {
        let others = KINDS.map(|kind| Arc::new(FragmentCounters::new(kind, OTHERS.into(), None)));
        FragmentRegistry { known: RwLock::default(), others, sites: RwLock::default() }
    }

    /// The label of a name, unless there are too many.
    pub(crate) fn get(&self, kind: FragmentKind, name: &str) -> Arc<FragmentCounters> {
        self.find(kind, shortened(name).into(), None)
    }

    /// The label of a cache block, by the digest of its text.
    pub(crate) fn of_site(&self, site: u128) -> Arc<FragmentCounters> {
        let sites = read_lock(&self.sites);
        match sites.places.get(&site) {
            Some(place) => {
                let name = place.name.clone();
                let name = name.unwrap_or_else(|| shortened(&format!("{}:{}", place.template, place.line)).into());
                self.find(FragmentKind::Block, name, Some(&place.template))
            }
            // Lowered before it was forgotten, or by another cache.
            None => self.get(FragmentKind::Block, "(unknown block)"),
        }
    }

    /// Notes where the cache blocks of a template stand. Of those with one text the first one lends its place. Templates
    /// of one name in two environments, or from two loaders, are two.
    ///
    /// `blocks` gives the digest, the line and the author's name of each.
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

    /// Where a block stands: template and line.
    pub(crate) fn place(&self, site: u128) -> Option<String> {
        let sites = read_lock(&self.sites);
        sites.places.get(&site).map(|place| format!("{}:{}", place.template, place.line))
    }

    /// The template of a block whose text took the place of another one.
    pub(crate) fn changed(&self, site: u128) -> Option<Arc<str>> {
        let sites = read_lock(&self.sites);
        sites.places.get(&site).filter(|place| place.changed).map(|place| Arc::clone(&place.template))
    }

    /// What was counted, under every label that counted something.
    pub(crate) fn read(&self) -> Vec<FragmentStats> {
        self.all().iter().map(|label| label.read()).filter(|stats| stats.lookups() > 0 || stats.entries > 0).collect()
    }

    /// Hits, and the nanoseconds they saved, of all labels.
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

/// What is said of a name in a report: not longer than is useful.
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
        // Those that came in time are still found.
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
        // It moved a line and is the same; the other one has another text.
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
