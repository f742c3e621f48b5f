//! What MiniJinja says of a template that it does not take, with the lines that the author wrote.
//!
//! An error shows the text that MiniJinja was given, where cache tags are lowered. Owns a text of the same lines that
//! MiniJinja reads alike: the author's own, cache tags made comments. It is only used for an error's sake.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error};

use crate::compile::scan::{Scan, SourceSpan, SpanKind, first_marker, scan};
use crate::compile::structure::outline;

/// Why MiniJinja does not take `lowered`, in terms of `source`; `None` where it takes it.
pub(crate) fn minijinja_error(source: &str, lowered: &str, name: &str, syntax: &SyntaxConfig) -> Option<Error> {
    let mut env = Environment::empty();
    env.set_syntax(syntax.clone());
    let error = env.template_from_named_str(name, lowered).err()?;
    let author_text = author_text(source, name, syntax).and_then(|text| env.template_from_named_str(name, &text).err());
    // A head that MiniJinja does not take is not in the author's text.
    let same = |other: &Error| (other.line(), other.detail()) == (error.line(), error.detail());
    Some(author_text.filter(same).unwrap_or(error))
}

fn author_text(source: &str, name: &str, syntax: &SyntaxConfig) -> Option<String> {
    let scan = scan(source, syntax);
    let outline = outline(&scan, name).ok()?;
    let mut text = source.to_owned();
    let tags = outline.cached.iter().flat_map(|cached| [Some(cached.open), cached.close]).flatten();
    for span in tags.map(|index| &scan.spans[index]) {
        text.replace_range(span.range.clone(), &comment(&scan, span, syntax));
    }
    Some(text)
}

/// A tag as something of the same length that says nothing.
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
