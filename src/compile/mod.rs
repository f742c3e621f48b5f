//! Compiles template text with cache tags to plain MiniJinja text. Imports nothing of the cache: it needs no
//! environment and keeps no state.
//!
//! The pipeline is `rewrite.rs`. Its steps, in order:
//!
//! 1. `defer.rs` moves look-ups of context values, so that lazy values stay lazy.
//! 2. `scan.rs` splits the source into spans and `lex.rs` the inside of a tag into tokens.
//! 3. `structure.rs` pairs tags and builds the outline of `template.rs`. It reads cache tags with `tag.rs`, expressions
//!    with `parser.rs` and `operand.rs` into the model of `expr.rs`, and other statements with `statement.rs`.
//! 4. `validate.rs`, `foreign.rs` and `namespaces.rs` reject what a cached body must not contain.
//! 5. `guard.rs` finds the operands of an expression whose undefined value a key would hide. `key_flow.rs` finds the
//!    expressions that reach keys through names, by the bindings of `scopes.rs`.
//! 6. `layout.rs` describes the template for templates that extend it or that it includes; `body_digest.rs` takes the
//!    digest of each cached body and of everything that it depends on in the file, with `calls.rs`, `components.rs` and
//!    `digest.rs`.
//! 7. `lower.rs` and `tag_writer.rs` write the tags, `assemble.rs` the text.
//!
//! Beside the pipeline: `mark.rs` writes the mark before a template, `diagnostic.rs` rewords MiniJinja's errors,
//! `output_capture.rs` finds captured output for the debug mode, and `measure.rs` lowers with probes. The reserved
//! names are in `names.rs`.

mod assemble;
mod body_digest;
mod calls;
mod components;
mod defer;
mod diagnostic;
mod digest;
mod expr;
mod foreign;
mod guard;
mod key_flow;
mod layout;
mod lex;
mod literal;
mod lower;
mod mark;
mod measure;
pub(crate) mod names;
mod namespaces;
mod operand;
mod output_capture;
mod parser;
mod rewrite;
mod scan;
mod scopes;
pub(crate) mod spelling;
mod statement;
mod steps;
mod structure;
mod tag;
mod tag_writer;
mod template;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod validate;

pub(crate) use diagnostic::minijinja_error;
pub(crate) use layout::{Layout, LayoutBlock};
pub(crate) use mark::{start_test, syntax_trap, with_start_mark};
pub(crate) use measure::{CALLED_SUFFIX, extends_another, free_paths, lower_measured};
pub(crate) use output_capture::{OutputCaptures, OutputPosition, TemplateNames, output_captures};
#[cfg(all(test, not(shuttle)))]
pub(crate) use rewrite::rewrite;
pub(crate) use rewrite::{LoweredTemplate, lower};
pub(crate) use template::Extends;
