//! The counters of a whole cache.
//!
//! They are sharded: each thread uses one of [`SHARDS`] sets, so that threads seldom contend for a cache line. Hits are
//! counted by fragment, in `telemetry/label.rs`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

pub(crate) const SHARDS: usize = 16;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of a cache.
        #[derive(Debug, Clone, Copy)]
        #[allow(non_camel_case_types)]
        pub(crate) enum Counter { $($name),* }

        const COUNTERS: usize = [$(Counter::$name),*].len();

        /// The counts of a cache since it was built; see [`FragmentCache::stats`](crate::FragmentCache::stats).
        ///
        /// `hits + misses + bypasses` is the number of look-ups. A look-up that memory does not answer is a miss, even
        /// if the shared tier answers it. The counts are exact while the cache is idle. `entries` and `bytes` are as of
        /// the last maintenance, at most a second ago.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct Stats {
            /// Look-ups answered from memory.
            pub hits: u64,
            $($(#[$doc])* pub $name: u64,)*
            /// Computation time that was saved: the sum of the durations of the computations of the returned entries.
            pub render_time_saved: Duration,
            /// Entries in memory.
            pub entries: u64,
            /// Bytes in memory: the sum of the weights of the entries.
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
    /// Misses answered with an expired entry within its grace time.
    stale_hits,
    /// Look-ups that found no valid entry in memory.
    misses,
    /// Computations that finished: rendered bodies, closures, futures.
    renders,
    /// Look-ups not made: lifetime 0, a false `if=`, an empty key from a handler, caching switched off.
    bypasses,
    /// Misses answered by the computation of another caller.
    waits,
    /// Waits for another computation that exceeded the wait timeout.
    wait_timeouts,
    /// Computations whose result was not stored: uncacheable, invalidated during the computation, or too large.
    unstored,
    /// Results stored in the cache.
    stores,
    /// Calls to `invalidate*` and `clear`, and template changes.
    invalidations,
    /// Reported failures of the cache itself. None of them failed a page.
    errors,
    /// Misses answered by the shared tier.
    shared_hits,
    /// Misses that the shared tier did not answer, including failed calls and calls that the open breaker prevented.
    shared_misses,
    /// Calls to the shared tier that were not made: the breaker was open, the time budget was used up, or the node was
    /// out of touch with the store.
    shared_skips,
    /// Values in the shared tier that do not belong to this cache: another format, another secret, or damaged.
    shared_rejects,
    /// Calls to the shared tier that failed or returned an invalid entry.
    shared_failures,
    /// Results written to the shared tier.
    shared_stores,
    /// Results not written to the shared tier: the queue was full, the store failed, or the result was larger than the
    /// limit or usable by this process only.
    shared_drops,
    /// Floors received through the shared tier, including this node's own.
    shared_invalidations,
}

#[repr(align(128))]
#[derive(Debug)]
struct CounterShard {
    /// One value for each counter, then the saved computation time in nanoseconds.
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

    /// Adds the computation time that a miss saved because another computation answered it, in nanoseconds.
    pub(crate) fn saved(&self, cost: u64) {
        self.shard().counts[COUNTERS].fetch_add(cost, Ordering::Relaxed);
    }

    fn shard(&self) -> &CounterShard {
        &self.shards[shard()]
    }
}

/// The shard that this thread uses.
pub(crate) fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut at = SHARD.get();
    if at == usize::MAX {
        at = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SHARD.set(at);
    }
    at
}
