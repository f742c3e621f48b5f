//! Marks the start of a template, so that the cache sees a render begin.
//!
//! The mark is a test that prints nothing and stands before everything that the template does. It must not change what the
//! template prints, so a tag or a comment that MiniJinja treats by how its line starts is written in another way.

use minijinja::syntax::SyntaxConfig;

use crate::compile::layout::Layout;
use crate::compile::lex::is_blank;
use crate::compile::lower::Lowering;
use crate::compile::scan::{Scan, SourceSpan, SpanKind, first_marker, scan};
use crate::names::{RENDER_START, WRONG_SYNTAX};

/// The test of a mark. `loaded` is whether a loader of the cache serves the template; `layout` says whether templates that it
/// includes can reach what it binds.
pub(crate) fn start_test(loaded: bool, layout: &Layout) -> String {
    let shares = if layout.all_statements.is_some() { "(true)" } else { "" };
    format!("{} is {RENDER_START}{shares}", if loaded { "true" } else { "none" })
}

/// The text of a template with a mark before it, whose test is `begins`. A template that MiniJinja will reject is left as
/// it is.
pub(crate) fn with_start_mark(text: &str, syntax: &SyntaxConfig, start_test: &str) -> String {
    let scan = scan(text, syntax);
    if scan.unreadable.is_some() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 128);
    let rest = write_mark(&scan, syntax, start_test, &mut out);
    out.push_str(&text[rest..]);
    out
}

/// A tag of another syntax, as text of this one: an environment that has the other syntax would print the template's tags,
/// and fails here. Empty where the two cannot be told apart in this way.
pub(crate) fn syntax_trap(syntax: &SyntaxConfig, other: &SyntaxConfig) -> String {
    let ((start, end), (other_start, other_end)) = (syntax.block_delimiters(), other.block_delimiters());
    let syntax_trap = format!("{other_start} if none is {WRONG_SYNTAX} {other_end}{other_start} endif {other_end}");
    if first_marker(&syntax_trap, 0, syntax).is_some() {
        return String::new();
    }
    format!("{start}+ if false +{end}{syntax_trap}{start}+ endif +{end}")
}

/// Writes the mark, and what stands before the rest of the template; gives where that begins.
fn write_mark(scan: &Scan<'_>, syntax: &SyntaxConfig, start_test: &str, out: &mut String) -> usize {
    let (start, end) = syntax.block_delimiters();
    out.push_str(&format!("{start}+ if {start_test} {end}{start} endif"));
    let blank =
        |span: &&SourceSpan| span.kind == SpanKind::Text && scan.source[span.range.clone()].chars().all(is_blank);
    let at = usize::from(scan.spans.first().filter(blank).is_some());
    let Some(first) = scan.spans.get(at) else {
        out.push_str(&format!(" +{end}"));
        return 0;
    };
    let lowering = Lowering { scan, syntax, parent: None };
    match first.kind {
        SpanKind::LineStatement => {
            out.push_str(&format!(" +{end}"));
            let mut tag = lowering.begin(at);
            tag.put(" ");
            tag.copy(first.inner.clone(), false);
            out.push_str(&lowering.finish(tag, at));
            first.range.end
        }
        SpanKind::LineComment => {
            // The line of the comment is the mark's.
            let comment = &scan.source[first.range.clone()];
            let line_break = &comment[comment.trim_end_matches(['\r', '\n']).len()..];
            out.push(' ');
            out.push_str(&lowering.line_end(at, line_break));
            first.range.end
        }
        SpanKind::Block | SpanKind::Comment | SpanKind::Raw if syntax.lstrip_blocks() && first.opening.is_none() => {
            out.push_str(&format!(" +{end}"));
            first.range.start
        }
        _ => {
            out.push_str(&format!(" +{end}"));
            0
        }
    }
}
