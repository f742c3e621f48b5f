//! The tags that a caller declares for its request.
//!
//! An entry may have been stored without these tags: by an earlier version of the template or handler, or by another
//! deployment. Their floors count for this caller all the same; see [`Engine::admits`](crate::cache::Engine::admits).

use std::sync::Arc;

use minijinja::Value;

use crate::invalidation::dependencies::Tag;
use crate::invalidation::floors::TagHash;
use crate::key::identity::{TagClass, tag_hash};

/// The names in a template's `tags`, in the form that the template gave. A hit copies none of them.
#[derive(Debug)]
pub(crate) enum TagNames {
    Given(Vec<Arc<str>>),
    /// A list of strings; see [`TagNames::of_list`].
    List(Value),
}

/// Tags by their names, in the namespace of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeclaredTags<'a> {
    given: &'a [Arc<str>],
    list: &'a [Value],
    namespace: u64,
}

impl TagNames {
    pub(crate) const NONE: TagNames = TagNames::Given(Vec::new());

    /// The names of a list. `None` unless every element is a string that is not empty.
    pub(crate) fn of_list(list: &Value) -> Option<TagNames> {
        let is_name = |name: &Value| name.as_str().is_some_and(|name| !name.is_empty());
        let plain = list.downcast_object_ref::<Vec<Value>>().is_some_and(|names| names.iter().all(is_name));
        plain.then(|| TagNames::List(list.clone()))
    }
}

impl<'a> DeclaredTags<'a> {
    pub(crate) const NONE: DeclaredTags<'static> = DeclaredTags { given: &[], list: &[], namespace: 0 };

    #[inline]
    pub(crate) fn of_template(names: &'a TagNames, namespace: u64) -> DeclaredTags<'a> {
        match names {
            TagNames::Given(given) => DeclaredTags::given(given, namespace),
            TagNames::List(list) => {
                let list = list.downcast_object_ref::<Vec<Value>>().map_or(&[][..], Vec::as_slice);
                DeclaredTags { given: &[], list, namespace }
            }
        }
    }

    #[inline]
    pub(crate) fn given(given: &'a [Arc<str>], namespace: u64) -> DeclaredTags<'a> {
        DeclaredTags { given, list: &[], namespace }
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.given.is_empty() && self.list.is_empty()
    }

    pub(crate) fn hashes(self) -> impl Iterator<Item = TagHash> + 'a {
        self.names().map(move |name| self.hash(name))
    }

    pub(crate) fn tags(self) -> impl Iterator<Item = Tag> + 'a {
        let given = self.given.iter().map(Arc::clone);
        let listed = self.list.iter().filter_map(Value::as_str).map(Arc::from);
        given.chain(listed).map(move |name: Arc<str>| Tag { hash: self.hash(&name), name: Some(name) })
    }

    fn names(self) -> impl Iterator<Item = &'a str> {
        self.given.iter().map(|name| &**name).chain(self.list.iter().filter_map(Value::as_str))
    }

    fn hash(self, name: &str) -> TagHash {
        tag_hash(TagClass::Declared, self.namespace, name.as_bytes())
    }
}
