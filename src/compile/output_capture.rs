//! Finds where a template captures output, so that the output becomes a value that the template can read.
//!
//! Owns the findings of one source. `template/runtime/captured.rs` combines them over includes and blocks.

use minijinja::syntax::SyntaxConfig;

use crate::compile::lex::{TagToken, TokenKind, text_at};
use crate::compile::literal::literal_str;
use crate::compile::names::PREFIX;
use crate::compile::scan::{Scan, SourceSpan, SpanKind, scan};
use crate::compile::statement::{closing, is_set_block, keyword};

/// The position of an output in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputPosition {
    /// The innermost `{% block %}` around it.
    pub(crate) block: Option<Box<str>>,
    /// Whether it is captured in any case, whoever includes the template.
    pub(crate) captured: bool,
}

/// Names of templates; `None` if they are computed.
pub(crate) type TemplateNames = Option<Vec<String>>;

/// The output positions in one lowered template.
#[derive(Debug, Default)]
pub(crate) struct OutputCaptures {
    /// Cached bodies, by their digest.
    pub(crate) bodies: Vec<(u128, OutputPosition)>,
    /// Calls of `cache_partial`. A call whose result is not printed directly counts as captured.
    pub(crate) partials: Vec<OutputPosition>,
    pub(crate) includes: Vec<(TemplateNames, OutputPosition)>,
    /// Blocks, at their definition and at each call.
    pub(crate) blocks: Vec<(Box<str>, OutputPosition)>,
    pub(crate) extends: Vec<TemplateNames>,
    /// Whether a block is called by a computed name.
    pub(crate) calls_any_block: bool,
}

/// Reads `source`, which is plain MiniJinja.
pub(crate) fn output_captures(source: &str, syntax: &SyntaxConfig) -> OutputCaptures {
    let scan = scan(source, syntax);
    let mut reader =
        CaptureReader { open: Vec::new(), loops: captures_loops(&scan), captures: OutputCaptures::default() };
    for span in &scan.spans {
        reader.expressions(scan.source, span);
        if let Some(word) = keyword(scan.source, span) {
            reader.statement(scan.source, span, word);
        }
    }
    reader.captures
}

/// A statement that is open.
struct OpenCapture {
    captures: bool,
    block: Option<Box<str>>,
}

struct CaptureReader {
    open: Vec<OpenCapture>,
    /// Whether recursive loops are captured.
    loops: bool,
    captures: OutputCaptures,
}

impl CaptureReader {
    fn position(&self, captured: bool) -> OutputPosition {
        OutputPosition {
            block: self.open.iter().rev().find_map(|open| open.block.clone()),
            captured: captured || self.open.iter().any(|open| open.captures),
        }
    }

    fn statement(&mut self, source: &str, span: &SourceSpan, word: &str) {
        let tokens = &span.tokens;
        let text = |index| text_at(source, tokens, index);
        match word {
            "set" if !is_set_block(source, tokens) => {}
            "set" | "macro" | "call" => self.push(true),
            // Lowered cached bodies and measured includes print their text unchanged.
            "filter" => self.push(text(1) != PREFIX),
            "for" => self.push(self.loops && tokens.iter().any(|token| token.text(source) == "recursive")),
            "if" | "with" | "autoescape" => self.push(false),
            "block" => {
                let name: Box<str> = text(1).into();
                self.captures.blocks.push((name.clone(), self.position(false)));
                self.open.push(OpenCapture { captures: false, block: Some(name) });
            }
            "include" => self.captures.includes.push((names(source, &tokens[1..]), self.position(false))),
            // A module's output can be read through its name. A `from` discards the output.
            "import" => self.captures.includes.push((names(source, &tokens[1..]), self.position(true))),
            "extends" => self.captures.extends.push(names(source, &tokens[1..])),
            _ if word.starts_with("end") => drop(self.open.pop()),
            _ => {}
        }
    }

    fn push(&mut self, captures: bool) {
        self.open.push(OpenCapture { captures, block: None });
    }

    fn expressions(&mut self, source: &str, span: &SourceSpan) {
        let tokens = &span.tokens;
        let text = |index| text_at(source, tokens, index);
        for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Word) {
            if index > 0 && text(index - 1) == "." {
                continue;
            }
            match token.text(source) {
                PREFIX if text(index + 2).starts_with("miss") => {
                    if let Ok(digest) = text(index + 4).parse() {
                        self.captures.bodies.push((digest, self.position(false)));
                    }
                }
                "cache_partial" => {
                    let position = self.position(!is_printed(source, span, index));
                    self.captures.partials.push(position);
                }
                "self" if text(index + 1) == "." => {
                    let position = self.position(!is_printed(source, span, index));
                    self.captures.blocks.push((text(index + 2).into(), position));
                }
                "self" => self.captures.calls_any_block = true,
                "super" => {
                    let position = self.position(!is_printed(source, span, index));
                    let block = position.block.clone();
                    self.captures.blocks.extend(block.map(|block| (block, position)));
                }
                _ => {}
            }
        }
    }
}

/// Whether the call that begins at `index` is all that the span prints.
fn is_printed(source: &str, span: &SourceSpan, index: usize) -> bool {
    let path =
        span.tokens.iter().take_while(|token| token.kind == TokenKind::Word || token.text(source) == ".").count();
    let arguments = &span.tokens[path..];
    span.kind == SpanKind::Variable
        && index == 0
        && text_at(source, arguments, 0) == "("
        && closing(source, arguments) + 1 == arguments.len()
}

/// Whether a recursive loop is called anywhere except to print it.
fn captures_loops(scan: &Scan<'_>) -> bool {
    let mut calls =
        scan.spans.iter().flat_map(|span| span.tokens.iter().enumerate().map(move |(at, token)| (span, at, token)));
    calls.any(|(span, at, token)| {
        let text = |index| text_at(scan.source, &span.tokens, index);
        let attribute = text(at + 1) == "." || at > 0 && text(at - 1) == ".";
        token.text(scan.source) == "loop" && !attribute && !is_printed(scan.source, span, at)
    })
}

/// The templates that a statement names.
fn names(source: &str, tokens: &[TagToken]) -> TemplateNames {
    let mut names = Vec::new();
    for token in tokens {
        match (token.kind, token.text(source)) {
            (TokenKind::Str, literal) => names.push(literal_str(literal)?),
            (TokenKind::Operator, "(" | ")" | "[" | "]" | ",") => {}
            (TokenKind::Operator, "|") | (TokenKind::Word, "ignore" | "with" | "without" | "as" | "import") => break,
            _ => return None,
        }
    }
    (!names.is_empty()).then_some(names)
}
