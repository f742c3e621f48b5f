//! PendingConfirmation the application what was invalidated, so that caches in front can be told.

use std::sync::Arc;

use crate::telemetry::Target;

/// What was invalidated; see [`Builder::on_invalidate`](crate::Builder::on_invalidate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidated<'a> {
    /// A tag, by its name.
    Tag(&'a str),
    /// The pages of a path.
    Page(&'a str),
    /// What was made with the templates of a name.
    Template(&'a str),
    /// Everything in a namespace, by its own name.
    Namespace(&'a str),
    /// Everything.
    Everything,
}

/// What the application gave to be told with.
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
