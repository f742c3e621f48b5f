//! Tags of a page as a header, so that a cache in front can be told to let go of what an invalidation concerns.
//!
//! A header holds so much and no more. A page whose tags do not fit could not be purged by all of them, so it is not
//! for caches in front: the caller is told so, and none of its tags are left out in silence.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_128;

/// The header that tells caches in front which tags a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TagHeader {
    /// `Cache-Groups` (RFC 9875): quoted strings; 32 of up to 32 characters are what every such cache takes.
    CacheGroups,
    /// `Cache-Tag` (Cloudflare, Akamai): separated by commas, up to 16 KiB in all.
    CacheTag,
    /// `Surrogate-Key` (Fastly, Varnish's xkey): separated by spaces, up to 16 KiB in all.
    SurrogateKey,
}

impl TagHeader {
    /// A tag as it stands in the header, which is also the name to purge it by. What the header cannot hold (too long,
    /// not ASCII, a separator) is replaced by a hash.
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

    /// Adds the tags to a response's headers; whether they fit.
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
    fn what_a_header_cannot_hold_is_a_hash_there_and_in_a_purge() {
        for header in [TagHeader::CacheGroups, TagHeader::CacheTag, TagHeader::SurrogateKey] {
            for tag in ["", "größe", "a\"b, c\\", &"x".repeat(2000)] {
                let name = header.name_of(tag);
                assert_eq!(name.len(), 32, "{tag:?}");
                assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()));
                assert!(written(header, &[tag]).unwrap().contains(&*name));
            }
        }
        // Caches that know Cache-Tag pay no heed to case.
        assert_ne!(TagHeader::CacheTag.name_of("A"), TagHeader::CacheTag.name_of("a"));
    }

    #[test]
    fn tags_that_do_not_fit_are_not_cut() {
        let many: Vec<String> = (0..3000).map(|n| format!("film:{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(written(TagHeader::CacheGroups, &many[..33]), None);
        assert!(written(TagHeader::CacheGroups, &many[..32]).is_some());
        assert_eq!(written(TagHeader::CacheTag, &many), None);
        assert_eq!(written(TagHeader::SurrogateKey, &many), None);
    }
}
