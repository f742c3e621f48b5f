//! The reserved names in lowered templates. The runtime registers the filters and tests under these names.
//!
//! MiniJinja looks a test or a filter up by its name in every template that it runs: from the first name on, byte by
//! byte. So the names that each hit needs are short and sort before the others and before MiniJinja's own.

/// The part before the dot of every filter and test name below, except [`RENDER_START`].
pub(crate) const PREFIX: &str = "_f";

/// Test: true if the fragment has to be rendered.
pub(crate) const MISS: &str = "_f.miss";
/// Test: as [`MISS`], for a cache tag with a computed lifetime, a condition, a version or `vary`.
pub(crate) const MISS_WITH: &str = "_f.miss_with";
/// Test: as [`MISS`], for a cache tag with `tags=`.
pub(crate) const MISS_TAGGED: &str = "_f.miss_tagged";
/// Test: as [`MISS_WITH`], for a cache tag with `tags=`.
pub(crate) const MISS_WITH_TAGGED: &str = "_f.miss_with_tagged";
/// Filter: opens the fragment whose body is rendered next.
pub(crate) const OPEN: &str = "_f.open";
/// Filter: stores the rendered body.
pub(crate) const STORE: &str = "_f.store";
/// Filter: returns the cached fragment that the test before it found.
pub(crate) const HIT: &str = "_f.hit";
/// Filter: fails if a value is undefined where a key would hide that. Its second argument is one of the `GUARD_…`
/// constants.
pub(crate) const DEFINED: &str = "_f.defined";
/// The value must be defined.
pub(crate) const GUARD_DEFINED: u32 = 0;
/// The value must be valid as a part of a key.
pub(crate) const GUARD_PART: u32 = 1;
/// The value must be valid as a part of a key, or be an iterator over such values.
pub(crate) const GUARD_ITEMS: u32 = 2;
/// Filter: records that a template is about to be imported.
pub(crate) const NOTE_IMPORT: &str = "_f.load";
/// Filter: returns names of the context as a map that computes lazy values when they are read.
pub(crate) const LAZY_SCOPE: &str = "_f.captured";
/// Filter: returns the value of one name, from such a map or from the context, without computing a lazy value.
pub(crate) const LAZY_VALUE: &str = "_f.untouched";
/// Filter: records that a template is about to be extended.
pub(crate) const NOTE_EXTENDS: &str = "_f.extend";
/// Filter: returns the ticket of the innermost open fragment when a call block begins.
pub(crate) const OPEN_AT_CALL: &str = "_f.calling";
/// Test: fails if the text of a call block would be rendered into a fragment that was opened after the call block
/// began.
pub(crate) const REJECT_CALLER: &str = "_f.called_back";
/// Test: fails if a macro would render a `{% block %}` into a cached body.
pub(crate) const REJECT_BLOCK: &str = "_f.filled";
/// Variable: the open fragment. Templates must not use the name.
pub(crate) const FRAGMENT_VARIABLE: &str = "__fragment";

/// Variable: the fragment that was open when a call block began. Templates must not use the name.
pub(crate) const CALL_VARIABLE: &str = "__fragment_caller";

/// Flag of [`OPEN`]: the body shows `super()`.
pub(crate) const FLAG_SUPER: u32 = 1;
/// Flag of [`OPEN`]: the key or `vary` contains `caller()`.
pub(crate) const FLAG_CALLER: u32 = 2;
/// Test: records the start of a render. It runs before every other reserved name, so MiniJinja's error names it if the
/// environment was not registered.
pub(crate) const RENDER_START: &str = "_add_to_environment";
/// Test: as [`RENDER_START`], for a template that was added in memory. It also records the use of that template.
pub(crate) const ADDED_RENDER_START: &str = "_f.used";
/// Test: fails a render under another syntax than the template was lowered for.
pub(crate) const WRONG_SYNTAX: &str = "_f.wrong_syntax";

/// Test: true if the include that follows is measured. Takes the template name from its operand unless
/// [`TAKE_TEMPLATE_NAME`] did.
pub(crate) const MEASURE_INCLUDE: &str = "_f.measured";
/// Filter: takes a computed template name before the test.
pub(crate) const TAKE_TEMPLATE_NAME: &str = "_f.chosen";
/// Filter: returns the template name that was taken.
pub(crate) const TEMPLATE_NAME: &str = "_f.target";
/// Filter: takes the output of a measured include.
pub(crate) const MEASURED_OUTPUT: &str = "_f.rendered";
/// Filter: wraps a macro so that its calls are measured.
pub(crate) const MEASURED_MACRO: &str = "_f.declared";
/// Test: records that the output that follows is discarded, or that it is kept again.
pub(crate) const DISCARD_OUTPUT: &str = "_f.discarding";
