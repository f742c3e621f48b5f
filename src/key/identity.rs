//! What makes two computations the same: canonical bytes and their fixed 128-bit hash.
//!
//! The hash finds, the bytes decide: a hit and a join compare the bytes, so that a key made to collide with
//! another one's hash costs a needless render and never shows one visitor's page to another.

use std::hash::Hasher;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// An identity looked up: hash and bytes.
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

/// What an identity is of; its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Block = 1,
    Partial = 2,
    Text = 3,
    Markup = 4,
    Page = 6,
    /// 5 is taken: shared stores may hold values under it in which `None` stands for `Some(None)` too.
    Value = 7,
}

/// Whether an identity is of a kind, by its first byte.
pub(crate) fn is_of(kind: Kind, identity: &[u8]) -> bool {
    identity.first() == Some(&(kind as u8))
}

/// The classes of tags; each hashes into the floor table on its own.
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

/// The tag by which nodes tell each other of a template.
pub(crate) fn template_tag(name: &str) -> u64 {
    tag_hash(TagClass::Template, 0, name.as_bytes())
}

/// The id of an environment registered under a name: the same in every process, and odd.
pub(crate) fn named_environment(name: &str) -> u64 {
    tag_hash(TagClass::Environment, 0, name.as_bytes()) | 1
}

/// The id of an environment without a name: of this process only, and even.
pub(crate) fn private_environment() -> u64 {
    ahash::RandomState::new().hash_one(()) & !1
}

/// Whether other processes can have this environment.
pub(crate) fn is_named(environment: u64) -> bool {
    environment & 1 == 1
}

/// For maps whose keys are hashes already.
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
