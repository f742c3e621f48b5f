//! Entity tags (RFC 9110 §8.8.3) and the conditions that list them.
//!
//! Owns their grammar and both comparisons. Leaves to `conditions.rs` what follows from a match, and to the layer what
//! is hashed and whether the tag is weak.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{self, Quoting};

/// The name of one state of a resource: `"…"` or `W/"…"` (RFC 9110 §8.8.3).
///
/// `==` compares the text; two tags are compared for HTTP by [`weak_eq`](EntityTag::weak_eq) and
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
    /// Reads one tag: an upper-case `W/` or nothing, and quotes around bytes that are neither quote, space nor control
    /// character. `None` for everything else, whitespace around it included.
    pub fn parse(text: &[u8]) -> Option<EntityTag> {
        EntityTagRef::parse(text).map(|tag| EntityTag { weak: tag.weak, opaque: tag.opaque.into() })
    }

    /// The tag of a hash: 22 characters of the URL-safe base64 alphabet, one text for one hash.
    pub fn of_hash(hash: u128, weak: bool) -> EntityTag {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let opaque = (0..22).rev().map(|digit| ALPHABET[(hash >> (6 * digit)) as usize & 63]).collect();
        EntityTag { weak, opaque }
    }

    /// Whether it is weak: the same tag may stand for bytes that differ where it does not matter.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// What is between the quotes.
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// The value of an `ETag` field.
    pub fn to_header_value(&self) -> HeaderValue {
        let prefix: &[u8] = if self.weak { b"W/\"" } else { b"\"" };
        // The grammar of tags is narrower than that of values. Were it not, an empty value is no tag and matches none.
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
pub(crate) enum Comparison {
    /// Equal text will do.
    Weak,
    /// And neither may be weak.
    Strong,
}

impl Comparison {
    fn holds(self, one: EntityTagRef<'_>, other: EntityTagRef<'_>) -> bool {
        one.opaque == other.opaque && (self == Comparison::Weak || !(one.weak || other.weak))
    }
}

/// Whether any tag that the request lists under this name is the stored one; `None` if the field is absent.
///
/// `stored` is the value of the response's `ETag`. `*` alone on a line matches every stored tag. What is no tag, on
/// either side, matches nothing. Allocates nothing.
pub(crate) fn matches_any(
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

/// Whether the request asks under this name for any representation at all: `*`.
pub(crate) fn asks_for_any(request: &HeaderMap, name: &HeaderName) -> bool {
    request.get_all(name).iter().any(is_star)
}

fn is_star(line: &HeaderValue) -> bool {
    line.as_bytes().trim_ascii() == b"*"
}

fn lists(line: &HeaderValue, stored: EntityTagRef<'_>, comparison: Comparison) -> bool {
    list::elements(line.as_bytes(), Quoting::Tags)
        .filter_map(EntityTagRef::parse)
        .any(|asked| comparison.holds(asked, stored))
}

/// A tag where it lies.
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
