//! What the result of a computation depends on: when the computation began, its tags, the templates it used, how long
//! the result may live, and whether it may be stored at all.
//!
//! One type serves an open frame, a stored entry and a scope. [`Dependencies::merge_cached`] and
//! [`Dependencies::merge_nested`] add the dependencies of an inner result to the outer one, on hits as on misses. The
//! frames that gather dependencies are in `stack.rs`.

use std::sync::Arc;

use crate::invalidation::floors::{Floor, Floors, Stamp, TagHash};
use crate::invalidation::template_version::{PART, TemplateVersion, Used};
use crate::invalidation::templates::Template;
use crate::util::clock::Nanos;
use crate::util::weight::{allocated, shared};

/// No expiry by time.
pub(crate) const FOREVER: Nanos = Nanos::MAX;

/// When a computation or render began: in the order of invalidations on this node, in the order that nodes share, and
/// on the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartStamp {
    pub(crate) stamp: Stamp,
    /// The highest shared number that this node had received when the computation began; 0 without a shared tier.
    pub(crate) shared: Stamp,
    pub(crate) at: Nanos,
}

impl StartStamp {
    /// The start stamp of a render whose start was not seen. It is before every invalidation, so no result of the
    /// render is valid.
    pub(crate) const UNSEEN: StartStamp = StartStamp { stamp: 0, shared: 0, at: 0 };

    pub(crate) fn earliest(self, other: StartStamp) -> StartStamp {
        StartStamp {
            stamp: self.stamp.min(other.stamp),
            shared: self.shared.min(other.shared),
            at: self.at.min(other.at),
        }
    }
}

/// Something that can invalidate a result: its hash, and its name if the application gave one.
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

/// A template that was used, or that a look-up did not find, and the version that the look-up returned.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) template: Arc<Template>,
    pub(crate) seen: TemplateVersion,
    pub(crate) used: Used,
}

impl Dependency {
    /// The floor that is raised when the used part of the template changed.
    pub(crate) fn floor(&self) -> &Floor {
        match self.used {
            Used::Whole => self.template.floor(),
            Used::Statements => self.template.statements_floor(),
            Used::AllStatements => self.template.all_statements_floor(),
        }
    }

    /// The digest of the used part. `None` if the template is not in the seen version. The lowest bits of the digest
    /// encode which part it covers.
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
    /// The end of the last grace of all inner results. No result that contains them is served from then on.
    pub(crate) grace_ends: Nanos,
    /// The time up to which this node had received other nodes' invalidations when the cached parts were read.
    pub(crate) heard: Nanos,
    pub(crate) uncacheable: bool,
    /// How often MiniJinja looked up the kind of a lazy number or string without reading its value afterwards.
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
            // The tag of the key, the tag of the environment, and two tags of the author.
            tags: Vec::with_capacity(4),
            dependencies: Vec::new(),
        }
    }

    /// Adds the dependencies of a result that was found in the cache.
    pub(crate) fn merge_cached(&mut self, inner: &Dependencies) {
        self.uncacheable |= inner.uncacheable;
        self.expires = self.expires.min(inner.expires);
        self.grace_ends = self.grace_ends.min(inner.grace_ends);
        if self.cache != inner.cache {
            // The floors of another cache do not apply here, so this cache could not detect that the inner result is
            // invalid.
            self.uncacheable = true;
            return;
        }
        inner.tags.iter().for_each(|tag| self.tag(tag.clone()));
        inner.dependencies.iter().for_each(|dependency| self.depend(dependency.clone()));
    }

    /// Adds the dependencies of a computation inside this one, and its start: a lazy value read in the inner
    /// computation may be older than the outer one. (A result found in the cache was valid when it was read, so
    /// [`Dependencies::merge_cached`] keeps the start.)
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
            // Two versions of one template within one result: the older one decides.
            Some(known) => {
                if known.seen.generation > dependency.seen.generation {
                    known.seen = dependency.seen;
                }
                known.used = known.used.max(dependency.used);
            }
            None => self.dependencies.push(dependency),
        }
    }

    /// The time as of which the result is valid: when it began, or the synchronisation time of the oldest cached part.
    pub(crate) fn as_of(&self) -> Nanos {
        self.begin.at.min(self.heard)
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        &self.tags
    }

    pub(crate) fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// Whether the result has a tag.
    pub(crate) fn has(&self, tag: TagHash) -> bool {
        // The tags are sorted, so tags with the same hash are adjacent.
        self.tags.binary_search_by_key(&tag, |own| own.hash).is_ok()
    }

    /// Whether no floor of the tags and templates was raised since the computation began.
    pub(crate) fn admitted(&self, floors: &Floors) -> bool {
        floors.admit(self.begin.stamp, self.tags.iter().map(|tag| tag.hash))
            && self.dependencies.iter().all(|dependency| dependency.floor().admits(self.begin.stamp))
    }

    /// Whether every used template is still in the version that was seen.
    pub(crate) fn templates_current(&self) -> bool {
        self.dependencies.iter().all(|dependency| dependency.template.still(dependency.seen))
    }

    /// Bytes allocated beside the struct itself. Templates are not counted, because all results made from a template
    /// share it.
    pub(crate) fn weight(&self) -> usize {
        let names: usize = self.tags.iter().filter_map(|tag| tag.name.as_ref()).map(|name| shared(name.len())).sum();
        let lists = [self.tags.capacity() * size_of::<Tag>(), self.dependencies.capacity() * size_of::<Dependency>()];
        names + lists.into_iter().map(allocated).sum::<usize>()
    }
}
