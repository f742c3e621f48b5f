//! Entity tags (RFC 9110 §8.8.3): syntax, comparison, and the headers that list them.
//!
//! `preconditions.rs` decides what follows from a match, `revalidate.rs` computes tags.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{self, Quoting};

/// The entity tag of one state of a resource: `"…"`, or `W/"…"` if it is weak (RFC 9110 §8.8.3).
///
/// `==` compares the text. The comparisons of HTTP are [`weak_eq`](EntityTag::weak_eq) and
/// [`strong_eq`](EntityTag::strong_eq).
///
/// ```
/// use minijinja_cache::http::EntityTag;
///
/// let tag = EntityTag::of_hash(1, true);
/// assert_eq!(tag.to_header_value(), "W/\"AAAAAAAAAAAAAAAAAAAAAB\"");
/// assert_eq!(EntityTag::parse(b"W/\"AAAAAAAAAAAAAAAAAAAAAB\""), Some(tag));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityTag {
    weak: bool,
    opaque: Box<[u8]>,
}

impl EntityTag {
    /// Parses one tag: an optional `W/`, and quotes around bytes that are neither quotes, spaces nor control
    /// characters. `None` for any other text, for example with whitespace around the tag.
    pub fn parse(text: &[u8]) -> Option<EntityTag> {
        EntityTagRef::parse(text).map(|tag| EntityTag { weak: tag.weak, opaque: tag.opaque.into() })
    }

    /// The tag of a hash: 22 characters of the URL-safe base64 alphabet. Different hashes have different tags.
    pub fn of_hash(hash: u128, weak: bool) -> EntityTag {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let opaque = (0..22).rev().map(|digit| ALPHABET[(hash >> (6 * digit)) as usize & 63]).collect();
        EntityTag { weak, opaque }
    }

    /// Whether the tag is weak: it may stand for bodies that are equivalent but not equal.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// The bytes between the quotes.
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// The value of an `ETag` header.
    pub fn to_header_value(&self) -> HeaderValue {
        let prefix: &[u8] = if self.weak { b"W/\"" } else { b"\"" };
        // Every tag is a valid header value. An empty value would be no tag, and would match none.
        HeaderValue::from_bytes(&[prefix, &self.opaque, b"\""].concat()).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether both have the same text between the quotes (RFC 9110 §8.8.3.2).
    pub fn weak_eq(&self, other: &EntityTag) -> bool {
        Comparison::Weak.holds(self.borrowed(), other.borrowed())
    }

    /// Whether both have the same text between the quotes and neither is weak (RFC 9110 §8.8.3.2).
    pub fn strong_eq(&self, other: &EntityTag) -> bool {
        Comparison::Strong.holds(self.borrowed(), other.borrowed())
    }

    fn borrowed(&self) -> EntityTagRef<'_> {
        EntityTagRef { weak: self.weak, opaque: &self.opaque }
    }
}

/// How two tags are compared (RFC 9110 §8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The text is equal.
    Weak,
    /// The text is equal and neither tag is weak.
    Strong,
}

impl Comparison {
    fn holds(self, one: EntityTagRef<'_>, other: EntityTagRef<'_>) -> bool {
        one.opaque == other.opaque && (self == Comparison::Weak || !(one.weak || other.weak))
    }
}

/// Whether a tag in this header of the request matches the response's `ETag`, which is `stored`. `None` if the request
/// does not have the header.
///
/// `*` alone on a line matches every valid tag. An invalid tag, on either side, matches nothing.
pub(super) fn matches_any(
    request: &HeaderMap,
    name: &HeaderName,
    stored: &HeaderValue,
    comparison: Comparison,
) -> Option<bool> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let Some(stored) = EntityTagRef::parse(stored.as_bytes()) else {
        return Some(false);
    };
    Some(lines.any(|line| is_star(line) || lists(line, stored, comparison)))
}

/// Whether this header of the request is `*`: any current response matches.
pub(super) fn is_any(request: &HeaderMap, name: &HeaderName) -> bool {
    request.get_all(name).iter().any(is_star)
}

fn is_star(line: &HeaderValue) -> bool {
    line.as_bytes().trim_ascii() == b"*"
}

fn lists(line: &HeaderValue, stored: EntityTagRef<'_>, comparison: Comparison) -> bool {
    list::elements(line.as_bytes(), Quoting::Tags)
        .filter_map(EntityTagRef::parse)
        .any(|listed| comparison.holds(listed, stored))
}

/// A borrowed tag.
#[derive(Clone, Copy)]
struct EntityTagRef<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl EntityTagRef<'_> {
    fn parse(text: &[u8]) -> Option<EntityTagRef<'_>> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let opaque = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        opaque.iter().all(|byte| matches!(byte, b'!' | b'#'..=b'~' | 0x80..)).then_some(EntityTagRef { weak, opaque })
    }
}

#[cfg(test)]
mod tests;
