//! The compile side: template text in, plain MiniJinja text out. It never imports the run side.
//!
//! In reading order: `scan.rs` cuts the source into spans, `lex.rs` the inside of a tag into tokens; `expr.rs` and
//! `operand.rs` find where expressions end, `tag.rs` reads the head of a cache tag; `blocks.rs` pairs tags into an
//! `outline.rs`. What a cached body may not hold is refused by `refuse.rs`, tag by tag, by `foreign.rs` (text that others
//! fill in) and by `namespaces.rs`. `analyze.rs` finds names and `calls.rs` calls; `reach.rs` follows them from a body
//! (`components.rs`, `digest.rs`), `layout.rs` says what a child reaches. What must not be undefined on its way into a key
//! is found by `guard.rs` in an expression, and by `flow.rs` behind the names of `scopes.rs`. `lower.rs` writes the text,
//! `rewrite.rs` puts it together, after `deferred.rs` has kept lazy values lazy; `mark.rs` marks where it begins,
//! and `excerpt.rs` words what MiniJinja refuses. For the debug mode, `captured.rs` finds what a template reads of what it
//! prints. For measuring, `parts.rs` finds includes and macros, `reads.rs` what they read, and `probe.rs` writes them.
//! `names.rs` has the names that both sides share.

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
mod namespaces;
mod operand;
mod output_capture;
mod parser;
mod rewrite;
mod scan;
mod scopes;
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
pub(crate) use layout::Layout;
pub(crate) use mark::{start_test, syntax_trap, with_start_mark};
pub(crate) use measure::{CALLED_SUFFIX, extends_another, free_paths, lower_measured};
pub(crate) use output_capture::{OutputCaptures, OutputPosition, TemplateNames, output_captures};
#[cfg(all(test, not(shuttle)))]
pub(crate) use rewrite::rewrite;
pub(crate) use rewrite::{LoweredTemplate, lower};
pub(crate) use template::{CacheBlock, Extends};
