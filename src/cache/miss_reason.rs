//! Finding the reason of a miss: from the entry that is of no use, or from what became of it.

use crate::cache::Inner;
use crate::invalidation::dependencies::Record;
use crate::invalidation::floors::TagHash;
use crate::store::request::{IdentityParts, Wanted};
use crate::telemetry::{Fate, MissReason, Subject};

impl Inner {
    /// Why memory has no answer.
    pub(crate) fn why(&self, wanted: &Wanted<'_>, subject: &Subject, tags: &[TagHash]) -> MissReason {
        let latest = self.clock.latest();
        let fate = self.observers.past.fate(wanted.identity.hash);
        if let Some(Fate::Rejected(rejection)) = fate {
            return MissReason::Rejected(rejection);
        }
        if let Some(entry) = self.memory.get(wanted.identity.hash).filter(|it| *it.identity == *wanted.identity.bytes) {
            if entry.version != wanted.version {
                return MissReason::Version;
            }
            if !entry.fresh(latest, wanted.ttl) {
                return MissReason::Expired;
            }
            if let Some(reason) = self.invalidated(&entry.record, wanted, tags) {
                return reason;
            }
            return if wanted.refuses(&entry) { MissReason::Refused } else { MissReason::Unconfirmed };
        }
        match fate {
            Some(Fate::Rejected(rejection)) => MissReason::Rejected(rejection),
            Some(Fate::Evicted) => MissReason::Evicted,
            // Memory hides what has expired, and says so when it frees it.
            Some(Fate::Stored) if self.settings.memory => MissReason::Expired,
            Some(Fate::Stored) => MissReason::Cold,
            Some(Fate::Expired) => MissReason::Expired,
            Some(Fate::Cleared) => MissReason::Cleared,
            Some(Fate::Unreadable) => MissReason::Unreadable,
            None => self.why_unknown(wanted, subject),
        }
    }

    /// Why there was never anything under an identity.
    fn why_unknown(&self, wanted: &Wanted<'_>, subject: &Subject) -> MissReason {
        let past = &self.observers.past;
        if wanted.base().len() < wanted.identity.bytes.len() && past.knows_key(subject.variants()) {
            return MissReason::OtherVariant;
        }
        if subject.label.template.is_none() || !past.knows_key(subject.family()) {
            return MissReason::Cold;
        }
        let site = IdentityParts::of(wanted.identity.bytes).and_then(|parts| parts.site);
        let changed = site.and_then(|site| self.observers.labels.changed(site));
        changed.map_or(MissReason::Cold, MissReason::TemplateChanged)
    }

    /// What invalidated something.
    fn invalidated(&self, record: &Record, wanted: &Wanted<'_>, tags: &[TagHash]) -> Option<MissReason> {
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
            let mut declared = wanted.declared.tags().filter(|tag| !record.has(tag.hash));
            let raised = declared.find(|tag| !self.admits_begin(record.begin, tag.hash))?;
            return raised.name.map(MissReason::TagInvalidated);
        };
        let environment = IdentityParts::of(wanted.identity.bytes).and_then(|parts| parts.environment);
        Some(match std::iter::once(first).chain(raised).find_map(|tag| tag.name.clone()) {
            Some(name) => MissReason::TagInvalidated(name),
            None if namespaces.iter().any(|tag| outdated(*tag)) => MissReason::NamespaceCleared,
            None if environment.is_some_and(outdated) => MissReason::EnvironmentChanged,
            None => MissReason::InnerKeyInvalidated,
        })
    }
}
