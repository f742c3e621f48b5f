//! `Vary` (RFC 9110 §12.5.5): the names in it, and the values of a request for a variant key.
//!
//! `request.rs` makes keys from the encoded values.

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{self, Quoting};

/// The request headers that select a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Vary {
    /// `*`: the response cannot be selected by headers, so it is not stored.
    Star,
    /// In lower case, sorted, each once.
    Names(Vec<HeaderName>),
}

impl Vary {
    /// Reads all `Vary` lines of a response. An element that is `*` or no valid header name makes it [`Vary::Star`].
    pub(super) fn read(response: &HeaderMap) -> Vary {
        let mut names = Vec::new();
        for element in elements(response) {
            match HeaderName::from_bytes(element) {
                Ok(name) if element != b"*" => names.push(name),
                _ => return Vary::Star,
            }
        }
        Vary::Names(sorted(names))
    }
}

/// Sorts the names and removes duplicates.
pub(super) fn sorted(mut names: Vec<HeaderName>) -> Vec<HeaderName> {
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

/// Adds a name to the `Vary` of a response, unless it is there. The result is one line; with a `*` it is `*` alone.
pub(super) fn add(response: &mut HeaderMap, name: &HeaderName) {
    if name.as_str() == "*" || elements(response).any(|element| element == b"*") {
        response.insert(VARY, HeaderValue::from_static("*"));
        return;
    }
    if elements(response).any(|element| element.eq_ignore_ascii_case(name.as_str().as_bytes())) {
        return;
    }
    let mut all: Vec<&[u8]> = elements(response).collect();
    all.push(name.as_str().as_bytes());
    // Names and commas always make a valid value. `*` would be the safe one.
    let line = HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or(HeaderValue::from_static("*"));
    response.insert(VARY, line);
}

/// Appends a request's values of these headers. Different values have different bytes, and no encoding is the start of
/// another one.
///
/// An absent header differs from an empty one. Several lines count as one line with commas, and whitespace around
/// commas is ignored outside of quotes (RFC 9111 §4.1).
pub(super) fn encode_values(names: &[HeaderName], request: &HeaderMap, out: &mut Vec<u8>) {
    encode_length(names.len(), out);
    for name in names {
        encode_length(name.as_str().len(), out);
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(u8::from(request.contains_key(name)));
        let start = out.len();
        encode_length(0, out);
        encode_lines(request.get_all(name).iter(), out);
        let written = (out.len() - start - 8) as u64;
        out[start..start + 8].copy_from_slice(&written.to_le_bytes());
    }
}

/// Appends the elements of all lines, separated by commas.
fn encode_lines<'a>(lines: impl Iterator<Item = &'a HeaderValue>, out: &mut Vec<u8>) {
    for (line, value) in lines.enumerate() {
        for (element, text) in list::elements(value.as_bytes(), Quoting::Strings).enumerate() {
            if line + element > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(text);
        }
    }
}

/// All elements that are not empty.
fn elements(response: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = response.get_all(VARY).into_iter();
    lines.flat_map(|line| list::elements(line.as_bytes(), Quoting::Strings)).filter(|element| !element.is_empty())
}

fn encode_length(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

#[cfg(test)]
mod tests;
