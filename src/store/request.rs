//! A look-up being put together: the canonical bytes of its identity, and where the key lies in them.
//!
//! The layout is fixed prefix, key, variants; each part knows its own end (see `key.rs`), so no two different
//! builders have the same bytes.

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

/// The largest buffer worth keeping, in bytes.
const KEPT: usize = 16 << 10;

#[cfg_attr(feature = "http", derive(Clone))]
pub(crate) struct RequestBuilder {
    bytes: Vec<u8>,
    key: Range<usize>,
    /// The end of the part that names the result in reports: of the key, or of the query of a page behind it.
    named: usize,
    version: Option<u128>,
    ttl: Nanos,
    /// Whether another process can ask the same.
    shareable: bool,
    lease: Option<Duration>,
    waits: bool,
    steady: bool,
    /// Reads the content of a page from a shared store.
    decode: Option<DecodePayload>,
    /// The tags that the caller of a page declares, and their namespace.
    tags: Option<Box<(Vec<Arc<str>>, u64)>>,
}

/// What is asked for.
pub(crate) struct Request<'a> {
    pub(crate) identity: Identity<'a>,
    /// The key's encoding, which its floor is found by.
    pub(crate) key: &'a [u8],
    /// The name of it in reports: the key, with the query of a page.
    pub(crate) named: &'a [u8],
    pub(crate) version: Option<u128>,
    /// The oldest the caller accepts.
    pub(crate) ttl: Nanos,
    /// Whether another process can ask the same.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) shareable: bool,
    /// How long one of all nodes may compute it while the others wait.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) lease: Option<Duration>,
    /// Whether the caller waits for somebody else who computes it.
    pub(crate) waits: bool,
    /// Whether it is never replaced while it is valid, so that each thread may keep it in front.
    pub(crate) steady: bool,
    /// Reads the content of a page from a shared store.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) decode: Option<DecodePayload>,
    /// The tags that count for the caller beside those of the entry.
    pub(crate) declared: DeclaredTags<'a>,
    /// What the caller thinks of an entry that is valid and fresh; without, every such entry will do.
    pub(crate) takes: Option<&'a (dyn Fn(&Entry) -> bool + Sync)>,
}

impl RequestBuilder {
    pub(crate) fn new(kind: Kind, namespace: &Namespace) -> RequestBuilder {
        let mut bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        bytes.clear();
        bytes.push(kind as u8);
        // The path, whose hash alone somebody could make another one's.
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

    /// The part of a partial's identity before its key.
    pub(crate) fn partial(&mut self, environment: u64, template: &str) {
        self.shareable = is_named(environment);
        self.bytes.extend_from_slice(&environment.to_le_bytes());
        self.bytes.extend_from_slice(&(template.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(template.as_bytes());
    }

    /// The part of a block's identity before its key.
    pub(crate) fn block(&mut self, environment: u64, site: u128, escape: &AutoEscape) {
        self.shareable = is_named(environment);
        self.bytes.extend_from_slice(&environment.to_le_bytes());
        self.bytes.extend_from_slice(&site.to_le_bytes());
        let (mode, custom) = match escape {
            AutoEscape::None => (0, 0),
            AutoEscape::Html => (1, 0),
            AutoEscape::Custom(name) => (2, xxh3_64(name.as_bytes())),
            // JSON, where MiniJinja is built with it, and what may come.
            other => (3, xxh3_64(format!("{other:?}").as_bytes())),
        };
        self.bytes.push(mode);
        self.bytes.extend_from_slice(&u64::to_le_bytes(custom));
    }

    /// Adds what `encode` writes to what tells variants of the key apart.
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

    /// Adds something that tells variants of the key apart; nothing differs from an empty one.
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

    /// Adds the query of a page: with the key it names the page in reports, and it is invalidated by the key alone.
    #[cfg(feature = "http")]
    pub(crate) fn query(&mut self, query: Option<&str>) {
        self.qualify(query.map(str::as_bytes));
        if query.is_some() {
            self.named = self.bytes.len();
        }
    }

    /// Has pages read from a shared store by `decode`.
    #[cfg(all(feature = "http", feature = "shared"))]
    pub(crate) fn decode_by(&mut self, decode: DecodePayload) {
        self.decode = Some(decode);
    }

    /// Has the answer looked up where all threads see it: it may be replaced while it is valid.
    #[cfg(feature = "http")]
    pub(crate) fn may_be_replaced(&mut self) {
        self.steady = false;
    }

    /// Lets the caller compute for itself where somebody else is at it.
    #[cfg(feature = "http")]
    pub(crate) fn wait_for_nobody(&mut self) {
        self.waits = false;
    }

    /// Declares tags: for this caller, what began before one of them was invalidated is no answer.
    #[cfg(feature = "http")]
    pub(crate) fn declare(&mut self, tags: Vec<Arc<str>>, namespace: &Namespace) {
        self.tags = (!tags.is_empty()).then(|| Box::new((tags, namespace.id)));
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[self.key.clone()]
    }

    /// The part of the identity that names the result in reports.
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

    /// The same for a caller that declares tags.
    #[inline]
    pub(crate) fn request_with<'a>(&'a self, declared: DeclaredTags<'a>) -> Request<'a> {
        let mut request = self.request();
        request.declared = declared;
        request
    }

    /// Notes where the key is: up to the end that `encode` returns.
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

    /// The identity up to the end of the name, which lies in it: what all variants have in common.
    pub(crate) fn base(&self) -> &[u8] {
        let end = self.named.as_ptr_range().end as usize;
        let bytes = self.identity.bytes;
        bytes.get(..end.saturating_sub(bytes.as_ptr() as usize)).unwrap_or(bytes)
    }

    /// Whether an entry is of this identity and version, and young enough.
    #[inline]
    pub(crate) fn fits(&self, entry: &Entry, latest: Nanos) -> bool {
        *entry.identity == *self.identity.bytes
            && entry.version == self.version
            && entry.fresh(latest, self.ttl)
            && !self.refuses(entry)
    }

    /// Whether the caller would not take an entry, valid and fresh as it may be.
    pub(crate) fn refuses(&self, entry: &Entry) -> bool {
        self.takes.is_some_and(|takes| !takes(entry))
    }
}

/// What an identity tells of the place it was asked at, and of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdentityParts<'a> {
    /// The path of the namespace.
    pub(crate) namespace: &'a [u8],
    pub(crate) environment: Option<u64>,
    pub(crate) site: Option<u128>,
    pub(crate) key: &'a [u8],
    /// The key, and the query of a page behind it; see [`RequestBuilder::named`].
    pub(crate) named: &'a [u8],
}

impl<'a> IdentityParts<'a> {
    /// Reads what [`RequestBuilder`] wrote.
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

/// The bytes of the qualifier that these begin with, if it is not an empty one; see [`RequestBuilder::qualify`].
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
