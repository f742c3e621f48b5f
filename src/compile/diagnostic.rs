//! Rewords the errors of MiniJinja so that they quote the template as its author wrote it.
//!
//! An error of MiniJinja quotes the lowered text. To get the same error about the author's text, this file replaces
//! each cache tag by a comment of the same length and compiles the result. That happens only after an error.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error};

use crate::compile::scan::{Scan, SourceSpan, SpanKind, first_marker, scan};
use crate::compile::structure::outline;

/// The error of MiniJinja for `lowered`, quoting `source` where possible; `None` if MiniJinja accepts the text.
pub(crate) fn minijinja_error(source: &str, lowered: &str, name: &str, syntax: &SyntaxConfig) -> Option<Error> {
    let mut env = Environment::empty();
    env.set_syntax(syntax.clone());
    let error = env.template_from_named_str(name, lowered).err()?;
    let author_text = author_text(source, name, syntax).and_then(|text| env.template_from_named_str(name, &text).err());
    // An error inside the head of a cache tag does not occur in the author's text, where the tag is a comment.
    let same = |other: &Error| (other.line(), other.detail()) == (error.line(), error.detail());
    Some(author_text.filter(same).unwrap_or(error))
}

fn author_text(source: &str, name: &str, syntax: &SyntaxConfig) -> Option<String> {
    let scan = scan(source, syntax);
    let outline = outline(&scan, name).ok()?;
    let mut text = source.to_owned();
    let tags = outline.cache_tags.iter().flat_map(|cached| [Some(cached.open), cached.close]).flatten();
    for span in tags.map(|index| &scan.spans[index]) {
        text.replace_range(span.range.clone(), &comment(&scan, span, syntax));
    }
    Some(text)
}

/// Replaces a tag by a comment or by blanks of the same length.
fn comment(scan: &Scan<'_>, span: &SourceSpan, syntax: &SyntaxConfig) -> String {
    let tag = &scan.source[span.range.clone()];
    if span.kind == SpanKind::Literal && first_marker(tag, 0, syntax).is_none() {
        return tag.to_owned();
    }
    let ((open, close), (start, end)) = (syntax.comment_delimiters(), syntax.block_delimiters());
    let inner = tag.strip_prefix(start).and_then(|tag| tag.strip_suffix(end));
    if let Some(inner) = inner.filter(|inner| !inner.contains(close))
        && (open.len(), close.len()) == (start.len(), end.len())
    {
        return format!("{open}{inner}{close}");
    }
    let blank = |byte| if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { ' ' };
    tag.bytes().map(blank).collect()
}
