//! Namespaces: parts of a cache with keys and tags of their own.

use crate::invalidation::floors::TagHash;
use crate::key::identity::{TagClass, tag_hash};

/// A part of a cache. The default is the whole cache.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    /// The names of the namespaces, the outermost first, each preceded by its length.
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) id: u64,
    /// The tags of this namespace and of the namespaces around it; empty for the whole cache.
    pub(crate) tags: Vec<TagHash>,
}

impl Namespace {
    /// The namespace with this name inside this one.
    pub(crate) fn inner(&self, name: &str) -> Namespace {
        let path = format!("{}{}:{name}", self.path, name.len());
        let id = tag_hash(TagClass::Namespace, 0, path.as_bytes());
        let mut tags = self.tags.clone();
        tags.push(id);
        Namespace { path, name: name.to_owned(), id, tags }
    }
}
