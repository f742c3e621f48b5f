//! The entries in memory, one by one, for a page for operators.
//!
//! Owns the facts about an entry. The page is in `dashboard/`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Engine;
use crate::invalidation::dependencies::FOREVER;
use crate::invalidation::floors::TagHash;
use crate::key::identity::{TagClass, tag_hash};
use crate::store::entry::Entry;
use crate::store::request::IdentityParts;
use crate::telemetry::{About, KeyHash, key_hash};

/// Whether an entry could be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Fresh,
    /// Expired, and kept for its grace, in which it may still be served.
    Expired,
    /// A dependency was invalidated. The entry stays in memory until it expires or is replaced.
    Invalidated,
}

impl Condition {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Condition::Fresh => "fresh",
            Condition::Expired => "expired",
            Condition::Invalidated => "invalidated",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The facts about an entry, without its content.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) about: About,
    pub(crate) condition: Condition,
    pub(crate) age: Duration,
    /// `None` if the entry does not expire.
    pub(crate) ttl_left: Option<Duration>,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) templates: Vec<Arc<str>>,
    /// How long the computation took.
    pub(crate) cost: Duration,
    /// Size of the result, in bytes.
    pub(crate) bytes: usize,
    /// Size in memory, in bytes.
    pub(crate) weight: u32,
    pub(crate) used: bool,
    /// The namespaces of the entry, the outermost first.
    pub(crate) namespaces: Vec<String>,
    /// The hash of the key, without the query of a page.
    pub(crate) key: KeyHash,
    /// The floor of the key.
    pub(crate) key_floor: TagHash,
}

impl Engine {
    /// Calls `see` for the entries in memory, at most `most` of them. Returns the number of calls.
    pub(crate) fn see_entries(&self, most: usize, mut see: impl FnMut(u128, &Arc<Entry>)) -> usize {
        let entries = self.memory.iter().take(most);
        entries.map(|(hash, entry)| see(hash, &entry)).count()
    }

    pub(crate) fn facts(&self, entry: &Entry) -> Facts {
        let (latest, record) = (self.clock.latest(), &entry.record);
        let parts = IdentityParts::of(&entry.identity);
        let key = parts.map_or(&[][..], |parts| parts.key);
        let named = parts.map_or(&[][..], |parts| parts.named);
        let namespace = parts.map_or(&[][..], |parts| parts.namespace);
        let mut templates: Vec<Arc<str>> =
            record.dependencies().iter().map(|dependency| dependency.template.name().into()).collect();
        templates.sort_unstable();
        templates.dedup();
        Facts {
            about: About::new(&entry.label, key_hash(named)),
            key: key_hash(key),
            condition: self.condition(entry),
            age: Duration::from_nanos(latest.saturating_sub(record.begin.at)),
            ttl_left: (record.expires != FOREVER).then(|| Duration::from_nanos(record.expires.saturating_sub(latest))),
            tags: record.tags().iter().filter_map(|tag| tag.name.clone()).collect(),
            templates,
            cost: Duration::from_nanos(entry.cost),
            bytes: entry.body.len(),
            weight: entry.weight(),
            used: entry.is_used(),
            namespaces: levels(namespace),
            key_floor: key_floor(namespace, key),
        }
    }

    pub(crate) fn condition(&self, entry: &Entry) -> Condition {
        if !entry.record.admitted(&self.floors) {
            Condition::Invalidated
        } else if self.clock.latest() >= entry.record.expires {
            Condition::Expired
        } else {
            Condition::Fresh
        }
    }
}

impl Entry {
    /// The key as readable text, which may be private.
    pub(crate) fn key_text(&self) -> String {
        IdentityParts::of(&self.identity).map_or_else(|| "?".to_owned(), |parts| crate::key::readable(parts.named))
    }

    pub(crate) fn key_hash(&self) -> KeyHash {
        key_hash(IdentityParts::of(&self.identity).map_or(&[][..], |parts| parts.named))
    }

    /// Whether the entry is in the namespace with this path, or in a namespace inside it.
    pub(crate) fn is_inside(&self, namespace: &str) -> bool {
        IdentityParts::of(&self.identity).is_some_and(|parts| parts.namespace.starts_with(namespace.as_bytes()))
    }
}

fn key_floor(namespace: &[u8], key: &[u8]) -> TagHash {
    let id = if namespace.is_empty() { 0 } else { tag_hash(TagClass::Namespace, 0, namespace) };
    tag_hash(TagClass::Key, id, key)
}

/// The names in the path of a namespace. In the path the length of each name comes before the name.
fn levels(mut path: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(colon) = path.iter().position(|byte| *byte == b':') {
        let length = std::str::from_utf8(&path[..colon]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(name) = length.and_then(|length| path.get(colon + 1..)?.get(..length)) else { break };
        names.push(String::from_utf8_lossy(name).into_owned());
        path = &path[colon + 1 + name.len()..];
    }
    names
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{FragmentCache, Options};

    fn only(cache: &FragmentCache) -> (u128, Arc<Entry>) {
        let mut found = Vec::new();
        cache.inner.see_entries(10, |hash, entry| found.push((hash, Arc::clone(entry))));
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn an_entry_says_where_it_belongs_and_what_invalidates_it() {
        let cache = FragmentCache::builder().build().unwrap();
        let inner = cache.namespace("a:1").namespace("").namespace("ü");
        let options = Options::ttl(Duration::from_secs(60)).tag("films").label("bio");
        inner.get_or_set(("user", 7), options, || Ok::<_, Infallible>("text")).unwrap();
        let (_, entry) = only(&cache);
        let facts = cache.inner.facts(&entry);
        assert_eq!(facts.namespaces, ["a:1", "", "ü"]);
        assert_eq!((&*facts.about.label, facts.bytes, facts.used), ("bio", 4, false));
        assert_eq!(facts.tags, [Arc::from("films")]);
        assert_eq!(entry.key_text(), "[\"user\", 7]");
        assert_eq!(entry.key_hash(), facts.about.key);
        assert_eq!(facts.condition, Condition::Fresh);
        assert!(entry.is_inside("") && entry.is_inside(&inner.namespace.path) && !entry.is_inside("3:a:2"));
        // This floor is the one that an invalidation of the key raises.
        let mut encoded = Vec::new();
        crate::key::encode_handler(&("user", 7), &mut encoded).unwrap();
        assert_eq!(facts.key_floor, inner.key_tag(&encoded));
        inner.invalidate(("user", 7));
        assert_eq!(cache.inner.facts(&entry).condition, Condition::Invalidated);
    }

    #[test]
    fn no_more_is_looked_at_than_was_asked_for() {
        let cache = FragmentCache::builder().build().unwrap();
        for key in 0..100 {
            cache.get_or_set(key, Options::default(), || Ok::<_, Infallible>("x")).unwrap();
        }
        let mut seen = 0;
        assert_eq!(cache.inner.see_entries(30, |_, _| seen += 1), 30);
        assert_eq!(seen, 30);
        assert_eq!(cache.inner.see_entries(1000, |_, entry| assert!(!entry.is_used())), 100);
    }
}
