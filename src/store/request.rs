//! One look-up. [`RequestBuilder`] writes the canonical bytes of its identity, [`Request`] is the view that the cache
//! and the shared tier use.
//!
//! The layout is fixed prefix, key, variants. Each part encodes its own end (see `key.rs`), so two different requests
//! never have the same bytes. Hash and kinds of an identity are in `key/identity.rs`.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use minijinja::AutoEscape;
use xxhash_rust::xxh3::xxh3_64;

use crate::invalidation::declared_tags::DeclaredTags;
use crate::invalidation::namespace::Namespace;
use crate::key::identity::{Identity, Kind, is_named, is_of};
use crate::key::{self, KeyError};
use crate::store::entry::Entry;
use crate::store::payload::DecodePayload;
use crate::util::clock::Nanos;

thread_local! {
    /// The buffer of the last builder, so that a hit allocates nothing.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The largest buffer that is reused, in bytes.
const KEPT: usize = 16 << 10;

#[cfg_attr(feature = "http", derive(Clone))]
pub(crate) struct RequestBuilder {
    bytes: Vec<u8>,
    key: Range<usize>,
    /// The end of the part that names the fragment in reports: the end of the key, or of the query of a page after it.
    named: usize,
    version: Option<u128>,
    ttl: Nanos,
    /// Whether another process can make the same request.
    shareable: bool,
    lease: Option<Duration>,
    waits: bool,
    steady: bool,
    /// Decodes the content of a page from a shared store.
    decode: Option<DecodePayload>,
    /// The tags that the caller of a page declares, and the id of their namespace.
    tags: Option<Box<(Vec<Arc<str>>, u64)>>,
}

/// The request: a view of the builder, with the tags and the test that one caller adds.
pub(crate) struct Request<'a> {
    pub(crate) identity: Identity<'a>,
    /// The encoded key; its floor is found by these bytes.
    pub(crate) key: &'a [u8],
    /// The name of the fragment in reports: the key, with the query of a page.
    pub(crate) named: &'a [u8],
    pub(crate) version: Option<u128>,
    /// The greatest age that the caller accepts.
    pub(crate) ttl: Nanos,
    /// Whether another process can make the same request.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) shareable: bool,
    /// How long one node may compute the entry while the other nodes wait.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) lease: Option<Duration>,
    /// Whether the caller waits for a running computation of this identity.
    pub(crate) waits: bool,
    /// Whether the entry is never replaced while it is valid, so that thread caches may store it.
    pub(crate) steady: bool,
    /// Decodes the content of a page from a shared store.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) decode: Option<DecodePayload>,
    /// The tags that the caller declares in addition to those of the entry.
    pub(crate) declared: DeclaredTags<'a>,
    /// Whether the caller accepts an entry that is valid and fresh. `None` accepts every such entry.
    pub(crate) takes: Option<&'a (dyn Fn(&Entry) -> bool + Sync)>,
}

impl RequestBuilder {
    pub(crate) fn new(kind: Kind, namespace: &Namespace) -> RequestBuilder {
        let mut bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        bytes.clear();
        bytes.push(kind as u8);
        // The path, and not its hash alone: two paths with one hash could be constructed.
        bytes.extend_from_slice(&(namespace.path.len() as u64).to_le_bytes());
        bytes.extend_from_slice(namespace.path.as_bytes());
        RequestBuilder {
            bytes,
            key: 0..0,
            named: 0,
            version: None,
            ttl: 0,
            shareable: true,
            lease: None,
            waits: true,
            steady: true,
            decode: None,
            tags: None,
        }
    }

    /// Adds the part of a partial's identity before its key.
    pub(crate) fn partial(&mut self, environment: u64, template: &str) {
        self.shareable = is_named(environment);
        self.bytes.extend_from_slice(&environment.to_le_bytes());
        self.bytes.extend_from_slice(&(template.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(template.as_bytes());
    }

    /// Adds the part of a block's identity before its key.
    pub(crate) fn block(&mut self, environment: u64, site: u128, escape: &AutoEscape) {
        self.shareable = is_named(environment);
        self.bytes.extend_from_slice(&environment.to_le_bytes());
        self.bytes.extend_from_slice(&site.to_le_bytes());
        let (mode, custom) = match escape {
            AutoEscape::None => (0, 0),
            AutoEscape::Html => (1, 0),
            AutoEscape::Custom(name) => (2, xxh3_64(name.as_bytes())),
            // JSON, if MiniJinja is built with it, and future modes.
            other => (3, xxh3_64(format!("{other:?}").as_bytes())),
        };
        self.bytes.push(mode);
        self.bytes.extend_from_slice(&u64::to_le_bytes(custom));
    }

    /// Adds the bytes that `encode` writes to the variants, after the key.
    pub(crate) fn encode_qualifier(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        encode(&mut self.bytes)
    }

    pub(crate) fn set_version(&mut self, version: Option<u128>) {
        self.version = version;
    }

    pub(crate) fn set_lease(&mut self, lease: Option<Duration>) {
        self.lease = lease;
    }

    /// Adds a part to the variants. `None` differs from an empty part.
    #[cfg(feature = "http")]
    pub(crate) fn qualify(&mut self, part: Option<&[u8]>) {
        match part {
            Some(part) => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
                self.bytes.extend_from_slice(part);
            }
            None => self.bytes.push(0),
        }
    }

    /// Adds the query of a page. Key and query name the page in reports; the key alone invalidates it.
    #[cfg(feature = "http")]
    pub(crate) fn query(&mut self, query: Option<&str>) {
        self.qualify(query.map(str::as_bytes));
        if query.is_some() {
            self.named = self.bytes.len();
        }
    }

    /// Decodes pages from a shared store with `decode`.
    #[cfg(all(feature = "http", feature = "shared"))]
    pub(crate) fn decode_by(&mut self, decode: DecodePayload) {
        self.decode = Some(decode);
    }

    /// Looks up the entry in the memory store, not in the thread cache: it may be replaced while it is valid.
    #[cfg(feature = "http")]
    pub(crate) fn may_be_replaced(&mut self) {
        self.steady = false;
    }

    /// Makes the caller compute instead of waiting for a running computation.
    #[cfg(feature = "http")]
    pub(crate) fn wait_for_nobody(&mut self) {
        self.waits = false;
    }

    /// Declares tags. For this caller, an entry is not valid if it began before one of them was invalidated.
    #[cfg(feature = "http")]
    pub(crate) fn declare(&mut self, tags: Vec<Arc<str>>, namespace: &Namespace) {
        self.tags = (!tags.is_empty()).then(|| Box::new((tags, namespace.id)));
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[self.key.clone()]
    }

    /// The part of the identity that names the fragment in reports.
    pub(crate) fn named(&self) -> &[u8] {
        &self.bytes[self.key.start..self.named]
    }

    pub(crate) fn lifetime(&mut self, ttl: Option<Nanos>, default: Nanos) {
        self.ttl = ttl.unwrap_or(default);
    }

    #[inline]
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            identity: Identity::new(&self.bytes),
            key: self.key(),
            named: self.named(),
            version: self.version,
            ttl: self.ttl,
            shareable: self.shareable,
            lease: self.lease,
            waits: self.waits,
            steady: self.steady,
            declared: self.tags.as_ref().map_or(DeclaredTags::NONE, |tags| DeclaredTags::given(&tags.0, tags.1)),
            decode: self.decode,
            takes: None,
        }
    }

    /// Like [`RequestBuilder::request`], for a caller that declares tags.
    #[inline]
    pub(crate) fn request_with<'a>(&'a self, declared: DeclaredTags<'a>) -> Request<'a> {
        let mut request = self.request();
        request.declared = declared;
        request
    }

    /// Adds the key, which ends where `encode` returns.
    pub(crate) fn encode_key(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<usize, KeyError>,
    ) -> Result<(), KeyError> {
        let start = self.bytes.len();
        self.named = encode(&mut self.bytes)?;
        self.key = start..self.named;
        Ok(())
    }
}

impl Request<'_> {
    pub(crate) fn is_page(&self) -> bool {
        is_of(Kind::Page, self.identity.bytes)
    }

    /// The identity up to the end of the name, which all variants have in common. The name is a slice of the identity.
    pub(crate) fn base(&self) -> &[u8] {
        let end = self.named.as_ptr_range().end as usize;
        let bytes = self.identity.bytes;
        bytes.get(..end.saturating_sub(bytes.as_ptr() as usize)).unwrap_or(bytes)
    }

    /// Whether an entry has this identity and version, and is young enough.
    #[inline]
    pub(crate) fn fits(&self, entry: &Entry, latest: Nanos) -> bool {
        *entry.identity == *self.identity.bytes
            && entry.version == self.version
            && entry.fresh(latest, self.ttl)
            && !self.refuses(entry)
    }

    /// Whether the caller rejects an entry, even if it is valid and fresh.
    pub(crate) fn refuses(&self, entry: &Entry) -> bool {
        self.takes.is_some_and(|takes| !takes(entry))
    }
}

/// The parts that an identity encodes: namespace, environment, block digest and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdentityParts<'a> {
    /// The path of the namespace.
    pub(crate) namespace: &'a [u8],
    pub(crate) environment: Option<u64>,
    pub(crate) site: Option<u128>,
    pub(crate) key: &'a [u8],
    /// The key, and the query of a page after it; see [`RequestBuilder::named`].
    pub(crate) named: &'a [u8],
}

impl<'a> IdentityParts<'a> {
    /// Decodes an identity that [`RequestBuilder`] wrote.
    pub(crate) fn of(identity: &'a [u8]) -> Option<IdentityParts<'a>> {
        let mut rest = identity;
        rest.split_off_first()?;
        let namespace = u64::from_le_bytes(array(&mut rest)?);
        let namespace = rest.split_off(..usize::try_from(namespace).ok()?)?;
        let (mut environment, mut site) = (None, None);
        if is_of(Kind::Block, identity) {
            environment = Some(u64::from_le_bytes(array(&mut rest)?));
            site = Some(u128::from_le_bytes(array(&mut rest)?));
            rest.split_off(..9)?;
        } else if is_of(Kind::Partial, identity) {
            environment = Some(u64::from_le_bytes(array(&mut rest)?));
            let name = u64::from_le_bytes(array(&mut rest)?);
            rest.split_off(..usize::try_from(name).ok()?)?;
        }
        let key = rest.get(..key::extent(rest)?)?;
        let query = if is_of(Kind::Page, identity) { qualifier(&rest[key.len()..]).map_or(0, <[u8]>::len) } else { 0 };
        Some(IdentityParts { namespace, environment, site, key, named: &rest[..key.len() + query] })
    }
}

/// The bytes of the qualifier at the start of `bytes`; `None` for an absent one. See [`RequestBuilder::qualify`].
fn qualifier(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(&[1])?;
    let length = usize::try_from(u64::from_le_bytes(array(&mut rest)?)).ok()?;
    bytes.get(..length.checked_add(bytes.len() - rest.len())?)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

impl Drop for RequestBuilder {
    #[inline]
    fn drop(&mut self) {
        if self.bytes.capacity() <= KEPT {
            let _ = SPARE.try_with(|spare| spare.set(std::mem::take(&mut self.bytes)));
        }
    }
}
