//! The reserved names that lowered templates use; the run side registers them. They start with what sorts before the
//! names of MiniJinja's own tests and filters, so that looking them up compares little.

/// Test: whether the fragment has to be rendered.
pub(crate) const MISS: &str = "_fragment.miss";
/// Test: the same, with a computed lifetime, a condition, a version or variants.
pub(crate) const MISS_WITH: &str = "_fragment.miss_with";
/// Test: as [`MISS`], of a block that declares tags.
pub(crate) const MISS_TAGGED: &str = "_fragment.miss_tagged";
/// Test: as [`MISS_WITH`], of a block that declares tags.
pub(crate) const MISS_WITH_TAGGED: &str = "_fragment.miss_with_tagged";
/// Filter: opens the fragment whose body is rendered next.
pub(crate) const OPEN: &str = "_fragment.open";
/// Filter: takes the rendered body.
pub(crate) const STORE: &str = "_fragment.store";
/// Filter: gives the fragment that was found.
pub(crate) const HIT: &str = "_fragment.hit";
/// Filter: refuses an undefined operand of a key.
pub(crate) const DEFINED: &str = "_fragment.defined";
/// Filter: notes that a template is about to be imported or extended.
pub(crate) const LOAD: &str = "_fragment.load";
/// Variable: the open fragment. Templates may not use the name.
pub(crate) const TICKET: &str = "__fragment";

/// Flag of [`OPEN`]: the body calls `super()`.
pub(crate) const FLAG_SUPER: u32 = 1;
/// Test: notes that a template added in memory was used.
pub(crate) const USED: &str = "_fragment.used";

/// Test: whether the include that follows is measured; takes its name, unless it was taken.
pub(crate) const MEASURED: &str = "_fragment.measured";
/// Filter: takes the name of an include before the test, where it is computed.
pub(crate) const CHOSEN: &str = "_fragment.chosen";
/// Filter: gives the name that was taken.
pub(crate) const TARGET: &str = "_fragment.target";
/// Filter: takes what a measured include rendered.
pub(crate) const RENDERED: &str = "_fragment.rendered";
/// Filter: gives a macro that measures its calls.
pub(crate) const DECLARED: &str = "_fragment.declared";
/// Test: notes that what is rendered next is thrown away, or no longer.
pub(crate) const DISCARDING: &str = "_fragment.discarding";
