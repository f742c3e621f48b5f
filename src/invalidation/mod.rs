//! When a result is still valid: floors, template versions, dependencies, and the stack of frames that gathers them.
//!
//! `floors.rs` numbers invalidations. `templates.rs` knows the state of each template. `dependencies.rs` is what a result is
//! valid by, `stack.rs` the frames that are open on a thread and gather it.

pub(crate) mod declared_tags;
pub(crate) mod dependencies;
pub(crate) mod floors;
pub(crate) mod namespace;
pub(crate) mod stack;
pub(crate) mod template_version;
pub(crate) mod templates;
