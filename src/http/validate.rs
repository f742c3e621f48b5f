//! The entity tag of a response: what it is made from.
//!
//! Its content, what the content is, and the templates that made it: on every node the same, and another one after a
//! deployment that changed any of it. Never a time or a number of this process.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE};
use xxhash_rust::xxh3::Xxh3;

use super::etag::EntityTag;
use crate::record::{Dependency, Record};

/// The tag of a body in pieces, with what it depended on, where that is known.
pub(super) fn tag_of(body: &[Bytes], headers: &HeaderMap, record: Option<&Record>, weak: bool) -> EntityTag {
    let mut hasher = Xxh3::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
        add(headers.get(name).map_or(&[], |value| value.as_bytes()));
    }
    let mut templates: Vec<(&str, u128)> =
        record.map(Record::dependencies).unwrap_or_default().iter().filter_map(digest).collect();
    templates.sort_unstable();
    templates.dedup();
    for (name, digest) in templates {
        add(name.as_bytes());
        add(&digest.to_le_bytes());
    }
    add(&[]);
    body.iter().for_each(|piece| hasher.update(piece));
    EntityTag::of_hash(hasher.digest128(), weak)
}

fn digest(dependency: &Dependency) -> Option<(&str, u128)> {
    let Dependency { template, seen } = dependency;
    template.digest(*seen).map(|digest| (template.name(), digest))
}
