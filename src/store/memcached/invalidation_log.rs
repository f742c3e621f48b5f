//! The format of the invalidation log: one memcached item, to which memcached appends atomically.
//!
//! ```text
//! "MJFL"  version  0 0 0   epoch      base      hash     hash     hash    …
//!   4        1       3       16        8         8        8        8            bytes, little-endian
//!                                             base + 1  base + 2  base + 3      number
//! ```
//!
//! The position of a record is its sequence number. Therefore appending, which cannot count, is enough to raise a
//! floor. Dropping the oldest records moves `base`, the number of the newest dropped record. The epoch is chosen when
//! the item is created. When it is created is decided by `floors.rs`.

use std::collections::HashSet;

use crate::store::SyncPosition;

const MAGIC: &[u8; 8] = b"MJFL\x01\0\0\0";
const EPOCH: usize = 8;
const BASE: usize = 24;
const RECORDS: usize = 32;
const RECORD: usize = 8;

/// A decoded log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidationLog {
    pub(super) epoch: u128,
    pub(super) base: u64,
    hashes: Vec<u64>,
}

impl InvalidationLog {
    /// An empty log.
    pub(super) fn new(epoch: u128) -> InvalidationLog {
        InvalidationLog { epoch, base: 0, hashes: Vec::new() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<InvalidationLog> {
        let (head, records) = bytes.split_at_checked(RECORDS)?;
        let (hashes, rest) = records.as_chunks::<RECORD>();
        if !head.starts_with(MAGIC) || !rest.is_empty() {
            return None;
        }
        let epoch = u128::from_le_bytes(head[EPOCH..BASE].try_into().ok()?);
        let base = u64::from_le_bytes(head[BASE..].try_into().ok()?);
        base.checked_add(hashes.len() as u64)?;
        let hashes = hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
        (epoch > 0).then_some(InvalidationLog { epoch, base, hashes })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORDS + self.hashes.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&records(&self.hashes));
        bytes
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The number of the newest record.
    pub(super) fn seq(&self) -> u64 {
        self.base + self.hashes.len() as u64
    }

    /// A copy with only the newest records.
    pub(super) fn newest(&self, count: usize) -> InvalidationLog {
        let dropped = self.hashes.len().saturating_sub(count);
        InvalidationLog { epoch: self.epoch, base: self.base + dropped as u64, hashes: self.hashes[dropped..].to_vec() }
    }

    /// The records after a position: each hash once, with its newest number, in the order of the numbers. All records
    /// if the position is of another epoch or before `base`.
    pub(super) fn since(&self, known: SyncPosition) -> Vec<(u64, u64)> {
        let skip = match known.seq.checked_sub(self.base) {
            Some(skip) if known.epoch == self.epoch => {
                usize::try_from(skip).unwrap_or(usize::MAX).min(self.hashes.len())
            }
            _ => 0,
        };
        let mut seen = HashSet::with_hasher(ahash::RandomState::new());
        let mut floors = Vec::new();
        for (age, &hash) in (0..).zip(self.hashes[skip..].iter().rev()) {
            if seen.insert(hash) {
                floors.push((hash, self.seq() - age));
            }
        }
        floors.reverse();
        floors
    }
}

/// The bytes to append for these hashes.
pub(super) fn records(hashes: &[u64]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(base: u64, hashes: &[u64]) -> InvalidationLog {
        InvalidationLog { epoch: 7 << 80 | 1, base, hashes: hashes.to_vec() }
    }

    #[test]
    fn the_position_of_a_record_is_its_number() {
        let log = log(10, &[7, 8, 7]);
        let known = |seq| SyncPosition { epoch: log.epoch, seq };
        assert_eq!(log.seq(), 13);
        assert_eq!(log.since(known(10)), [(8, 12), (7, 13)]);
        assert_eq!(log.since(known(12)), [(7, 13)]);
        assert_eq!(log.since(known(13)), []);
        assert_eq!(log.since(known(9)), [(8, 12), (7, 13)]);
        assert_eq!(log.since(SyncPosition { epoch: 1, seq: 12 }), [(8, 12), (7, 13)]);
        let kept = log.newest(1);
        assert_eq!((kept.base, kept.seq(), kept.since(known(0))), (12, 13, vec![(7, 13)]));
        assert_eq!(log.newest(9), log);
    }

    #[test]
    fn err_other_bytes_are_not_a_log() {
        let good = log(1, &[2]).encode();
        assert!(InvalidationLog::parse(&good[..39]).is_none());
        assert!(InvalidationLog::parse(&good[..31]).is_none());
        for at in 0..MAGIC.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(InvalidationLog::parse(&bad).is_none(), "{at}");
        }
        assert!(InvalidationLog::parse(&InvalidationLog { epoch: 0, ..log(1, &[]) }.encode()).is_none());
        assert!(InvalidationLog::parse(&log(u64::MAX, &[1]).encode()).is_none());
        assert_eq!(log(u64::MAX - 1, &[1]).since(SyncPosition::default()), [(1, u64::MAX)]);
    }

    proptest! {
        #[test]
        fn an_encoded_log_parses(epoch in 1u128.., base in 0..u64::MAX - 99, hashes: Vec<u64>, more: Vec<u64>) {
            prop_assume!(hashes.len() < 99);
            let mut log = InvalidationLog { epoch, base, hashes };
            let mut bytes = log.encode();
            bytes.extend_from_slice(&records(&more));
            log.hashes.extend(more);
            prop_assume!(log.len() < 99);
            prop_assert_eq!(InvalidationLog::parse(&bytes), Some(log));
        }

        #[test]
        fn no_bytes_make_parsing_panic(bytes: Vec<u8>) {
            let mut log = MAGIC.to_vec();
            log.extend(bytes);
            if let Some(log) = InvalidationLog::parse(&log) {
                log.since(SyncPosition::default());
            }
        }
    }
}
