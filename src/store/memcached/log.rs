//! The log of invalidations as bytes: one memcached item, to which memcached appends in one step.
//!
//! ```text
//! "MJFL"  version  0 0 0   epoch      base      hash     hash     hash    …
//!   4        1       3       16        8         8        8        8            bytes, little-endian
//!                                             base + 1  base + 2  base + 3      number
//! ```
//!
//! A record has no number: its place is its number. That is why appending, which cannot count, is enough to raise a
//! floor. Dropping the oldest records moves `base`, the number of the newest one dropped. The epoch is drawn when the
//! item is made. When it is made, and by whom, is for `floors.rs`.

use std::collections::HashSet;

use crate::store::SyncPosition;

const MAGIC: &[u8; 8] = b"MJFL\x01\0\0\0";
const EPOCH: usize = 8;
const BASE: usize = 24;
const RECORDS: usize = 32;
const RECORD: usize = 8;

/// A log that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) epoch: u128,
    pub(super) base: u64,
    hashes: Vec<u64>,
}

impl Log {
    /// An empty one.
    pub(super) fn new(epoch: u128) -> Log {
        Log { epoch, base: 0, hashes: Vec::new() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Log> {
        let (head, records) = bytes.split_at_checked(RECORDS)?;
        let (hashes, rest) = records.as_chunks::<RECORD>();
        if !head.starts_with(MAGIC) || !rest.is_empty() {
            return None;
        }
        let epoch = u128::from_le_bytes(head[EPOCH..BASE].try_into().ok()?);
        let base = u64::from_le_bytes(head[BASE..].try_into().ok()?);
        base.checked_add(hashes.len() as u64)?;
        let hashes = hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
        (epoch > 0).then_some(Log { epoch, base, hashes })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORDS + self.hashes.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&records(&self.hashes));
        bytes
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The number of the newest record.
    pub(super) fn seq(&self) -> u64 {
        self.base + self.hashes.len() as u64
    }

    /// Only the newest records.
    pub(super) fn keep(&self, count: usize) -> Log {
        let dropped = self.hashes.len().saturating_sub(count);
        Log { epoch: self.epoch, base: self.base + dropped as u64, hashes: self.hashes[dropped..].to_vec() }
    }

    /// The records after what is known, each hash once, with its newest number, in the order of the numbers; all of
    /// them if what is known is of another epoch or before `base`.
    pub(super) fn since(&self, known: SyncPosition) -> Vec<(u64, u64)> {
        let skip = match known.seq.checked_sub(self.base) {
            Some(skip) if known.epoch == self.epoch => {
                usize::try_from(skip).unwrap_or(usize::MAX).min(self.hashes.len())
            }
            _ => 0,
        };
        let mut met = HashSet::with_hasher(ahash::RandomState::new());
        let mut floors = Vec::new();
        for (age, &hash) in (0..).zip(self.hashes[skip..].iter().rev()) {
            if met.insert(hash) {
                floors.push((hash, self.seq() - age));
            }
        }
        floors.reverse();
        floors
    }
}

/// What to append for these hashes.
pub(super) fn records(hashes: &[u64]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(base: u64, hashes: &[u64]) -> Log {
        Log { epoch: 7 << 80 | 1, base, hashes: hashes.to_vec() }
    }

    #[test]
    fn the_place_of_a_record_is_its_number() {
        let log = log(10, &[7, 8, 7]);
        let known = |seq| SyncPosition { epoch: log.epoch, seq };
        assert_eq!(log.seq(), 13);
        assert_eq!(log.since(known(10)), [(8, 12), (7, 13)]);
        assert_eq!(log.since(known(12)), [(7, 13)]);
        assert_eq!(log.since(known(13)), []);
        assert_eq!(log.since(known(9)), [(8, 12), (7, 13)]);
        assert_eq!(log.since(SyncPosition { epoch: 1, seq: 12 }), [(8, 12), (7, 13)]);
        let kept = log.keep(1);
        assert_eq!((kept.base, kept.seq(), kept.since(known(0))), (12, 13, vec![(7, 13)]));
        assert_eq!(log.keep(9), log);
    }

    #[test]
    fn err_what_is_no_log() {
        let good = log(1, &[2]).encode();
        assert!(Log::parse(&good[..39]).is_none());
        assert!(Log::parse(&good[..31]).is_none());
        for at in 0..MAGIC.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Log::parse(&bad).is_none(), "{at}");
        }
        assert!(Log::parse(&Log { epoch: 0, ..log(1, &[]) }.encode()).is_none());
        assert!(Log::parse(&log(u64::MAX, &[1]).encode()).is_none());
        assert_eq!(log(u64::MAX - 1, &[1]).since(SyncPosition::default()), [(1, u64::MAX)]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_parses(epoch in 1u128.., base in 0..u64::MAX - 99, hashes: Vec<u64>, more: Vec<u64>) {
            prop_assume!(hashes.len() < 99);
            let mut log = Log { epoch, base, hashes };
            let mut bytes = log.encode();
            bytes.extend_from_slice(&records(&more));
            log.hashes.extend(more);
            prop_assume!(log.len() < 99);
            prop_assert_eq!(Log::parse(&bytes), Some(log));
        }

        #[test]
        fn any_bytes_parse_or_not(bytes: Vec<u8>) {
            let mut log = MAGIC.to_vec();
            log.extend(bytes);
            if let Some(log) = Log::parse(&log) {
                log.since(SyncPosition::default());
            }
        }
    }
}
