//! When a result is still valid: floors, template versions, dependencies, and the stack of frames that gathers them.
//!
//! `floors.rs` numbers invalidations. `templates.rs` has the state of each template, `template_version.rs` which state
//! a look-up returned. `dependencies.rs` is what a result is valid by. `stack.rs` has the frames that are open on a
//! thread and gather dependencies. `declared_tags.rs` has the tags of a caller, `namespace.rs` those of a namespace.

pub(crate) mod declared_tags;
pub(crate) mod dependencies;
pub(crate) mod floors;
pub(crate) mod namespace;
pub(crate) mod stack;
pub(crate) mod template_version;
pub(crate) mod templates;
