//! The format of an entry in a shared store: framed, checked and versioned bytes.
//!
//! `tests/envelopes` holds one file for each version that was ever written. The shared tier translates between entries
//! and envelopes. Decoding never panics, and allocates no more than the configured limit, whatever the bytes.
//!
//! | bytes | |
//! |---|---|
//! | 4 | `MJFC` |
//! | 1 | version, 1 |
//! | 1 | flags: 1 the text is markup, 2 the body is a value, 4 the body is compressed (LZ4 block), 8 signed |
//! | 8 or 32 | XXH3-64 of the rest, seeded with that of the first six bytes; signed: HMAC-SHA-256 of both (RFC 2104) |
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

/// The type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Text,
    Markup,
    /// A value in MessagePack.
    Data,
}

/// An entry in transit. It borrows from the entry when written, and from the received bytes when read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Envelope<'a> {
    pub(crate) head: EnvelopeHead<'a>,
    pub(crate) kind: BodyKind,
    pub(crate) body: Cow<'a, [u8]>,
}

/// Everything except the body. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnvelopeHead<'a> {
    /// The canonical bytes of the entry's key; compared on every read, because different keys may have the same hash.
    #[serde(borrow)]
    pub(crate) identity: &'a Bytes,
    pub(crate) version: Option<U128Halves>,
    /// With `seq`: the floors that the node had received when the computation started.
    pub(crate) epoch: U128Halves,
    pub(crate) seq: u64,
    /// The start of the computation by the store's clock, since 1970.
    pub(crate) born: u64,
    /// The lifetime, counted from `born`; the maximum stands for no expiry.
    pub(crate) lifetime: u64,
    pub(crate) stale: u64,
    pub(crate) cost: u64,
    /// The length of the body before compression.
    pub(crate) length: u32,
    #[serde(borrow)]
    pub(crate) tags: Vec<EnvelopeTag<'a>>,
    #[serde(borrow)]
    pub(crate) templates: Vec<EnvelopeTemplate<'a>>,
}

/// A 128-bit number as its two halves, high first: MessagePack has no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct U128Halves(u64, u64);

impl From<u128> for U128Halves {
    fn from(value: u128) -> U128Halves {
        U128Halves((value >> 64) as u64, value as u64)
    }
}

impl From<U128Halves> for u128 {
    fn from(U128Halves(high, low): U128Halves) -> u128 {
        u128::from(high) << 64 | u128::from(low)
    }
}

/// A tag's hash, and its name if the application gave one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnvelopeTag<'a>(pub(crate) u64, #[serde(borrow)] pub(crate) Option<&'a str>);

/// A template that the entry depends on, and the digest of its source; 0 if the template was missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnvelopeTemplate<'a>(#[serde(borrow)] pub(crate) &'a str, pub(crate) U128Halves);

/// Encodes and decodes envelopes, with the limits and the secret of one cache.
#[derive(Clone)]
pub(crate) struct EnvelopeCodec {
    /// The size in bytes from which bodies are compressed.
    compress_from: usize,
    /// The largest body that is accepted, in bytes.
    max_body: usize,
    key: Option<SigningKey>,
}

/// The secret that envelopes are signed with.
#[derive(Clone)]
pub(crate) struct SigningKey(Hmac<Sha256>);

/// Why bytes were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// Not an envelope, or truncated.
    Foreign,
    /// A format version that this program does not read.
    Version(u8),
    /// Changed after encoding, or signed with another key.
    Damaged,
    /// Signed although this cache has no key, or not signed although it has one.
    Unsigned,
    /// Larger than the limit.
    TooLarge,
}

impl EnvelopeCodec {
    pub(crate) fn new(compress_from: usize, max_body: usize, key: Option<SigningKey>) -> EnvelopeCodec {
        EnvelopeCodec { compress_from, max_body, key }
    }

    pub(crate) fn max_body(&self) -> usize {
        self.max_body
    }

    /// `None` if the head cannot be encoded.
    pub(crate) fn encode(&self, envelope: &Envelope<'_>) -> Option<Vec<u8>> {
        let head = rmp_serde::to_vec(&envelope.head).ok()?;
        let compressed = (envelope.body.len() >= self.compress_from)
            .then(|| lz4_flex::block::compress(&envelope.body))
            // A body that does not shrink is stored uncompressed.
            .filter(|compressed| compressed.len() < envelope.body.len());
        let body = compressed.as_deref().unwrap_or(&envelope.body);

        let kind = match envelope.kind {
            BodyKind::Text => 0,
            BodyKind::Markup => MARKUP,
            BodyKind::Data => DATA,
        };
        let packed = if compressed.is_some() { COMPRESSED } else { 0 };
        let signed = if self.key.is_some() { SIGNED } else { 0 };
        let mut bytes = Vec::with_capacity(PREAMBLE + SIGNATURE + 4 + head.len() + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind | packed | signed]);
        let mut rest = Vec::with_capacity(4 + head.len() + body.len());
        rest.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
        rest.extend_from_slice(&head);
        rest.extend_from_slice(body);
        match &self.key {
            Some(key) => bytes.extend_from_slice(&key.mac(&bytes, &rest).finalize().into_bytes()),
            None => bytes.extend_from_slice(&checksum(&bytes, &rest)),
        }
        bytes.extend_from_slice(&rest);
        Some(bytes)
    }

    pub(crate) fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Envelope<'a>, DecodeError> {
        let (preamble, after) = bytes.split_at_checked(PREAMBLE).ok_or(DecodeError::Foreign)?;
        let [m, j, f, c, version, flags] = preamble else { return Err(DecodeError::Foreign) };
        if [*m, *j, *f, *c] != MAGIC {
            return Err(DecodeError::Foreign);
        }
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let rest = self.verify(preamble, after, flags & SIGNED != 0)?;
        let (length, rest) = rest.split_first_chunk().ok_or(DecodeError::Foreign)?;
        let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(DecodeError::Foreign)?;
        let head: EnvelopeHead<'a> = rmp_serde::from_slice(head).map_err(|_| DecodeError::Foreign)?;
        let length = head.length as usize;
        if length > self.max_body {
            return Err(DecodeError::TooLarge);
        }
        let body: Cow<'_, [u8]> = if flags & COMPRESSED != 0 {
            lz4_flex::block::decompress(body, length).map_err(|_| DecodeError::Damaged)?.into()
        } else {
            body.into()
        };
        if body.len() != length {
            return Err(DecodeError::Damaged);
        }
        let kind = match flags & (MARKUP | DATA) {
            0 => BodyKind::Text,
            MARKUP => BodyKind::Markup,
            DATA => BodyKind::Data,
            _ => return Err(DecodeError::Foreign),
        };
        Ok(Envelope { head, kind, body })
    }

    /// Checks the signature or the checksum, and returns the bytes after it.
    fn verify<'a>(&self, preamble: &[u8], after: &'a [u8], signed: bool) -> Result<&'a [u8], DecodeError> {
        match (&self.key, signed) {
            (Some(key), true) => {
                let (signature, rest) = after.split_at_checked(SIGNATURE).ok_or(DecodeError::Foreign)?;
                key.mac(preamble, rest).verify_slice(signature).map_err(|_| DecodeError::Damaged)?;
                Ok(rest)
            }
            (None, false) => {
                let (found, rest) = after.split_at_checked(CHECKSUM).ok_or(DecodeError::Foreign)?;
                if found == checksum(preamble, rest) { Ok(rest) } else { Err(DecodeError::Damaged) }
            }
            _ => Err(DecodeError::Unsigned),
        }
    }
}

impl SigningKey {
    pub(crate) fn new(secret: &[u8]) -> Option<SigningKey> {
        Hmac::new_from_slice(secret).ok().map(SigningKey)
    }

    fn mac(&self, preamble: &[u8], rest: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(preamble);
        mac.update(rest);
        mac
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Foreign => f.write_str("is not an entry of this cache"),
            DecodeError::Version(version) => {
                write!(f, "is of format version {version}, which this program does not read")
            }
            DecodeError::Damaged => f.write_str("is damaged, or was signed with another key"),
            DecodeError::Unsigned => f.write_str("is signed where none of ours is, or not signed where ours are"),
            DecodeError::TooLarge => f.write_str("is larger than the limit"),
        }
    }
}

/// Hashes the rest in one call: hashing it in pieces takes as long as the whole remaining decoding.
fn checksum(preamble: &[u8], rest: &[u8]) -> [u8; CHECKSUM] {
    xxh3_64_with_seed(rest, xxh3_64(preamble)).to_le_bytes()
}

#[cfg(all(test, not(shuttle)))]
mod tests;
