//! The argument of the callback `on_invalidate`, with which an application purges caches in front of it.

use std::sync::Arc;

use crate::telemetry::Target;

/// The object of an invalidation; see [`Builder::on_invalidate`](crate::Builder::on_invalidate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidated<'a> {
    /// A tag, by its name.
    Tag(&'a str),
    /// The pages of a path.
    Page(&'a str),
    /// The results made with the templates of this name.
    Template(&'a str),
    /// All results in a namespace, by the namespace's own name.
    Namespace(&'a str),
    /// All results.
    Everything,
}

/// The callback that the application gave.
pub(crate) type OnInvalidate = Arc<dyn Fn(Invalidated<'_>) + Send + Sync>;

impl From<Invalidated<'_>> for Target {
    fn from(what: Invalidated<'_>) -> Target {
        match what {
            Invalidated::Tag(tag) => Target::Tag(tag.into()),
            Invalidated::Page(path) => Target::Page(path.into()),
            Invalidated::Template(name) => Target::Template(name.into()),
            Invalidated::Namespace(name) => Target::Namespace(name.into()),
            Invalidated::Everything => Target::Everything,
        }
    }
}
