//! `Vary` (RFC 9110 §12.5.5): which fields of a request choose its response, and what a request says in them.
//!
//! Owns the set of names and the bytes of a request's values. Leaves to the layer what key it makes of the bytes.

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{self, Quoting};

/// The fields that choose a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vary {
    /// Something that is no field chooses it: the response is never used again.
    Star,
    /// These, in lower case, sorted, each once.
    Names(Vec<HeaderName>),
}

impl Vary {
    /// Reads all `Vary` lines of a response. A `*` anywhere is [`Vary::Star`], and so is what is no field name: no
    /// request could be compared by it.
    pub(crate) fn read(response: &HeaderMap) -> Vary {
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

/// These names sorted, each once.
pub(crate) fn sorted(mut names: Vec<HeaderName>) -> Vec<HeaderName> {
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

/// Adds a name to a response's `Vary`, unless it is there. The names before it stay as they are, on one line; a `*`,
/// there or added, leaves nothing else.
pub(crate) fn add(response: &mut HeaderMap, name: &HeaderName) {
    if name.as_str() == "*" || elements(response).any(|element| element == b"*") {
        response.insert(VARY, HeaderValue::from_static("*"));
        return;
    }
    if elements(response).any(|element| element.eq_ignore_ascii_case(name.as_str().as_bytes())) {
        return;
    }
    let mut all: Vec<&[u8]> = elements(response).collect();
    all.push(name.as_str().as_bytes());
    // Parts of values and a name make a value. Did they not, `*` is the one that is never wrong.
    let line = HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or(HeaderValue::from_static("*"));
    response.insert(VARY, line);
}

/// Appends what a request says in these fields: other values, other bytes. The bytes know their own end.
///
/// A field that is absent differs from an empty one. Several lines are one line with commas, and whitespace around
/// commas outside quotes does not count (RFC 9111 §4.1).
pub(crate) fn encode_values(names: &[HeaderName], request: &HeaderMap, out: &mut Vec<u8>) {
    length(names.len(), out);
    for name in names {
        length(name.as_str().len(), out);
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(u8::from(request.contains_key(name)));
        let start = out.len();
        length(0, out);
        for (line, value) in request.get_all(name).iter().enumerate() {
            for (element, text) in list::elements(value.as_bytes(), Quoting::Strings).enumerate() {
                if line + element > 0 {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(text);
            }
        }
        let written = (out.len() - start - 8) as u64;
        out[start..start + 8].copy_from_slice(&written.to_le_bytes());
    }
}

/// The elements of all lines that are not empty.
fn elements(response: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = response.get_all(VARY).into_iter();
    lines.flat_map(|line| list::elements(line.as_bytes(), Quoting::Strings)).filter(|element| !element.is_empty())
}

fn length(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

#[cfg(test)]
mod tests;
