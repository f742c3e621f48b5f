//! Writes the mark before a template, by which the runtime records that a render starts.
//!
//! The mark is a test that prints nothing and runs before the rest of the template. The output must not change. So if
//! the first tag or comment depends on standing at the start of a line, it is written in another form.

use minijinja::syntax::SyntaxConfig;

use crate::compile::layout::Layout;
use crate::compile::lex::is_blank;
use crate::compile::lower::Lowering;
use crate::compile::names::{RENDER_START, WRONG_SYNTAX};
use crate::compile::scan::{Scan, SourceSpan, SpanKind, first_marker, scan};

/// The test of a mark. `loaded` tells whether a loader of the cache serves the template. The mark also tells whether
/// included templates can read what this template binds.
pub(crate) fn start_test(loaded: bool, layout: &Layout) -> String {
    let shares = if layout.all_statements().is_some() { "(true)" } else { "" };
    format!("{} is {RENDER_START}{shares}", if loaded { "true" } else { "none" })
}

/// The text of a template with `start_test` before it. A template that MiniJinja will reject is returned unchanged.
pub(crate) fn with_start_mark(text: &str, syntax: &SyntaxConfig, start_test: &str) -> String {
    let scan = scan(text, syntax);
    if scan.error.is_some() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 128);
    let rest = write_mark(&scan, syntax, start_test, &mut out);
    out.push_str(&text[rest..]);
    out
}

/// A tag of another syntax, written as text of this one. An environment with the other syntax would print the
/// template's tags as text; with the trap it fails. Empty if the two syntaxes cannot be told apart in this way.
pub(crate) fn syntax_trap(syntax: &SyntaxConfig, other: &SyntaxConfig) -> String {
    let ((start, end), (other_start, other_end)) = (syntax.block_delimiters(), other.block_delimiters());
    let syntax_trap = format!("{other_start} if none is {WRONG_SYNTAX} {other_end}{other_start} endif {other_end}");
    if first_marker(&syntax_trap, 0, syntax).is_some() {
        return String::new();
    }
    format!("{start}+ if false +{end}{syntax_trap}{start}+ endif +{end}")
}

/// Writes the mark and the first tag if that has to change. Returns where the rest of the template begins.
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
            // The mark takes the line of the comment.
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
