//! Computes digests of parts of a template.

use minijinja::syntax::SyntaxConfig;
use xxhash_rust::xxh3::Xxh3;

/// A digest under construction. The length of each text is part of it, so two different lists of texts have different
/// digests.
#[derive(Default)]
pub(super) struct Digest(Xxh3);

impl Digest {
    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u128);
        self.0.update(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: u128) {
        self.0.update(&number.to_le_bytes());
    }

    pub(super) fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

/// A digest of the syntax settings: the same text means something else under other settings.
pub(super) fn syntax_digest(syntax: &SyntaxConfig) -> u128 {
    let mut digest = Digest::default();
    for (start, end) in [syntax.block_delimiters(), syntax.variable_delimiters(), syntax.comment_delimiters()] {
        digest.text(start);
        digest.text(end);
    }
    for prefix in [syntax.line_statement_prefix(), syntax.line_comment_prefix()] {
        digest.text(prefix.unwrap_or_default());
    }
    for flag in [syntax.trim_blocks(), syntax.lstrip_blocks(), syntax.keep_trailing_newline()] {
        digest.number(flag.into());
    }
    digest.finish()
}
