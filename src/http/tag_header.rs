//! The tags of a page in a response header, so that a downstream cache can purge pages by tag.
//!
//! Such a header has a limited length. A page with more tags could not be purged by all of them, so no tag is left out:
//! [`TagHeader::write`] returns false, and the caller makes the page private.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_128;

/// The header with the tags of a page for downstream caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TagHeader {
    /// `Cache-Groups` (RFC 9875): quoted strings. Caches must support at least 32 strings of 32 characters.
    CacheGroups,
    /// `Cache-Tag` (Cloudflare, Akamai): separated by commas, at most 16 KiB.
    CacheTag,
    /// `Surrogate-Key` (Fastly, Varnish's xkey): separated by spaces, at most 16 KiB.
    SurrogateKey,
}

impl TagHeader {
    /// The name of a tag in the header, by which it is purged. A tag that is too long, not ASCII, or contains a
    /// separator is replaced by a hash.
    pub fn name_of(self, tag: &str) -> Cow<'_, str> {
        let plain = |byte: u8| match self {
            TagHeader::CacheGroups => (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\',
            TagHeader::CacheTag => byte.is_ascii_graphic() && byte != b',' && !byte.is_ascii_uppercase(),
            TagHeader::SurrogateKey => byte.is_ascii_graphic(),
        };
        let longest = if self == TagHeader::CacheGroups { 32 } else { 1024 };
        if !tag.is_empty() && tag.len() <= longest && tag.bytes().all(plain) {
            Cow::Borrowed(tag)
        } else {
            Cow::Owned(format!("{:032x}", xxh3_128(tag.as_bytes())))
        }
    }

    pub(super) fn remove_all(headers: &mut HeaderMap) {
        for header in [TagHeader::CacheGroups, TagHeader::CacheTag, TagHeader::SurrogateKey] {
            headers.remove(header.header());
        }
    }

    fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            TagHeader::CacheGroups => "cache-groups",
            TagHeader::CacheTag => "cache-tag",
            TagHeader::SurrogateKey => "surrogate-key",
        })
    }

    /// Adds the tags to the headers of a response. Returns false, and adds nothing, if there are too many.
    pub(super) fn write<'a>(self, tags: impl Iterator<Item = &'a str>, headers: &mut HeaderMap) -> bool {
        const LONGEST_LIST: usize = 16 << 10;
        const MOST_GROUPS: usize = 32;
        let names: Vec<String> = tags
            .map(|tag| match self {
                TagHeader::CacheGroups => format!("\"{}\"", self.name_of(tag)),
                _ => self.name_of(tag).into_owned(),
            })
            .collect();
        let separator = match self {
            TagHeader::CacheGroups => ", ",
            TagHeader::CacheTag => ",",
            TagHeader::SurrogateKey => " ",
        };
        let list = names.join(separator);
        let fits = match self {
            TagHeader::CacheGroups => names.len() <= MOST_GROUPS,
            _ => list.len() <= LONGEST_LIST,
        };
        match HeaderValue::try_from(list) {
            Ok(list) if fits => {
                if !names.is_empty() {
                    headers.insert(self.header(), list);
                }
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: TagHeader, tags: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        let fits = header.write(tags.iter().copied(), &mut headers);
        fits.then(|| headers.get(header.header()).map_or(String::new(), |list| list.to_str().unwrap().to_owned()))
    }

    #[test]
    fn each_header_has_its_own_syntax() {
        let tags = ["films", "film:7"];
        assert_eq!(written(TagHeader::CacheGroups, &tags).unwrap(), r#""films", "film:7""#);
        assert_eq!(written(TagHeader::CacheTag, &tags).unwrap(), "films,film:7");
        assert_eq!(written(TagHeader::SurrogateKey, &tags).unwrap(), "films film:7");
        assert_eq!(written(TagHeader::CacheTag, &[]).unwrap(), "");
    }

    #[test]
    fn a_tag_that_a_header_cannot_hold_is_replaced_by_its_hash() {
        for header in [TagHeader::CacheGroups, TagHeader::CacheTag, TagHeader::SurrogateKey] {
            for tag in ["", "größe", "a\"b, c\\", &"x".repeat(2000)] {
                let name = header.name_of(tag);
                assert_eq!(name.len(), 32, "{tag:?}");
                assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()));
                assert!(written(header, &[tag]).unwrap().contains(&*name));
            }
        }
        // Caches compare `Cache-Tag` without case.
        assert_ne!(TagHeader::CacheTag.name_of("A"), TagHeader::CacheTag.name_of("a"));
    }

    #[test]
    fn too_many_tags_are_not_written_at_all() {
        let many: Vec<String> = (0..3000).map(|n| format!("film:{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(written(TagHeader::CacheGroups, &many[..33]), None);
        assert!(written(TagHeader::CacheGroups, &many[..32]).is_some());
        assert_eq!(written(TagHeader::CacheTag, &many), None);
        assert_eq!(written(TagHeader::SurrogateKey, &many), None);
    }
}
