//! Determines the reason of a miss: from the entry in memory that cannot be used, or from the history of removed
//! entries.
//!
//! The reasons are in `telemetry/reason.rs`, the history in `telemetry/past.rs`.

use crate::cache::Engine;
use crate::invalidation::dependencies::Dependencies;
use crate::invalidation::floors::TagHash;
use crate::store::request::{IdentityParts, Request};
use crate::telemetry::{LastOutcome, LookupSubject, MissReason};

impl Engine {
    /// Why memory has no usable entry.
    pub(crate) fn why(&self, request: &Request<'_>, subject: &LookupSubject, tags: &[TagHash]) -> MissReason {
        let latest = self.clock.latest();
        let fate = self.telemetry.past.fate(request.identity.hash);
        if let Some(LastOutcome::Rejected(rejection)) = fate {
            return MissReason::Rejected(rejection);
        }
        if let Some(entry) = self.memory.get(request.identity.hash).filter(|it| *it.identity == *request.identity.bytes)
        {
            if entry.version != request.version {
                return MissReason::Version;
            }
            if !entry.fresh(latest, request.ttl) {
                return MissReason::Expired;
            }
            if let Some(reason) = self.invalidated(&entry.record, request, tags) {
                return reason;
            }
            return if request.refuses(&entry) { MissReason::Refused } else { MissReason::Unconfirmed };
        }
        match fate {
            Some(LastOutcome::Rejected(rejection)) => MissReason::Rejected(rejection),
            Some(LastOutcome::Evicted) => MissReason::Evicted,
            // Memory does not return expired entries, and records the expiry only when it frees them.
            Some(LastOutcome::Stored) if self.settings.memory => MissReason::Expired,
            Some(LastOutcome::Stored) => MissReason::Cold,
            Some(LastOutcome::Expired) => MissReason::Expired,
            Some(LastOutcome::Cleared) => MissReason::Cleared,
            Some(LastOutcome::Unreadable) => MissReason::Unreadable,
            None => self.why_unknown(request, subject),
        }
    }

    /// The reason where the history knows nothing of the identity.
    fn why_unknown(&self, request: &Request<'_>, subject: &LookupSubject) -> MissReason {
        let past = &self.telemetry.past;
        if request.base().len() < request.identity.bytes.len() && past.knows_key(subject.variants()) {
            return MissReason::OtherVariant;
        }
        if subject.label.template.is_none() || !past.knows_key(subject.family()) {
            return MissReason::Cold;
        }
        let site = IdentityParts::of(request.identity.bytes).and_then(|parts| parts.site);
        let changed = site.and_then(|site| self.telemetry.labels.changed(site));
        changed.map_or(MissReason::Cold, MissReason::TemplateChanged)
    }

    /// The invalidation that made an entry invalid, if one did.
    fn invalidated(&self, record: &Dependencies, request: &Request<'_>, tags: &[TagHash]) -> Option<MissReason> {
        let stamp = record.begin.stamp;
        if !self.floors.admit(stamp, []) {
            return Some(MissReason::Cleared);
        }
        let outdated = |tag: TagHash| !self.floors.admit(stamp, [tag]);
        let (key, namespaces) = tags.split_last()?;
        if outdated(*key) {
            return Some(MissReason::KeyInvalidated);
        }
        let changed = record.dependencies().iter().find(|it| !it.floor().admits(stamp));
        if let Some(dependency) = changed {
            return Some(MissReason::TemplateChanged(dependency.template.name().into()));
        }
        let mut raised = record.tags().iter().filter(|tag| outdated(tag.hash));
        let Some(first) = raised.next() else {
            let mut declared = request.declared.tags().filter(|tag| !record.has(tag.hash));
            let raised = declared.find(|tag| !self.admits_begin(record.begin, tag.hash))?;
            return raised.name.map(MissReason::TagInvalidated);
        };
        let environment = IdentityParts::of(request.identity.bytes).and_then(|parts| parts.environment);
        Some(match std::iter::once(first).chain(raised).find_map(|tag| tag.name.clone()) {
            Some(name) => MissReason::TagInvalidated(name),
            None if namespaces.iter().any(|tag| outdated(*tag)) => MissReason::NamespaceCleared,
            None if environment.is_some_and(outdated) => MissReason::EnvironmentChanged,
            None => MissReason::InnerKeyInvalidated,
        })
    }
}
