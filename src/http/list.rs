//! Comma-separated lists in field values (RFC 9110 §5.6.1), with the commas inside quotes left alone.
//!
//! Owns where an element starts and ends. Leaves to the fields what an element means, and what an empty one means.

/// How a field quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Quoted strings (RFC 9110 §5.6.4): a backslash takes the next byte with it.
    Strings,
    /// Entity tags (RFC 9110 §8.8.3): a backslash is a byte like any other.
    Tags,
}

/// The elements of one line, without the whitespace around them. Empty elements are elements here.
///
/// A quote that nothing closes runs to the end of the line.
pub(super) fn elements(line: &[u8], quoting: Quoting) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (end, _) = scan(line, quoting);
        rest = line.get(end + 1..);
        Some(line[..end].trim_ascii())
    })
}

/// Whether an element has a quote that nothing closes.
pub(super) fn is_open(element: &[u8], quoting: Quoting) -> bool {
    scan(element, quoting).1
}

/// The place of the first comma outside quotes, or the end; and whether a quote is still open there.
fn scan(line: &[u8], quoting: Quoting) -> (usize, bool) {
    let mut quoted = false;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted && quoting == Quoting::Strings => at += 1,
            b',' if !quoted => return (at, false),
            _ => {}
        }
        at += 1;
    }
    (line.len(), quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str, quoting: Quoting) -> Vec<&str> {
        elements(line.as_bytes(), quoting).map(|element| std::str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn commas_outside_quotes_separate() {
        assert_eq!(split("a, b\t,c", Quoting::Strings), ["a", "b", "c"]);
        assert_eq!(split(", a,,", Quoting::Strings), ["", "a", "", ""]);
        assert_eq!(split("", Quoting::Strings), [""]);
        assert_eq!(split("a=\"b, c\", d", Quoting::Strings), ["a=\"b, c\"", "d"]);
    }

    #[test]
    fn a_backslash_escapes_in_strings_and_not_in_tags() {
        assert_eq!(split(r#""a\", b", c"#, Quoting::Strings), [r#""a\", b""#, "c"]);
        assert_eq!(split(r#""a\", "b""#, Quoting::Tags), [r#""a\""#, r#""b""#]);
        assert_eq!(split(r#"a\", b"#, Quoting::Strings), [r#"a\", b"#]);
    }

    #[test]
    fn an_open_quote_runs_to_the_end() {
        assert_eq!(split("a, \"b, c", Quoting::Strings), ["a", "\"b, c"]);
        assert!(is_open(b"\"b, c", Quoting::Strings));
        assert!(is_open(br#""b\"#, Quoting::Strings));
        assert!(!is_open(br#""b\""#, Quoting::Tags));
    }
}
