//! Look-ups in the thread cache and in memory, and whether an entry there answers a request.
//!
//! Owns the checks of an entry against a request. Leaves the floors to `invalidation/floors.rs`, and whether this node
//! is synchronised to `store/tier/`.

use std::sync::Arc;

use crate::cache::Engine;
use crate::invalidation::dependencies::StartStamp;
use crate::invalidation::floors::TagHash;
use crate::store::entry::{Body, Entry, Found};
use crate::store::request::Request;
use crate::store::thread_cache;
use crate::telemetry::{LastOutcome, LookupSubject, Outcome};
use crate::util::clock::Nanos;

impl Engine {
    /// Answers from memory: counts the hit and adds the entry to the enclosing frame.
    pub(super) fn hit(&self, request: &Request<'_>) -> Option<Found> {
        self.seek(request, |entry, latest| {
            self.note_hit(request, entry, latest);
            entry.found()
        })
    }

    /// Counts a hit for a caller who arrived at `latest`, and adds the entry to the enclosing frame.
    #[inline]
    pub(crate) fn note_hit(&self, request: &Request<'_>, entry: &Entry, latest: Nanos) {
        entry.hit();
        request.add_to_enclosing(entry, || self.as_of(entry, latest));
        if self.telemetry.of_hits() {
            self.telemetry.record_answered(request.named, &entry.report(), Outcome::Hit);
        }
    }

    /// Answers with the valid, fresh entry of an identity, from the thread cache or from memory.
    #[inline]
    pub(crate) fn seek<R>(&self, request: &Request<'_>, answer: impl Fn(&Entry, Nanos) -> R) -> Option<R> {
        let latest = self.clock.latest();
        // Read the synchronisation state before the floors. In the other order, a synchronisation that ends in between
        // would vouch for floors that were read before it.
        let believed = self.is_synced(latest);
        // Read before the floors: an invalidation in between then shows as a newer sequence number.
        let now = self.floors.stamp();
        let hash = request.identity.hash;
        let in_front = thread_cache::look(self.id, hash, |entry, admitted_at| {
            let usable = request.steady
                && request.fits(entry, latest)
                && (*admitted_at == now || entry.record.admitted(&self.floors))
                && self.admits_declared(entry, request)
                && (believed || self.is_within_bound(entry.record.as_of(), latest));
            *admitted_at = now;
            usable.then(|| answer(entry, latest))
        });
        if let Some((found, tell_store)) = in_front {
            if tell_store {
                self.touch(hash);
            }
            return Some(found);
        }
        let entry = self.find(request)?;
        if request.steady {
            thread_cache::keep(self.id, hash, &entry, now);
        }
        Some(answer(&entry, latest))
    }

    /// Records a hit of the thread cache in memory, so that memory does not evict the entry as unused. If memory has
    /// evicted the entry already, puts it back.
    fn touch(&self, hash: u128) {
        if self.memory.get(hash).is_none()
            && let Some((entry, _)) = thread_cache::look(self.id, hash, |entry, _| Some(Arc::clone(entry)))
        {
            self.memory.put(hash, entry);
        }
    }

    /// Stores an entry in memory, unless memory is off or the entry is too large.
    pub(crate) fn keep(&self, hash: u128, entry: &Arc<Entry>) {
        if self.settings.memory && self.has_room_for(entry) {
            self.memory.put(hash, Arc::clone(entry));
        }
    }

    /// Whether an entry is small enough to be stored.
    pub(crate) fn has_room_for(&self, entry: &Entry) -> bool {
        entry.body.len() as u64 <= self.settings.max_entry_bytes && u64::from(entry.weight()) <= self.settings.max_bytes
    }

    /// [`keep`](Engine::keep) for an entry that was read from the shared tier.
    pub(crate) fn keep_shared(&self, subject: &LookupSubject, hash: u128, entry: &Arc<Entry>) {
        self.keep(hash, entry);
        self.telemetry.remember(subject, hash);
    }

    /// The decoded value of a stored entry, and when its computation began. An entry that cannot be decoded is not a
    /// hit, and is removed.
    pub(crate) fn decoded<T>(
        &self,
        request: &Request<'_>,
        decode: impl FnOnce(&Body) -> Option<T>,
    ) -> Option<(T, Nanos)> {
        let entry = self.find(request)?;
        let value = decode(&entry.body);
        match &value {
            Some(_) => self.note_hit(request, &entry, self.clock.latest()),
            None => self.remove_unreadable(request.identity.hash),
        }
        value.map(|value| (value, entry.record.begin.at))
    }

    fn remove_unreadable(&self, hash: u128) {
        self.memory.remove(hash);
        self.telemetry.past.note(hash, LastOutcome::Unreadable);
    }

    /// The valid, fresh entry of an identity, from memory.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<Arc<Entry>> {
        let entry = self.memory.get(request.identity.hash)?;
        self.usable(&entry, request, self.clock.latest()).then_some(entry)
    }

    /// An expired entry that is otherwise valid and within its grace; `grace` reads the grace of an entry.
    pub(crate) fn graced(&self, request: &Request<'_>, grace: impl Fn(&Entry) -> Nanos) -> Option<Arc<Entry>> {
        let entry = self.memory.get(request.identity.hash)?;
        let latest = self.clock.latest();
        let usable = *entry.identity == *request.identity.bytes
            && entry.version == request.version
            && entry.fresh_within(latest, request.ttl, grace(&entry))
            && !request.refuses(&entry)
            && self.is_trusted(entry.record.as_of(), latest)
            && self.admits(&entry, request);
        usable.then_some(entry)
    }

    /// Whether memory holds a valid entry under this hash; the identity is not compared.
    #[cfg(feature = "shared")]
    pub(crate) fn holds(&self, hash: u128) -> bool {
        let latest = self.clock.latest();
        self.memory
            .get(hash)
            .is_some_and(|entry| entry.fresh(latest, Nanos::MAX) && entry.record.admitted(&self.floors))
    }

    /// Whether an entry answers a caller who arrived at `arrived`.
    pub(crate) fn usable(&self, entry: &Entry, request: &Request<'_>, arrived: Nanos) -> bool {
        request.fits(entry, self.clock.latest())
            && self.is_trusted(entry.record.as_of(), arrived)
            && self.admits(entry, request)
    }

    /// Whether no invalidation since the start of an entry's computation concerns the entry: neither of its own tags,
    /// nor of a tag that the caller declares.
    pub(crate) fn admits(&self, entry: &Entry, request: &Request<'_>) -> bool {
        entry.record.admitted(&self.floors) && self.admits_declared(entry, request)
    }

    /// The check of the tags that the caller declares, for an entry whose own floors admit it.
    #[inline]
    fn admits_declared(&self, entry: &Entry, request: &Request<'_>) -> bool {
        request.declared.is_empty() || self.admits_all_declared(entry, request)
    }

    fn admits_all_declared(&self, entry: &Entry, request: &Request<'_>) -> bool {
        let admits = |tag| entry.record.has(tag) || self.admits_begin(entry.record.begin, tag);
        request.declared.hashes().all(admits) || entry.is_direction()
    }

    /// Whether a computation with this start stamp began after the last invalidation of a tag. The local stamp of an
    /// entry from the shared tier is the time when it was read. The start of its computation in the order of all nodes
    /// is its shared stamp.
    pub(crate) fn admits_begin(&self, begin: StartStamp, tag: TagHash) -> bool {
        let here = self.floors.admit(begin.stamp, [tag]);
        here && self.shared.as_ref().is_none_or(|shared| shared.admits(begin.shared, tag))
    }

    /// Whether this node has received every invalidation that could concern an entry valid as of `as_of`, for a caller
    /// who arrived at `arrived`. Must be called before the floors are read, see [`Engine::seek`].
    pub(super) fn is_trusted(&self, as_of: Nanos, arrived: Nanos) -> bool {
        self.is_synced(arrived) || self.is_within_bound(as_of, arrived)
    }

    /// Whether this node has received the invalidations of other nodes, up to the staleness bound.
    fn is_synced(&self, arrived: Nanos) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.is_synced(arrived, &self.clock))
    }

    /// Whether `as_of` is less than the staleness bound before `arrived`. Invalidations since then need not have been
    /// received.
    fn is_within_bound(&self, as_of: Nanos, arrived: Nanos) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.is_within_bound(as_of, arrived, &self.clock))
    }

    /// The time as of which an entry is known to be valid, for a caller who arrived at `arrived`.
    pub(super) fn as_of(&self, entry: &Entry, arrived: Nanos) -> Nanos {
        self.shared.as_ref().map_or(Nanos::MAX, |shared| shared.as_of(entry, arrived))
    }
}
