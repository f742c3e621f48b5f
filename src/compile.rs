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

mod blocks;
mod calls;
mod captured;
mod components;
mod deferred;
mod digest;
mod excerpt;
mod expr;
mod flow;
mod foreign;
mod guard;
mod layout;
mod lex;
mod literal;
mod lower;
mod mark;
mod measure;
mod namespaces;
mod operand;
mod reach;
mod reader;
mod refuse;
mod rewrite;
mod scan;
mod scopes;
mod statement;
mod tag;
mod tag_writer;
mod template;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod visits;

pub(crate) use captured::{Captures, Stand, TemplateNames, captures};
pub(crate) use excerpt::refused;
pub(crate) use layout::Layout;
pub(crate) use mark::{begins, marked, trap};
pub(crate) use measure::{CALLED, inherits, measured, reads};
#[cfg(all(test, not(shuttle)))]
pub(crate) use rewrite::rewrite;
pub(crate) use rewrite::{Rewritten, lowered};
pub(crate) use template::{Block, Extends};
