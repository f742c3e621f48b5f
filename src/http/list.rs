//! Comma-separated lists in header values (RFC 9110 §5.6.1). Commas inside of quotes do not separate.
//!
//! The meaning of an element, and of an empty one, is left to the files that read a header.

/// The quoting rules of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Quoted strings (RFC 9110 §5.6.4), in which a backslash escapes the next byte.
    Strings,
    /// Entity tags (RFC 9110 §8.8.3), in which a backslash has no meaning.
    Tags,
}

/// The elements of one line, empty ones too, without the whitespace around them. An unclosed quote extends to the end
/// of the line.
pub(super) fn elements(line: &[u8], quoting: Quoting) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (end, _) = scan(line, quoting);
        rest = line.get(end + 1..);
        Some(line[..end].trim_ascii())
    })
}

/// Whether an element has an unclosed quote.
pub(super) fn has_open_quote(element: &[u8], quoting: Quoting) -> bool {
    scan(element, quoting).1
}

/// The position of the first comma outside of quotes, or of the end, and whether a quote is open there.
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
        assert!(has_open_quote(b"\"b, c", Quoting::Strings));
        assert!(has_open_quote(br#""b\"#, Quoting::Strings));
        assert!(!has_open_quote(br#""b\""#, Quoting::Tags));
    }
}
