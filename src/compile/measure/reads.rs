//! Finds the paths that a part of a template reads from outside.
//!
//! MiniJinja reports the undeclared names of a template, by scope and with attributes, but it leaves out some
//! statements. Those are read here by name alone: a path too many only distinguishes inputs that are equal, a missing
//! one would report two outputs for one input.

use std::collections::{BTreeSet, HashSet};

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;

use crate::compile::lex::{TagToken, TokenKind, text_at};
use crate::compile::scan::{SourceSpan, scan};
use crate::compile::statement::{assigned_names, bound_names, keyword, variables};

/// Suffix of a path for a name that is only called.
pub(crate) const CALLED_SUFFIX: &str = "()";

/// The paths that `source`, plain MiniJinja, reads from outside: `film.title`, `films`, `url_for()`. Sorted, and none
/// is inside of another. `None` if MiniJinja rejects the text.
pub(crate) fn free_paths(source: &str, syntax: &SyntaxConfig) -> Option<Vec<String>> {
    let mut env = Environment::empty();
    env.set_syntax(syntax.clone());
    let mut undeclared = env.template_from_str(source).ok()?.undeclared_variables(true);
    let scan = scan(source, syntax);
    let bound: HashSet<&str> = scan.spans.iter().flat_map(|span| bound_names(scan.source, span)).collect();
    let mut mentioned = NameUses::default();
    for span in &scan.spans {
        mentioned.span(scan.source, span);
        undeclared.extend(left_out(scan.source, span, &bound));
    }
    Some(mentioned.paths(undeclared))
}

/// Whether `source` extends another template, whose text is then shown.
pub(crate) fn extends_another(source: &str, syntax: &SyntaxConfig) -> bool {
    scan(source, syntax).spans.iter().any(|span| keyword(source, span) == Some("extends"))
}

/// The reads in statements that MiniJinja leaves out, or whose targets it declares too early.
fn left_out(source: &str, span: &SourceSpan, bound: &HashSet<&str>) -> Vec<String> {
    let tokens = &span.tokens;
    // A filter statement begins with the name of its filter.
    let first = if keyword(source, span) == Some("filter") { 2 } else { 1 };
    let named: Vec<(usize, &str)> = variables(source, tokens).filter(|(index, _)| *index >= first).collect();
    match keyword(source, span) {
        Some("include" | "import" | "from" | "extends" | "filter" | "autoescape") => {
            let free = named.into_iter().filter(|(_, name)| !bound.contains(name));
            free.map(|(index, _)| path_at(source, &tokens[index..])).collect()
        }
        // The value may read the earlier binding of the name.
        Some("set") => repeated(&named, &assigned_names(source, tokens)),
        Some("with") => repeated(&named, &bound_names(source, span)),
        _ => Vec::new(),
    }
}

/// The name at the start of `tokens`, with its attributes.
fn path_at(source: &str, tokens: &[TagToken]) -> String {
    let mut path = text_at(source, tokens, 0).to_owned();
    for pair in tokens.get(1..).unwrap_or(&[]).chunks_exact(2) {
        if pair[0].text(source) != "." || pair[1].kind != TokenKind::Word {
            break;
        }
        path.push('.');
        path.push_str(pair[1].text(source));
    }
    path
}

/// The `targets` that are also mentioned outside of their assignment.
fn repeated(named: &[(usize, &str)], targets: &[&str]) -> Vec<String> {
    let twice = |name: &&str| named.iter().filter(|(_, other)| other == name).count() > 1;
    named.iter().map(|(_, name)| *name).filter(|name| targets.contains(name)).filter(twice).map(str::to_owned).collect()
}

/// How names are used in a text.
#[derive(Default)]
struct NameUses<'s> {
    /// Attributes that are called: the object before them is read.
    methods: HashSet<&'s str>,
    /// Names that are not only called.
    values: HashSet<&'s str>,
}

impl<'s> NameUses<'s> {
    fn span(&mut self, source: &'s str, span: &SourceSpan) {
        let text = |index| text_at(source, &span.tokens, index);
        for (index, token) in span.tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Word) {
            let called = text(index + 1) == "(";
            let attribute = index.checked_sub(1).is_some_and(|before| text(before) == ".");
            match (attribute, called) {
                (true, true) => drop(self.methods.insert(token.text(source))),
                (false, false) => drop(self.values.insert(token.text(source))),
                _ => {}
            }
        }
    }

    fn paths(&self, undeclared: HashSet<String>) -> Vec<String> {
        let whole = |path: String| match path.rsplit_once('.') {
            Some((object, method)) if self.methods.contains(method) => object.to_owned(),
            _ => path,
        };
        let paths: BTreeSet<String> = undeclared.into_iter().map(whole).collect();
        let inside = |path: &str| path.match_indices('.').any(|(at, _)| paths.contains(&path[..at]));
        let called = |path: &String| !path.contains('.') && !self.values.contains(path.as_str());
        paths
            .iter()
            .filter(|path| !inside(path))
            .map(|path| if called(path) { format!("{path}{CALLED_SUFFIX}") } else { path.clone() })
            .collect()
    }
}
