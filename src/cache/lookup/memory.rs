//! What memory has for a look-up, and whether that is an answer.

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
    /// Answers from memory: counts the hit and tells what encloses it.
    pub(super) fn hit(&self, request: &Request<'_>) -> Option<Found> {
        self.seek(request, |entry, latest| {
            self.note_hit(request, entry, latest);
            entry.found()
        })
    }

    /// Counts a hit for one who came at `latest`, and tells what encloses it.
    #[inline]
    pub(crate) fn note_hit(&self, request: &Request<'_>, entry: &Entry, latest: Nanos) {
        entry.hit();
        request.add_to_enclosing(entry, || self.as_of(entry, latest));
        if self.telemetry.of_hits() {
            self.telemetry.record_answered(request.named, &entry.report(), Outcome::Hit);
        }
    }

    /// Answers from the valid, fresh entry of an identity, in front or in memory.
    #[inline]
    pub(crate) fn seek<R>(&self, request: &Request<'_>, answer: impl Fn(&Entry, Nanos) -> R) -> Option<R> {
        let latest = self.clock.latest();
        // Before the floors: what is believed only since an answer that came in between would be held against floors
        // from before it.
        let believed = self.is_synced(latest);
        // Sampled before the floors are read, so an invalidation in between shows as a newer sequence.
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

    /// Tells the store of a hit in front; gives the entry back to it, should it have evicted that meanwhile.
    fn touch(&self, hash: u128) {
        if self.memory.get(hash).is_none()
            && let Some((entry, _)) = thread_cache::look(self.id, hash, |entry, _| Some(Arc::clone(entry)))
        {
            self.memory.put(hash, entry);
        }
    }

    /// Keeps an entry in memory, where there is any.
    pub(crate) fn keep(&self, hash: u128, entry: &Arc<Entry>) {
        if self.settings.memory && self.has_room_for(entry) {
            self.memory.put(hash, Arc::clone(entry));
        }
    }

    /// Whether an entry is none that is too large.
    pub(crate) fn has_room_for(&self, entry: &Entry) -> bool {
        entry.body.len() as u64 <= self.settings.max_entry_bytes && u64::from(entry.weight()) <= self.settings.max_bytes
    }

    /// The same of one that the shared tier had.
    pub(crate) fn keep_shared(&self, subject: &LookupSubject, hash: u128, entry: &Arc<Entry>) {
        self.keep(hash, entry);
        self.telemetry.remember(subject, hash);
    }

    /// A stored value, decoded, and when its work began; what does not decode is no hit, and is removed.
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

    /// The valid, fresh entry of an identity.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<Arc<Entry>> {
        let entry = self.memory.get(request.identity.hash)?;
        self.usable(&entry, request, self.clock.latest()).then_some(entry)
    }

    /// An expired entry that is valid otherwise and within a grace of its own.
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

    /// Whether memory holds a valid entry under a hash, of whatever identity.
    #[cfg(feature = "shared")]
    pub(crate) fn holds(&self, hash: u128) -> bool {
        let latest = self.clock.latest();
        self.memory
            .get(hash)
            .is_some_and(|entry| entry.fresh(latest, Nanos::MAX) && entry.record.admitted(&self.floors))
    }

    /// Whether an entry answers a caller who came at `arrived`.
    pub(crate) fn usable(&self, entry: &Entry, request: &Request<'_>, arrived: Nanos) -> bool {
        request.fits(entry, self.clock.latest())
            && self.is_trusted(entry.record.as_of(), arrived)
            && self.admits(entry, request)
    }

    /// Whether no invalidation since an entry's work began concerns it: by its own tags, or by those that the caller
    /// declares.
    pub(crate) fn admits(&self, entry: &Entry, request: &Request<'_>) -> bool {
        entry.record.admitted(&self.floors) && self.admits_declared(entry, request)
    }

    /// The same by the tags that the caller declares, of an entry that its own admit.
    #[inline]
    fn admits_declared(&self, entry: &Entry, request: &Request<'_>) -> bool {
        request.declared.is_empty() || self.admits_all_declared(entry, request)
    }

    fn admits_all_declared(&self, entry: &Entry, request: &Request<'_>) -> bool {
        let admits = |tag| entry.record.has(tag) || self.admits_begin(entry.record.begin, tag);
        request.declared.hashes().all(admits) || entry.is_direction()
    }

    /// Whether work that began then is from after the last invalidation of a tag. An entry from the shared tier has
    /// the stamp of when it was read; when its work began in the order of all nodes is in its shared stamp.
    pub(crate) fn admits_begin(&self, begin: StartStamp, tag: TagHash) -> bool {
        let here = self.floors.admit(begin.stamp, [tag]);
        here && self.shared.as_ref().is_none_or(|shared| shared.admits(begin.shared, tag))
    }

    /// Whether all is known that may have invalidated what was valid as of a moment, as far as a caller who came at
    /// `arrived` may expect. Asked before the floors, see [`Engine::seek`].
    pub(super) fn is_trusted(&self, as_of: Nanos, arrived: Nanos) -> bool {
        self.is_synced(arrived) || self.is_within_bound(as_of, arrived)
    }

    /// Whether this node has heard what others invalidated, up to the bound.
    fn is_synced(&self, arrived: Nanos) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.is_synced(arrived, &self.clock))
    }

    /// Whether something valid as of a moment is younger than what need not have been heard.
    fn is_within_bound(&self, as_of: Nanos, arrived: Nanos) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.is_within_bound(as_of, arrived, &self.clock))
    }

    /// As of when an entry is valid for a caller who came at `arrived`.
    pub(super) fn as_of(&self, entry: &Entry, arrived: Nanos) -> Nanos {
        self.shared.as_ref().map_or(Nanos::MAX, |shared| shared.as_of(entry, arrived))
    }
}
