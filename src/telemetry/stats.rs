//! Counters. Each thread has its own set among a few, so that counting never makes two threads wait for one cache line.
//! Hits are counted by fragment, in `telemetry/label.rs`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

pub(crate) const SHARDS: usize = 16;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy)]
        #[allow(non_camel_case_types)]
        pub(crate) enum Counter { $($name),* }

        const COUNTERS: usize = [$(Counter::$name),*].len();

        /// What the cache did since it was built; see [`FragmentCache::stats`](crate::FragmentCache::stats).
        ///
        /// `hits + misses + bypasses` is the number of look-ups; what the shared tier answers is a miss of memory
        /// first. Counts are exact when nothing is under way; `entries` and `bytes` are as of the last maintenance, at
        /// most a second ago.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct Stats {
            /// Look-ups answered from the cache.
            pub hits: u64,
            $($(#[$doc])* pub $name: u64,)*
            /// Time that hits did not spend computing, by what each entry cost when it was computed.
            pub render_time_saved: Duration,
            /// Entries in memory.
            pub entries: u64,
            /// Bytes in memory, by each entry's own account.
            pub bytes: u64,
        }

        impl Counters {
            pub(crate) fn read(&self) -> Stats {
                let sum = |at: usize| self.shards.iter().map(|s| s.counts[at].load(Ordering::Relaxed)).sum::<u64>();
                Stats {
                    hits: 0,
                    $($name: sum(Counter::$name as usize),)*
                    render_time_saved: Duration::from_nanos(sum(COUNTERS)),
                    entries: 0,
                    bytes: 0,
                }
            }
        }
    };
}

counters! {
    /// Misses answered with an expired entry within its grace.
    stale_hits,
    /// Look-ups that found nothing valid.
    misses,
    /// Computations run to their end: rendered bodies, closures, futures.
    renders,
    /// Look-ups not made: lifetime 0, a false `if=`, an empty key from a handler, caching switched off.
    bypasses,
    /// Misses answered by somebody else's computation.
    waits,
    /// Waits that took longer than the wait timeout.
    wait_timeouts,
    /// Computations whose result was not stored: uncacheable, invalidated meanwhile, too large.
    unstored,
    /// Results put into the cache.
    stores,
    /// Calls to `invalidate*` and `clear`, and template changes.
    invalidations,
    /// Failures of the cache itself that were told, none of which failed a page.
    errors,
    /// Misses answered by the shared tier.
    shared_hits,
    /// Misses the shared tier had no answer for, the failed calls and those the breaker left out among them.
    shared_misses,
    /// Calls to it that were left out: the breaker open, the budget spent, out of touch with the store.
    shared_skips,
    /// Values found in it that are none of this cache's: another format, another secret, damaged.
    shared_rejects,
    /// Calls to it that failed, or answered with what is no entry.
    shared_failures,
    /// Results written to it.
    shared_stores,
    /// Results not written: the queue full, the store failing, larger than the limit, of use to this process only.
    shared_drops,
    /// Floors heard of through it, this node's own included.
    shared_invalidations,
}

#[repr(align(128))]
#[derive(Debug)]
struct CounterShard {
    /// One count for each counter, then nanoseconds saved.
    counts: [AtomicU64; COUNTERS + 1],
}

#[derive(Debug)]
pub(crate) struct Counters {
    shards: Box<[CounterShard]>,
}

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Counters {
    pub(crate) fn new() -> Counters {
        let shard = || CounterShard { counts: std::array::from_fn(|_| AtomicU64::new(0)) };
        Counters { shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.shard().counts[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "shared")]
    pub(crate) fn add(&self, counter: Counter, count: u64) {
        if count > 0 {
            self.shard().counts[counter as usize].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Counts what a miss was saved that did not compute.
    pub(crate) fn saved(&self, cost: u64) {
        self.shard().counts[COUNTERS].fetch_add(cost, Ordering::Relaxed);
    }

    fn shard(&self) -> &CounterShard {
        &self.shards[shard()]
    }
}

/// Which set of counts this thread adds to.
pub(crate) fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut at = SHARD.get();
    if at == usize::MAX {
        at = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SHARD.set(at);
    }
    at
}
