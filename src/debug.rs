//! Text of the debug mode: from marks around fragments to comments in a page.
//!
//! Text in, text out. `marks` owns what a mark looks like and finds what became of it, `html` says where a page may
//! take a comment (with `tree`, which knows what a tag does to what follows), `place` joins them, `json` writes what a
//! comment says. `stream` is for text that comes piece by piece. Who asks for it and what there is to say is the HTTP layer's.

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

/// What draws on the page; it reads the comments.
#[cfg(feature = "debug")]
pub(crate) const OVERLAY: &str = include_str!("debug/overlay.js");
