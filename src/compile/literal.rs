//! Reads and writes string literals of MiniJinja.

use minijinja::Environment;

/// The value of a string literal. MiniJinja resolves the escapes.
pub(super) fn literal_str(text: &str) -> Option<String> {
    let value = Environment::empty().compile_expression(text).ok()?.eval(()).ok()?;
    value.as_str().map(str::to_owned)
}

/// `text` as a string literal on one line, cut after `limit` characters.
pub(super) fn quote(text: &str, limit: usize) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            quoted.push('…');
            break;
        }
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
