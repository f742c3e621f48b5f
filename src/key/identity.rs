//! Identities: the bytes that two look-ups must share to get one entry, with their 128-bit hash; and the hashes of tags
//! and environments.
//!
//! The hash finds an entry or a flight, and the bytes decide: hits and joins compare the bytes. A key that is made to
//! collide with another key's hash therefore costs one unnecessary computation and never returns another visitor's
//! page. The bytes are assembled in `store/request.rs`; keys are encoded by `key/handler.rs` and the template room.

use std::hash::Hasher;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// The identity of a request: its hash and its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) hash: u128,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Identity<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Identity<'a> {
        Identity { hash: xxh3_128(bytes), bytes }
    }
}

/// The kind of fragment that an identity belongs to. It is the first byte of the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Block = 1,
    Partial = 2,
    Text = 3,
    Markup = 4,
    Page = 6,
    /// 5 is reserved: shared stores may hold values under 5 that encode `Some(None)` as `None`.
    Value = 7,
}

/// True if the first byte of an identity is this kind.
pub(crate) fn is_of(kind: Kind, identity: &[u8]) -> bool {
    identity.first() == Some(&(kind as u8))
}

/// The classes of tags. Equal names in different classes have different hashes in the floor table.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(crate) enum TagClass {
    Key = 1,
    Declared = 2,
    Namespace = 3,
    Environment = 4,
    Template = 5,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    Path = 6,
}

/// The hash of a tag within a namespace.
pub(crate) fn tag_hash(class: TagClass, namespace: u64, tag: &[u8]) -> u64 {
    xxh3_64_with_seed(tag, namespace ^ (class as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The tag that nodes publish when a template changes.
pub(crate) fn template_tag(name: &str) -> u64 {
    tag_hash(TagClass::Template, 0, name.as_bytes())
}

/// The id of an environment that is registered under a name. It is the same in every process, and odd.
pub(crate) fn named_environment(name: &str) -> u64 {
    tag_hash(TagClass::Environment, 0, name.as_bytes()) | 1
}

/// The id of an environment without a name. It is unique to this process, and even.
pub(crate) fn private_environment() -> u64 {
    ahash::RandomState::new().hash_one(()) & !1
}

/// True if other processes can have this environment.
pub(crate) fn is_named(environment: u64) -> bool {
    environment & 1 == 1
}

/// A hasher for maps whose keys are hashes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Passthrough(u64);

impl Hasher for Passthrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
}
