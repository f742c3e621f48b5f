//! Writes probes around includes and macros, on the author's lines.
//!
//! A probe must not change anything that a template can see. It opens no scope: the names that an included template sets
//! are visible after it, and scopes count towards the recursion limit. It evaluates an include's name once. It mentions no
//! variable where the author did not, since a macro captures the variables that it mentions.
//!
//! An include becomes a condition around a captured include, and an include without capture where it cannot be measured:
//!
//! ```jinja
//! {% if "NAME" is MEASURE_INCLUDE(ID, …) %}{% filter MEASURED_OUTPUT(ID) %}{% include none|TEMPLATE_NAME %}{% endfilter %}
//! {% else %}{% include none|TEMPLATE_NAME %}{% endif %}
//! ```
//!
//! A computed name stays inside an include, where MiniJinja does not search for variables to capture:
//! `{% include (NAME)|TAKE_TEMPLATE_NAME %}{% if none is MEASURE_INCLUDE(ID, …) %}…`. That include receives an empty list
//! and prints nothing.
//!
//! A macro is left unchanged. After it, its name is bound to a value that measures and calls it.

use minijinja::Error;
use minijinja::syntax::SyntaxConfig;
use xxhash_rust::xxh3::xxh3_64;

use super::parts::{MeasuredPart, find_parts};
use super::reads::free_paths;
use crate::compile::expr::ExprKind;
use crate::compile::lex::TagToken;
use crate::compile::literal::quote;
use crate::compile::lower::Lowering;
use crate::compile::names::{
    DISCARD_OUTPUT, MEASURE_INCLUDE, MEASURED_MACRO, MEASURED_OUTPUT, NOTE_IMPORT, TAKE_TEMPLATE_NAME, TEMPLATE_NAME,
};
use crate::compile::parser::ExprParser;
use crate::compile::rewrite::{LoweredTemplate, rewrite, rewrite_with};
use crate::compile::statement::bound_names;
use crate::compile::template::Outline;

/// Words that may follow the name in an include.
const MARKERS: [&str; 5] = ["ignore", "missing", "with", "without", "context"];

/// Lowers a template with probes for its includes and macros.
///
/// # Errors
///
/// As [`rewrite`].
pub(crate) fn lower_measured(source: &str, name: &str, syntax: &SyntaxConfig) -> Result<LoweredTemplate, Error> {
    rewrite_with(source, name, syntax, |lowering, outline, name| {
        let parts = find_parts(lowering.scan, outline);
        parts.iter().filter_map(|part| lowering.probe(part, name, outline)).collect()
    })
}

impl Lowering<'_, '_> {
    /// The span of a part's last tag and its replacement; `None` if the part is left unchanged.
    fn probe(&self, part: &MeasuredPart, name: &str, outline: &Outline<'_>) -> Option<(usize, String)> {
        match *part {
            MeasuredPart::Include { span, outermost } => Some((span, self.include_probe(span, outermost, name)?)),
            MeasuredPart::Macro { open, close } => Some((close, self.macro_probe(open, close, name)?)),
            MeasuredPart::Discarded { span } => Some((span, self.discard_probe(span, outline))),
        }
    }

    fn include_probe(&self, index: usize, outermost: bool, name: &str) -> Option<String> {
        let source = self.scan.source;
        let span = &self.scan.spans[index];
        let (start, end) = self.syntax.block_delimiters();
        let tokens = span.tokens.get(1..)?;
        let mut reader = ExprParser::statement(source, tokens);
        let expr = reader.expr().ok()?;
        let target = expr.range;
        let markers = &tokens[reader.pos..];
        if !markers.iter().all(|token| MARKERS.contains(&token.text(source))) {
            return None;
        }
        let markers: String = markers.iter().map(|token| format!(" {}", token.text(source))).collect();
        let include = format!("{start} include none|{TEMPLATE_NAME}{markers} {end}");
        let (id, place) = (id(name, span.range.start, "include"), format!("{name}:{}", span.line));

        let mut tag = self.begin(index);
        // On the first line of the tag, where MiniJinja reports the include.
        if expr.kind == ExprKind::Str {
            tag.put(" if ");
            tag.copy(target.clone(), true);
        } else {
            tag.put(" include (");
            tag.copy(target.clone(), true);
            tag.put(&format!(")|{TAKE_TEMPLATE_NAME} {end}{start} if none"));
        }
        let (place, text) = (quote(&place, usize::MAX), one_line(&source[target]));
        tag.put(&format!(" is {MEASURE_INCLUDE}({id}, {outermost}, {place}, {text}) {end}"));
        tag.put(&format!("{start} filter {MEASURED_OUTPUT}({id}) {end}{include}{start} endfilter {end}"));
        tag.put(&format!("{start} else {end}{include}{start} endif"));
        Some(self.finish(tag, index))
    }

    /// Tells the runtime that the output in between is discarded.
    fn discard_probe(&self, index: usize, outline: &Outline<'_>) -> String {
        let span = &self.scan.spans[index];
        let (start, end) = self.syntax.block_delimiters();
        let mut tag = self.begin(index);
        tag.put(&format!(" if none is {DISCARD_OUTPUT}(true) {end}{start} endif {end}{start} "));
        let inner = span.tokens.first().map_or(span.inner.start, |token| token.start)
            ..span.tokens.last().map_or(span.inner.end, |token| token.end);
        match outline.load_in(&inner) {
            Some(load) => {
                tag.copy(inner.start..load.name.start, false);
                tag.put("(");
                tag.copy(load.name.clone(), false);
                tag.put(&format!(")|{NOTE_IMPORT}"));
                tag.copy(load.name.end..inner.end, false);
            }
            None => tag.copy(inner, false),
        }
        tag.put(&format!(" {end}{start} if none is {DISCARD_OUTPUT}(false) {end}{start} endif"));
        self.finish(tag, index)
    }

    fn macro_probe(&self, open: usize, close: usize, name: &str) -> Option<String> {
        let source = self.scan.source;
        let (opening, closing) = (&self.scan.spans[open], &self.scan.spans[close]);
        let (start, end) = self.syntax.block_delimiters();
        let [macro_name, parameters @ ..] = &bound_names(source, opening)[..] else { return None };
        // The body as MiniJinja reads it. A body that cannot be lowered is not measured; its error is reported when the
        // whole template is lowered.
        let body = &source[opening.range.end..closing.range.start];
        let body = rewrite(body, name, self.syntax).ok()?.text.unwrap_or_else(|| body.to_owned());
        let mut read = free_paths(&body, self.syntax)?;
        let defaults = free_paths(&defaults(source, opening.tokens.get(2..)?, self.syntax), self.syntax)?;
        let of_parameter = |path: &String| parameters.contains(&path.split('.').next().unwrap_or_default());
        read.extend(defaults.into_iter().filter(|path| !of_parameter(path)));
        let (id, place) = (id(name, opening.range.start, macro_name), format!("{name}:{}", opening.line));
        let version = xxh3_64(&source.as_bytes()[opening.range.start..closing.range.end]) >> 1;

        let mut tag = self.begin(close);
        tag.put(" ");
        tag.copy(closing.tokens.first()?.start..closing.tokens.last()?.end, false);
        tag.put(&format!(" {end}{start} set {macro_name} = {macro_name}|{MEASURED_MACRO}({id}, {version}, "));
        let place = quote(&place, usize::MAX);
        tag.put(&format!("{place}, \"{macro_name}\", \"{}\", \"{}\")", parameters.join(" "), read.join(" ")));
        Some(self.finish(tag, close))
    }
}

/// The identity of a part within its template. Below 2^63, since MiniJinja's integers are cheapest there.
fn id(template: &str, at: usize, what: &str) -> u64 {
    xxh3_64(format!("{}:{template}{at}:{what}", template.len()).as_bytes()) >> 1
}

/// The parameter list as a template that prints it, to find the names that its defaults read.
fn defaults(source: &str, tokens: &[TagToken], syntax: &SyntaxConfig) -> String {
    let (print, printed) = syntax.variable_delimiters();
    let list = match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => &source[first.start..last.end],
        _ => "()",
    };
    // A call of this form takes arguments in the syntax of a macro's parameters.
    format!("{print} none|default{list} {printed}")
}

fn one_line(text: &str) -> String {
    quote(&text.split_whitespace().collect::<Vec<_>>().join(" "), usize::MAX)
}
