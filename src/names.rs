//! The reserved names that lowered templates use; the run side registers them.
//!
//! MiniJinja looks a test or filter up by its name in each template that it runs, letter by letter and from the first name
//! on. So the names that every hit needs are short, and sort before the others and before MiniJinja's own.

/// What stands before the dot of every name of a filter and test below, [`RENDER_START`] excepted.
pub(crate) const PREFIX: &str = "_f";

/// Test: whether the fragment has to be rendered.
pub(crate) const MISS: &str = "_f.miss";
/// Test: the same, with a computed lifetime, a condition, a version or variants.
pub(crate) const MISS_WITH: &str = "_f.miss_with";
/// Test: as [`MISS`], of a block that declares tags.
pub(crate) const MISS_TAGGED: &str = "_f.miss_tagged";
/// Test: as [`MISS_WITH`], of a block that declares tags.
pub(crate) const MISS_WITH_TAGGED: &str = "_f.miss_with_tagged";
/// Filter: opens the fragment whose body is rendered next.
pub(crate) const OPEN: &str = "_f.open";
/// Filter: takes the rendered body.
pub(crate) const STORE: &str = "_f.store";
/// Filter: gives the fragment that was found.
pub(crate) const HIT: &str = "_f.hit";
/// Filter: refuses a value that would be lost on its way into a key; its second argument is one of the `WANT_…`.
pub(crate) const DEFINED: &str = "_f.defined";
/// Any value but an undefined one.
pub(crate) const GUARD_DEFINED: u32 = 0;
/// A value that may be part of a key.
pub(crate) const GUARD_PART: u32 = 1;
/// The same, or an iterator over such values.
pub(crate) const GUARD_ITEMS: u32 = 2;
/// Filter: notes that a template is about to be imported.
pub(crate) const NOTE_IMPORT: &str = "_f.load";
/// Filter: gives names of the context as a map, in which lazy values are computed when they are read.
pub(crate) const LAZY_SCOPE: &str = "_f.captured";
/// Filter: gives what a name stands for, in such a map or in the context, and computes nothing.
pub(crate) const LAZY_VALUE: &str = "_f.untouched";
/// Filter: notes that a template is about to be extended.
pub(crate) const NOTE_EXTENDS: &str = "_f.extend";
/// Filter: gives what is open when a call block begins.
pub(crate) const OPEN_AT_CALL: &str = "_f.calling";
/// Test: refuses the text of a call block in a body that was opened after it began.
pub(crate) const REJECT_CALLER: &str = "_f.called_back";
/// Test: refuses a block in a cached body, shown by way of a macro.
pub(crate) const REJECT_BLOCK: &str = "_f.filled";
/// Variable: the open fragment. Templates may not use the name.
pub(crate) const FRAGMENT_VARIABLE: &str = "__fragment";

/// Variable: what was open when a call block began. Templates may not use the name.
pub(crate) const CALL_VARIABLE: &str = "__fragment_caller";

/// Flag of [`OPEN`]: the body calls `super()`.
pub(crate) const FLAG_SUPER: u32 = 1;
/// Flag of [`OPEN`]: the key holds what `caller()` shows.
pub(crate) const FLAG_CALLER: u32 = 2;
/// Test: notes that a template begins. The first of all, and so the one that MiniJinja names in its error where the
/// environment was not registered.
pub(crate) const RENDER_START: &str = "_add_to_environment";
/// Test: the same for a template added in memory, and that it was used.
pub(crate) const ADDED_RENDER_START: &str = "_f.used";
/// Test: fails a render in another syntax than the template's.
pub(crate) const WRONG_SYNTAX: &str = "_f.wrong_syntax";

/// Test: whether the include that follows is measured; takes its name, unless it was taken.
pub(crate) const MEASURE_INCLUDE: &str = "_f.measured";
/// Filter: takes the name of an include before the test, where it is computed.
pub(crate) const TAKE_TEMPLATE_NAME: &str = "_f.chosen";
/// Filter: gives the name that was taken.
pub(crate) const TEMPLATE_NAME: &str = "_f.target";
/// Filter: takes what a measured include rendered.
pub(crate) const MEASURED_OUTPUT: &str = "_f.rendered";
/// Filter: gives a macro that measures its calls.
pub(crate) const MEASURED_MACRO: &str = "_f.declared";
/// Test: notes that what is rendered next is thrown away, or no longer.
pub(crate) const DISCARD_OUTPUT: &str = "_f.discarding";
