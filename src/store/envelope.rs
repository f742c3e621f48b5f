//! What an entry looks like in a shared store: a framed, checked, versioned piece of bytes.
//!
//! Owns the format; `tests/envelopes` holds one file for each version that was ever written. Leaves to `shared.rs`
//! what the parts mean to a cache. Nothing here panics or allocates more than it was given, whatever the bytes.
//!
//! | bytes | |
//! |---|---|
//! | 4 | `MJFC` |
//! | 1 | version, 1 |
//! | 1 | flags: 1 text is markup, 2 a value (not a text), 4 the body is compressed (LZ4 block), 8 signed |
//! | 8 or 32 | XXH3-64 of what follows, seeded with that of what precedes; signed: HMAC-SHA-256 of both (RFC 2104) |
//! | 4 | length of the head, little endian |
//! | … | the head, in MessagePack |
//! | … | the body |

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use sha2::Sha256;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: [u8; 4] = *b"MJFC";
const VERSION: u8 = 1;

const MARKUP: u8 = 1;
const DATA: u8 = 2;
const COMPRESSED: u8 = 4;
const SIGNED: u8 = 8;

const PREAMBLE: usize = MAGIC.len() + 2;
const CHECKSUM: usize = 8;
const SIGNATURE: usize = 32;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Markup,
    /// A value in MessagePack.
    Data,
}

/// An entry on its way: borrowed where it is written, from the bytes where it is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Envelope<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) kind: Kind,
    pub(crate) body: Cow<'a, [u8]>,
}

/// All but the body. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    /// The canonical bytes of what this is the result of; compared on every read.
    #[serde(borrow)]
    pub(crate) identity: &'a Bytes,
    pub(crate) version: Option<Wide>,
    /// The stamp: the epoch, and the highest number of an invalidation known when the work began.
    pub(crate) epoch: Wide,
    pub(crate) seq: u64,
    /// When the work began, by the store's clock, since 1970.
    pub(crate) born: u64,
    /// How long it may be served, from `born`; for ever if the largest number.
    pub(crate) lifetime: u64,
    pub(crate) stale: u64,
    pub(crate) cost: u64,
    /// Length of the body before compression.
    pub(crate) length: u32,
    #[serde(borrow)]
    pub(crate) tags: Vec<TagHead<'a>>,
    #[serde(borrow)]
    pub(crate) templates: Vec<TemplateHead<'a>>,
}

/// 128 bits as the two halves, high first: MessagePack has no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wide(u64, u64);

impl From<u128> for Wide {
    fn from(value: u128) -> Wide {
        Wide((value >> 64) as u64, value as u64)
    }
}

impl From<Wide> for u128 {
    fn from(Wide(high, low): Wide) -> u128 {
        u128::from(high) << 64 | u128::from(low)
    }
}

/// A tag's hash, and its name where the application gave one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TagHead<'a>(pub(crate) u64, #[serde(borrow)] pub(crate) Option<&'a str>);

/// A template the entry was made from, and the digest of its source; 0 if it was looked for in vain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TemplateHead<'a>(#[serde(borrow)] pub(crate) &'a str, pub(crate) Wide);

/// How envelopes are made and trusted.
#[derive(Clone)]
pub(crate) struct Seal {
    /// Bodies of at least so many bytes are compressed.
    pub(crate) compress_from: usize,
    /// The largest body that is believed, in bytes.
    pub(crate) largest: usize,
    pub(crate) key: Option<Key>,
}

/// A secret that envelopes are signed with.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl Key {
    pub(crate) fn new(secret: &[u8]) -> Option<Key> {
        Hmac::new_from_slice(secret).ok().map(Key)
    }
}

/// Why bytes are no envelope of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Not an envelope at all, or cut short.
    Foreign,
    /// Of a version this one does not read.
    Version(u8),
    /// Changed on the way, or signed with another key.
    Damaged,
    /// Signed where no signature is expected, or the other way round.
    Unsigned,
    /// Larger than what is believed.
    TooLarge,
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Defect::Foreign => f.write_str("is not an entry of this cache"),
            Defect::Version(version) => write!(f, "is of format version {version}, which this program does not read"),
            Defect::Damaged => f.write_str("is damaged, or was signed with another key"),
            Defect::Unsigned => f.write_str("is signed where none of ours is, or not signed where ours are"),
            Defect::TooLarge => f.write_str("is larger than the limit"),
        }
    }
}

impl Envelope<'_> {
    pub(crate) fn encode(&self, seal: &Seal) -> Option<Vec<u8>> {
        let head = rmp_serde::to_vec(&self.head).ok()?;
        let compressed = (self.body.len() >= seal.compress_from)
            .then(|| lz4_flex::block::compress(&self.body))
            // What does not shrink is stored as it is.
            .filter(|compressed| compressed.len() < self.body.len());
        let body = compressed.as_deref().unwrap_or(&self.body);

        let kind = match self.kind {
            Kind::Text => 0,
            Kind::Markup => MARKUP,
            Kind::Data => DATA,
        };
        let packed = if compressed.is_some() { COMPRESSED } else { 0 };
        let signed = if seal.key.is_some() { SIGNED } else { 0 };
        let mut bytes = Vec::with_capacity(PREAMBLE + SIGNATURE + 4 + head.len() + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind | packed | signed]);
        let mut rest = Vec::with_capacity(4 + head.len() + body.len());
        rest.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
        rest.extend_from_slice(&head);
        rest.extend_from_slice(body);
        match &seal.key {
            Some(key) => bytes.extend_from_slice(&key.of(&bytes, &rest).finalize().into_bytes()),
            None => bytes.extend_from_slice(&checksum(&bytes, &rest)),
        }
        bytes.extend_from_slice(&rest);
        Some(bytes)
    }

    pub(crate) fn decode<'a>(bytes: &'a [u8], seal: &Seal) -> Result<Envelope<'a>, Defect> {
        let (preamble, after) = bytes.split_at_checked(PREAMBLE).ok_or(Defect::Foreign)?;
        let [m, j, f, c, version, flags] = preamble else { return Err(Defect::Foreign) };
        if [*m, *j, *f, *c] != MAGIC {
            return Err(Defect::Foreign);
        }
        if *version != VERSION {
            return Err(Defect::Version(*version));
        }
        let rest = verified(preamble, after, flags & SIGNED != 0, seal)?;
        let (length, rest) = rest.split_first_chunk().ok_or(Defect::Foreign)?;
        let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Defect::Foreign)?;
        let head: Head<'a> = rmp_serde::from_slice(head).map_err(|_| Defect::Foreign)?;
        let length = head.length as usize;
        if length > seal.largest {
            return Err(Defect::TooLarge);
        }
        let body: Cow<'_, [u8]> = if flags & COMPRESSED != 0 {
            lz4_flex::block::decompress(body, length).map_err(|_| Defect::Damaged)?.into()
        } else {
            body.into()
        };
        if body.len() != length {
            return Err(Defect::Damaged);
        }
        let kind = match flags & (MARKUP | DATA) {
            0 => Kind::Text,
            MARKUP => Kind::Markup,
            DATA => Kind::Data,
            _ => return Err(Defect::Foreign),
        };
        Ok(Envelope { head, kind, body })
    }
}

/// What the checksum or the signature vouches for.
fn verified<'a>(preamble: &[u8], after: &'a [u8], signed: bool, seal: &Seal) -> Result<&'a [u8], Defect> {
    match (&seal.key, signed) {
        (Some(key), true) => {
            let (signature, rest) = after.split_at_checked(SIGNATURE).ok_or(Defect::Foreign)?;
            key.of(preamble, rest).verify_slice(signature).map_err(|_| Defect::Damaged)?;
            Ok(rest)
        }
        (None, false) => {
            let (found, rest) = after.split_at_checked(CHECKSUM).ok_or(Defect::Foreign)?;
            if found == checksum(preamble, rest) { Ok(rest) } else { Err(Defect::Damaged) }
        }
        _ => Err(Defect::Unsigned),
    }
}

/// In one go: hashing piece by piece would cost as much as all the rest of reading.
fn checksum(preamble: &[u8], rest: &[u8]) -> [u8; CHECKSUM] {
    xxh3_64_with_seed(rest, xxh3_64(preamble)).to_le_bytes()
}

impl Key {
    fn of(&self, preamble: &[u8], rest: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(preamble);
        mac.update(rest);
        mac
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
