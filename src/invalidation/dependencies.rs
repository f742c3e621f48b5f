//! What a computation learns while it runs, and what its result therefore depends on: when it began, its tags,
//! the templates it used, how long it may live, and whether it may be stored at all.
//!
//! One type serves an open fragment, a stored entry and a scope; [`Dependencies::merge_cached`] and [`Dependencies::merge_nested`] are how
//! everything inside reaches what encloses it, on hits as on misses.

use std::sync::Arc;

use crate::invalidation::floors::{Floor, Floors, Stamp, TagHash};
use crate::invalidation::template_version::{PART, TemplateVersion, Used};
use crate::invalidation::templates::Template;
use crate::util::clock::Nanos;
use crate::util::weight::{allocated, shared};

/// No expiry by time.
pub(crate) const FOREVER: Nanos = Nanos::MAX;

/// When work began: in the order of invalidations on this node, in the order that nodes share, and on the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartStamp {
    pub(crate) stamp: Stamp,
    /// The highest shared number received by then; 0 without a shared tier.
    pub(crate) shared: Stamp,
    pub(crate) at: Nanos,
}

impl StartStamp {
    /// Of a render whose start was not seen: before everything, so that no result of it is valid.
    pub(crate) const UNSEEN: StartStamp = StartStamp { stamp: 0, shared: 0, at: 0 };

    pub(crate) fn earliest(self, other: StartStamp) -> StartStamp {
        StartStamp {
            stamp: self.stamp.min(other.stamp),
            shared: self.shared.min(other.shared),
            at: self.at.min(other.at),
        }
    }
}

/// Something that can invalidate a result: its hash, and the name where the application gave one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) hash: TagHash,
    pub(crate) name: Option<Arc<str>>,
}

impl Tag {
    /// The tag of an environment, by its id.
    pub(crate) fn environment(id: u64) -> Tag {
        Tag { hash: id, name: None }
    }
}

/// A template used, or looked for in vain, and which state of it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) template: Arc<Template>,
    pub(crate) seen: TemplateVersion,
    pub(crate) used: Used,
}

impl Dependency {
    /// What is raised when the part that was used changed.
    pub(crate) fn floor(&self) -> &Floor {
        match self.used {
            Used::Whole => self.template.floor(),
            Used::Statements => self.template.statements_floor(),
            Used::AllStatements => self.template.all_statements_floor(),
        }
    }

    /// The digest of the part that was used, if the template is still in the state that was seen. Its lowest bits say
    /// which part that is.
    #[cfg_attr(
        not(any(feature = "shared", feature = "http")),
        expect(dead_code, reason = "only entity tags and a shared tier ask")
    )]
    pub(crate) fn digest(&self) -> Option<u128> {
        Some(match self.used {
            Used::Whole => self.template.digest(self.seen)? & !PART,
            Used::Statements => self.template.layout_seen(self.seen)?.statements() & !PART | 1,
            Used::AllStatements => self.template.layout_seen(self.seen)?.all_statements()? & !PART | 2,
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    /// The cache whose floors the stamp belongs to.
    pub(crate) cache: u64,
    pub(crate) begin: StartStamp,
    pub(crate) expires: Nanos,
    /// When the graces of all that is inside have ended too: nothing that contains it is served from then on.
    pub(crate) grace_ends: Nanos,
    /// What was found in the cache is known to be valid as of here: other nodes' invalidations had been heard until
    /// then.
    pub(crate) heard: Nanos,
    pub(crate) uncacheable: bool,
    /// How often MiniJinja took a lazy number or string for an object, and was not told the value afterwards.
    pub(crate) unresolved: u32,
    tags: Vec<Tag>,
    dependencies: Vec<Dependency>,
}

impl Dependencies {
    pub(crate) fn new(cache: u64, begin: StartStamp) -> Dependencies {
        Dependencies {
            cache,
            begin,
            expires: FOREVER,
            grace_ends: FOREVER,
            heard: Nanos::MAX,
            uncacheable: false,
            unresolved: 0,
            // The key's, the environment's and two of the author's.
            tags: Vec::with_capacity(4),
            dependencies: Vec::new(),
        }
    }

    /// Takes over what something inside depends on.
    pub(crate) fn merge_cached(&mut self, inner: &Dependencies) {
        self.uncacheable |= inner.uncacheable;
        self.expires = self.expires.min(inner.expires);
        self.grace_ends = self.grace_ends.min(inner.grace_ends);
        if self.cache != inner.cache {
            // Another cache's floors say nothing here, so nobody could ever tell that this went stale.
            self.uncacheable = true;
            return;
        }
        inner.tags.iter().for_each(|tag| self.tag(tag.clone()));
        inner.dependencies.iter().for_each(|dependency| self.depend(dependency.clone()));
    }

    /// Takes over what a computation inside depends on, and how far back its work reaches: a lazy value read in there
    /// may be older than what encloses it. (What was found in the cache was valid when it was taken.)
    pub(crate) fn merge_nested(&mut self, inner: &Dependencies) {
        self.merge_cached(inner);
        if self.cache == inner.cache {
            self.begin = self.begin.earliest(inner.begin);
            self.heard = self.heard.min(inner.heard);
        }
    }

    pub(crate) fn tag(&mut self, tag: Tag) {
        if let Err(at) = self.tags.binary_search(&tag) {
            self.tags.insert(at, tag);
        }
    }

    pub(crate) fn depend(&mut self, dependency: Dependency) {
        let same = |known: &Dependency| Arc::ptr_eq(&known.template, &dependency.template);
        match self.dependencies.iter_mut().find(|known| same(known)) {
            // Two states of one template within one result: the older one decides.
            Some(known) => {
                if known.seen.generation > dependency.seen.generation {
                    known.seen = dependency.seen;
                }
                known.used = known.used.max(dependency.used);
            }
            None => self.dependencies.push(dependency),
        }
    }

    /// As of when it is valid: when it began, or when the oldest of what it found was known to be.
    pub(crate) fn as_of(&self) -> Nanos {
        self.begin.at.min(self.heard)
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        &self.tags
    }

    pub(crate) fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// Whether a tag is among its own.
    pub(crate) fn has(&self, tag: TagHash) -> bool {
        // In order, so those of one hash follow one another.
        self.tags.binary_search_by_key(&tag, |own| own.hash).is_ok()
    }

    /// Whether no invalidation since it began concerns it.
    pub(crate) fn admitted(&self, floors: &Floors) -> bool {
        floors.admit(self.begin.stamp, self.tags.iter().map(|tag| tag.hash))
            && self.dependencies.iter().all(|dependency| dependency.floor().admits(self.begin.stamp))
    }

    /// Whether every template it was made from is still the one seen.
    pub(crate) fn templates_current(&self) -> bool {
        self.dependencies.iter().all(|dependency| dependency.template.still(dependency.seen))
    }

    /// Bytes it takes beside the struct itself. Templates are shared by all that was made from them.
    pub(crate) fn weight(&self) -> usize {
        let names: usize = self.tags.iter().filter_map(|tag| tag.name.as_ref()).map(|name| shared(name.len())).sum();
        let lists = [self.tags.capacity() * size_of::<Tag>(), self.dependencies.capacity() * size_of::<Dependency>()];
        names + lists.into_iter().map(allocated).sum::<usize>()
    }
}
