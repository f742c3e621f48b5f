//! A set of attachments: objects of other rooms that a frame carries without knowing their types.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// At most one attachment of each type.
#[derive(Clone, Default)]
pub(crate) struct Attachments(Vec<Arc<dyn Any + Send + Sync>>);

impl Attachments {
    /// Adds an attachment. It replaces an earlier one of the same type.
    pub(crate) fn set<T: Any + Send + Sync>(&mut self, attachment: Arc<T>) {
        self.0.retain(|known| !(**known).is::<T>());
        self.0.push(attachment);
    }

    pub(crate) fn find<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.iter().find_map(|attachment| Arc::clone(attachment).downcast().ok())
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attachments").field(&self.0.len()).finish()
    }
}
