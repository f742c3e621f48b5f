//! From marks around fragments to comments in a page. Text in, text out.
//!
//! `marks.rs` has the syntax of marks and finds them, `stream.rs` finds them in a streamed text. `html.rs` finds the
//! positions where a page can have a comment, with `tree.rs`, which follows the open elements. `comments.rs` replaces
//! marks by comments, and `json.rs` writes their content. Which requests are debugged is decided in `http/debug`.

#[cfg(feature = "debug")]
mod comments;
#[cfg(feature = "debug")]
mod html;
#[cfg(feature = "debug")]
mod json;
mod marks;
#[cfg(feature = "debug")]
mod stream;
#[cfg(all(test, feature = "debug"))]
mod tests;
#[cfg(feature = "debug")]
mod tree;

#[cfg(feature = "debug")]
pub(crate) use comments::{AnnotatedFragments, Annotations, annotate};
#[cfg(feature = "debug")]
pub(crate) use json::CommentObject;
pub(crate) use marks::Marks;

/// The script that reads the comments of a page and draws the overlay.
#[cfg(feature = "debug")]
pub(crate) const OVERLAY: &str = include_str!("debug/overlay.js");
