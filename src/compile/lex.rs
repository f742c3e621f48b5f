//! Splits the inside of a tag into tokens, exactly as MiniJinja's lexer does.
//!
//! Owns the ends of tokens, strings and tags. `scan` finds the tags, `parser` and `statement` read the tokens.

/// The kind of a token. Its text tells which operator or word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Str,
    Number,
    Operator,
}

/// A token as a byte range of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TagToken {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl TagToken {
    /// The token's source text. Strings keep their quotes, so no string equals an operator.
    pub(super) fn text<'s>(&self, source: &'s str) -> &'s str {
        &source[self.start..self.end]
    }
}

/// The text of the token at `at`; empty after the last token.
pub(super) fn text_at<'s>(source: &'s str, tokens: &[TagToken], at: usize) -> &'s str {
    tokens.get(at).map_or("", |token| token.text(source))
}

/// The end of the tag being read.
#[derive(Debug, Clone, Copy)]
pub(super) enum TagEnd<'s> {
    Delimiter(&'s str),
    EndOfLine,
}

/// The inside of a complete tag.
#[derive(Debug)]
pub(super) struct LexedTag {
    pub(super) tokens: Vec<TagToken>,
    /// Start of the closing delimiter (with its `-` or `+`) or of the line's end.
    pub(super) inner_end: usize,
    /// End of the tag, in bytes.
    pub(super) end: usize,
    /// `-` or `+` before the closing delimiter.
    pub(super) control: Option<char>,
}

/// The reason why a tag could not be read.
#[derive(Debug)]
pub(super) struct LexError {
    pub(super) tokens: Vec<TagToken>,
    pub(super) at: usize,
    pub(super) message: &'static str,
}

/// Reads the tokens of a tag whose inside starts at `start`.
///
/// `balance` is the number of open brackets. MiniJinja carries it from tag to tag; so does the scanner, except for the
/// literal `<% %>` spelling.
pub(super) fn lex(source: &str, start: usize, closing: TagEnd<'_>, balance: &mut isize) -> Result<LexedTag, LexError> {
    let mut tokens = Vec::new();
    let mut at = start;
    loop {
        if let Some((inner_end, end, control)) = tag_end(source, at, closing, *balance) {
            return Ok(LexedTag { tokens, inner_end, end, control });
        }
        let rest = &source[at..];
        let Some(first) = rest.bytes().next() else {
            return Err(LexError { tokens, at, message: "unexpected end of the template" });
        };
        if first.is_ascii_whitespace() {
            at += rest.bytes().take_while(u8::is_ascii_whitespace).count();
            continue;
        }
        match token(source, at) {
            Ok((kind, end)) => {
                if kind == TokenKind::Operator {
                    *balance += bracket(first);
                }
                tokens.push(TagToken { kind, start: at, end });
                at = end;
            }
            Err(message) => return Err(LexError { tokens, at, message }),
        }
    }
}

/// Length of the identifier at the start of `s`.
///
/// Unicode letters count: in an environment without MiniJinja's `unicode` feature, MiniJinja reports them itself.
pub(super) fn identifier_len(s: &str) -> usize {
    let mut len = 0;
    for c in s.chars() {
        let goes_on = c == '_' || c.is_alphabetic() || (len > 0 && c.is_alphanumeric());
        if !goes_on {
            break;
        }
        len += c.len_utf8();
    }
    len
}

/// Whether a line ends at the start of `s`, and the length of the line break as MiniJinja counts it: of `\r
/// ` only the `\r`.
pub(super) fn line_break(s: &str) -> (bool, usize) {
    let mut len = usize::from(s.starts_with('\n'));
    len += usize::from(s[len..].starts_with('\r'));
    (len > 0 || s.is_empty(), len)
}

/// Length of the white space at the start of `s`, without line breaks.
pub(super) fn blank_len(s: &str) -> usize {
    s.len() - s.trim_start_matches(is_blank).len()
}

/// Whether a character is white space other than a line break.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\n' && c != '\r'
}

/// Number of line breaks in `text`.
pub(super) fn newlines(text: &str) -> usize {
    text.bytes().filter(|&b| b == b'\n').count()
}

fn tag_end(source: &str, at: usize, closing: TagEnd<'_>, balance: isize) -> Option<(usize, usize, Option<char>)> {
    let rest = &source[at..];
    match closing {
        TagEnd::EndOfLine => {
            if rest.is_empty() {
                return Some((at, at, None));
            }
            let blank = blank_len(rest);
            let (ends, len) = line_break(&rest[blank..]);
            (ends && balance == 0).then_some((at, at + blank + len, None))
        }
        TagEnd::Delimiter(end) if balance == 0 => {
            let control = rest.chars().next().filter(|&c| c == '-' || c == '+');
            if control.is_some() && rest[1..].starts_with(end) {
                return Some((at, at + 1 + end.len(), control));
            }
            rest.starts_with(end).then_some((at, at + end.len(), None))
        }
        TagEnd::Delimiter(_) => None,
    }
}

fn bracket(byte: u8) -> isize {
    match byte {
        b'(' | b'[' | b'{' => 1,
        b')' | b']' | b'}' => -1,
        _ => 0,
    }
}

fn token(source: &str, at: usize) -> Result<(TokenKind, usize), &'static str> {
    let bytes = &source.as_bytes()[at..];
    if matches!(bytes.get(..2), Some(b"//" | b"**" | b"==" | b"!=" | b">=" | b"<=")) {
        return Ok((TokenKind::Operator, at + 2));
    }
    match bytes[0] {
        quote @ (b'\'' | b'"') => {
            string_len(bytes, quote).map(|len| (TokenKind::Str, at + len)).ok_or("unexpected end of string")
        }
        b'0'..=b'9' => Ok((TokenKind::Number, at + number_len(source, at))),
        b'+' | b'-' | b'*' | b'/' | b'%' | b'.' | b',' | b':' | b'~' | b'|' | b'=' | b'>' | b'<' | b'(' | b')'
        | b'[' | b']' | b'{' | b'}' => Ok((TokenKind::Operator, at + 1)),
        _ => match identifier_len(&source[at..]) {
            0 => Err("unexpected character"),
            len => Ok((TokenKind::Word, at + len)),
        },
    }
}

fn string_len(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

fn number_len(source: &str, at: usize) -> usize {
    #[derive(Clone, Copy)]
    enum NumberState {
        Radix,
        Integer,
        Fraction,
        Exponent,
        ExponentSign,
    }
    let bytes = &source.as_bytes()[at..];
    // `foo.1.0` is two subscripts, not one fraction.
    let after_dot = at > 0 && source.as_bytes()[at - 1] == b'.';
    let hex = matches!(bytes.get(..2), Some(b"0x" | b"0X"));
    let radix = hex || matches!(bytes.get(..2), Some(b"0b" | b"0B" | b"0o" | b"0O"));
    let mut state = if radix { NumberState::Radix } else { NumberState::Integer };
    let mut len = if radix { 2 } else { 0 };
    len += bytes[len..].iter().take_while(|b| b.is_ascii_digit()).count();
    while let Some(&byte) = bytes.get(len) {
        state = match (byte, state) {
            (b'.', NumberState::Integer) if after_dot => break,
            (b'.', NumberState::Integer) => {
                let exponent = matches!(bytes.get(len + 1), Some(b'e' | b'E'))
                    && matches!(bytes.get(len + 2), Some(b'+' | b'-' | b'0'..=b'9'));
                if !exponent && identifier_len(&source[at + len + 1..]) > 0 {
                    break;
                }
                NumberState::Fraction
            }
            (b'e' | b'E', NumberState::Integer | NumberState::Fraction) => NumberState::Exponent,
            (b'+' | b'-' | b'0'..=b'9', NumberState::Exponent) => NumberState::ExponentSign,
            (b'0'..=b'9' | b'_', state) => state,
            (b'a'..=b'f' | b'A'..=b'F', NumberState::Radix) if hex => state,
            _ => break,
        };
        len += 1;
    }
    len
}
