//! The compile side: template text in, plain MiniJinja text out. It never imports the run side.
//!
//! In reading order: `scan.rs` cuts the source into spans, `lex.rs` the inside of a tag into tokens; `expr.rs` and
//! `operand.rs` find where expressions end, `tag.rs` reads the head of a cache tag; `blocks.rs` pairs tags,
//! `refuse.rs` refuses what a cached body may not hold, `analyze.rs` finds what a body reaches. What must not be undefined
//! on its way into a key is found by `guard.rs` in an expression, and by `flow.rs` behind the names of `scopes.rs`;
//! `lower.rs` writes the text, `rewrite.rs` puts it together; `excerpt.rs` words what MiniJinja refuses. For measuring, `parts.rs` finds includes and macros, `reads.rs` what they read, and
//! `probe.rs` writes them. `names.rs` has the names that both sides share.

mod analyze;
mod blocks;
mod excerpt;
mod expr;
mod flow;
mod guard;
mod lex;
mod lower;
mod operand;
mod parts;
mod probe;
mod reads;
mod refuse;
mod rewrite;
mod scan;
mod scopes;
mod tag;
#[cfg(all(test, not(shuttle)))]
mod tests;

pub(crate) use excerpt::refused;
pub(crate) use reads::{CALLED, reads};
pub(crate) use rewrite::{Block, Extends, Rewritten, measured, rewrite};
