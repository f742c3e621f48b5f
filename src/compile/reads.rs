//! What a stretch of a template reads from outside, as paths.
//!
//! MiniJinja says which names a template does not declare itself, by scope and with their attributes. It leaves out
//! some statements, which are read here by name alone: a name too many tells two inputs apart that need not be, a name
//! too few shows two outputs of one input.

use std::collections::{BTreeSet, HashSet};

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;

use crate::compile::analyze::{bound_names, keyword};
use crate::compile::lex::{Kind, Token};
use crate::compile::refuse::{assigned_names, names_variable};
use crate::compile::scan::{Span, scan};

/// What the end of a path says of a name that is only ever called.
pub(crate) const CALLED: &str = "()";

/// The paths that `source`, plain MiniJinja, reads from outside: `film.title`, `films`, `url_for()`. Sorted; none is
/// inside of another. `None` where MiniJinja does not take the text for a template.
pub(crate) fn reads(source: &str, syntax: &SyntaxConfig) -> Option<Vec<String>> {
    let mut env = Environment::empty();
    env.set_syntax(syntax.clone());
    let mut undeclared = env.template_from_str(source).ok()?.undeclared_variables(true);
    let scan = scan(source, syntax);
    let bound: HashSet<&str> = scan.spans.iter().flat_map(|span| bound_names(scan.source, span)).collect();
    let mut mentioned = Mentioned::default();
    for span in &scan.spans {
        mentioned.span(scan.source, span);
        let left_out = left_out(scan.source, span, &bound);
        undeclared.extend(left_out.into_iter().map(str::to_owned));
    }
    Some(mentioned.paths(undeclared))
}

/// The names of statements that MiniJinja passes over, or declares too early.
fn left_out<'s>(source: &'s str, span: &Span, bound: &HashSet<&str>) -> Vec<&'s str> {
    let tokens = &span.tokens;
    // A filter statement begins with the name of its filter.
    let first = if keyword(source, span) == Some("filter") { 2 } else { 1 };
    let named = (first..tokens.len()).filter_map(|index| names_variable(source, tokens, index));
    let all: Vec<&'s str> = named.filter(|name| !WORDS.contains(name)).collect();
    match keyword(source, span) {
        Some("include" | "import" | "from" | "extends" | "filter" | "autoescape") => {
            all.into_iter().filter(|name| !bound.contains(name)).collect()
        }
        // The value may read what the name stood for before; MiniJinja thinks it is declared by then.
        Some("set") => repeated(all, &assigned_names(source, tokens)),
        Some("with") => repeated(all, &bound_names(source, span)),
        _ => Vec::new(),
    }
}

/// Those of `targets` that are mentioned beside being assigned.
fn repeated<'s>(all: Vec<&'s str>, targets: &[&str]) -> Vec<&'s str> {
    let twice = |name: &&str| all.iter().filter(|other| *other == name).count() > 1;
    all.iter().copied().filter(|name| targets.contains(name)).filter(twice).collect()
}

const WORDS: [&str; 20] = [
    "and", "as", "context", "else", "false", "False", "if", "ignore", "import", "in", "is", "missing", "none", "None",
    "not", "or", "true", "True", "with", "without",
];

/// How names are mentioned.
#[derive(Default)]
struct Mentioned<'s> {
    /// Attributes that are called: what is read is what they belong to.
    methods: HashSet<&'s str>,
    /// Names that are not only called.
    values: HashSet<&'s str>,
}

impl<'s> Mentioned<'s> {
    fn span(&mut self, source: &'s str, span: &Span) {
        let text = |index: usize| span.tokens.get(index).map_or("", |token: &Token| token.text(source));
        for (index, token) in span.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Word) {
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
            .map(|path| if called(path) { format!("{path}{CALLED}") } else { path.clone() })
            .collect()
    }
}
