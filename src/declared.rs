//! The tags that a caller declares for what it asks for.
//!
//! An entry may have been stored without them: by a head or handler that has been edited since, or by another
//! deployment. Their floors count for this caller all the same, see [`Inner::admits`](crate::cache::Inner::admits).

use std::sync::Arc;

use minijinja::Value;

use crate::floors::TagHash;
use crate::identity::{TagClass, tag_hash};
use crate::record::Tag;

/// Names of tags, kept as they were given: a hit allocates nothing for them.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    Given(Vec<Arc<str>>),
    /// A list of strings, as a template has it; see [`Names::of_list`].
    List(Value),
}

/// The tags of a question, in its namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    given: &'a [Arc<str>],
    list: &'a [Value],
    namespace: u64,
}

impl Names {
    pub(crate) const NONE: Names = Names::Given(Vec::new());

    /// The names of a template's list, if it holds strings that are names and nothing else.
    pub(crate) fn of_list(list: &Value) -> Option<Names> {
        let is_name = |name: &Value| name.as_str().is_some_and(|name| !name.is_empty());
        let plain = list.downcast_object_ref::<Vec<Value>>().is_some_and(|names| names.iter().all(is_name));
        plain.then(|| Names::List(list.clone()))
    }
}

impl<'a> Declared<'a> {
    pub(crate) fn new(names: &'a Names, namespace: u64) -> Declared<'a> {
        match names {
            Names::Given(given) => Declared::given(given, namespace),
            Names::List(list) => {
                let list = list.downcast_object_ref::<Vec<Value>>().map_or(&[][..], Vec::as_slice);
                Declared { given: &[], list, namespace }
            }
        }
    }

    pub(crate) fn given(given: &'a [Arc<str>], namespace: u64) -> Declared<'a> {
        Declared { given, list: &[], namespace }
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
