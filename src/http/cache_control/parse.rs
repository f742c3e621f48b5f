//! The syntax of `Cache-Control` and `Pragma` (RFC 9111 §5.2): a list of names, some with an argument.
//!
//! An element that cannot be read is marked; `format.rs` and `request.rs` decide what it counts as.

use http::{HeaderMap, HeaderName};

use super::super::list::{self, Quoting};

/// The longest time, in seconds. Longer times count as this one (RFC 9111 §1.2.2).
pub(super) const LONGEST: u32 = 1 << 31;

/// One element of the list.
pub(super) struct Directive<'a> {
    /// As written, empty if the element does not begin with a name. Names are compared without case.
    pub(super) name: &'a [u8],
    pub(super) argument: DirectiveArgument<'a>,
    /// The whole element as written.
    pub(super) text: &'a [u8],
}

/// The text behind the name of a directive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectiveArgument<'a> {
    Absent,
    /// A token, or the text between the quotes of a quoted string, with its backslashes.
    Value(&'a [u8]),
    /// The element does not follow the grammar. It may be meant as any directive.
    Unreadable,
}

impl Directive<'_> {
    /// Whether the element follows the grammar.
    pub(super) fn is_readable(&self) -> bool {
        self.argument != DirectiveArgument::Unreadable
    }

    /// The argument as a number of seconds.
    pub(super) fn seconds(&self) -> Option<u32> {
        match self.argument {
            DirectiveArgument::Value(value) => seconds(value),
            DirectiveArgument::Absent | DirectiveArgument::Unreadable => None,
        }
    }
}

/// The directives of all lines of one field, in order.
pub(super) fn directives(headers: &HeaderMap, field: HeaderName) -> impl Iterator<Item = Directive<'_>> {
    let lines = headers.get_all(field).into_iter();
    lines.flat_map(|line| list::elements(line.as_bytes(), Quoting::Strings)).flat_map(|element| {
        // An unclosed quote may hide a restriction. So the element is split at commas, and all parts are unreadable.
        let open = list::has_open_quote(element, Quoting::Strings);
        let parts = element.split(move |byte| open && *byte == b',').map(<[u8]>::trim_ascii);
        parts.filter(|part| !part.is_empty()).map(move |part| directive(part, open))
    })
}

/// Parses digits. A number that is too large becomes the longest time.
fn seconds(value: &[u8]) -> Option<u32> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum = value.iter().fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    Some(sum.min(LONGEST))
}

fn directive(text: &[u8], open: bool) -> Directive<'_> {
    let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let argument = match rest {
        _ if open || name.is_empty() => DirectiveArgument::Unreadable,
        [] => DirectiveArgument::Absent,
        [b'=', value @ ..] => argument(value),
        _ => DirectiveArgument::Unreadable,
    };
    Directive { name, argument, text }
}

fn argument(value: &[u8]) -> DirectiveArgument<'_> {
    if let [b'"', inner @ .., b'"'] = value
        && is_quoted_content(inner)
    {
        return DirectiveArgument::Value(inner);
    }
    if !value.is_empty() && value.iter().all(|byte| is_token(*byte)) {
        return DirectiveArgument::Value(value);
    }
    DirectiveArgument::Unreadable
}

/// Whether the bytes can be the content of a quoted string: quotes are escaped, and the last byte is no backslash that
/// would escape the closing quote.
fn is_quoted_content(inner: &[u8]) -> bool {
    let mut escaped = false;
    for byte in inner {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
