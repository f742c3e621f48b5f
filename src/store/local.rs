//! A shared store in this process, without a server, for tests: two caches on one [`LocalStore`] behave like two nodes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::store_clock::StoreClock;
use super::{FailureKind, FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite};
use crate::util::sync::lock;

/// A shared store in the memory of this process, without a limit, for tests. Clones are handles to the same store.
///
/// ```
/// use minijinja_cache::{FragmentCache, LocalStore, Options};
///
/// let store = LocalStore::new();
/// let node = || FragmentCache::builder().shared(store.clone()).build();
/// let (here, there) = (node()?, node()?);
/// here.invalidate_tag("films").wait()?; // `there` receives it a moment later
/// # let _ = there;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LocalStore(Arc<LocalStoreInner>);

#[derive(Debug)]
struct LocalStoreInner {
    state: Mutex<LocalState>,
    raised: Condvar,
    down: AtomicBool,
    clock: StoreClock,
}

impl Default for LocalStoreInner {
    fn default() -> LocalStoreInner {
        LocalStoreInner {
            state: Mutex::default(),
            raised: Condvar::new(),
            down: AtomicBool::new(false),
            clock: StoreClock::new(),
        }
    }
}

#[derive(Debug, Default)]
struct LocalState {
    values: HashMap<StoreKey, (Vec<u8>, Option<Instant>)>,
    leases: HashMap<StoreKey, (Lease, Instant)>,
    last_lease: u64,
    epoch: u128,
    seq: u64,
    floors: HashMap<u64, u64>,
    /// Round trips that read values.
    reads: u64,
}

impl LocalStore {
    /// An empty store.
    pub fn new() -> LocalStore {
        LocalStore::default()
    }

    /// Makes every call fail at once, or work again, to test an application whose store is down.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
        self.0.raised.notify_all();
    }

    /// Deletes all data, like a server that restarts without persistence.
    pub fn lose_everything(&self) {
        let mut state = self.0.lock();
        *state = LocalState { reads: state.reads, ..LocalState::default() };
        drop(state);
        self.0.raised.notify_all();
    }

    /// The number of entries, including expired ones.
    pub fn len(&self) -> usize {
        self.0.lock().values.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of reads so far. A read of several entries counts as one.
    pub fn reads(&self) -> u64 {
        self.0.lock().reads
    }

    /// Changes every stored value, to test a store that is corrupted or that an attacker can write to.
    pub fn tamper(&self, mut change: impl FnMut(&mut Vec<u8>)) {
        self.0.lock().values.values_mut().for_each(|(value, _)| change(value));
    }

    fn lock_if_up(&self) -> Result<MutexGuard<'_, LocalState>, StoreFailure> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(StoreFailure::new(FailureKind::Unreachable, "the local store was set down"));
        }
        Ok(self.0.lock())
    }
}

impl LocalStoreInner {
    fn lock(&self) -> MutexGuard<'_, LocalState> {
        lock(&self.state)
    }
}

impl LocalState {
    fn value(&self, key: StoreKey) -> Option<Vec<u8>> {
        let (value, until) = self.values.get(&key)?;
        until.is_none_or(|until| Instant::now() < until).then(|| value.clone())
    }

    fn take_lease(&mut self, key: StoreKey, span: Duration) -> Option<Lease> {
        let now = Instant::now();
        if self.leases.get(&key).is_some_and(|(_, until)| now < *until) {
            return None;
        }
        self.last_lease += 1;
        let lease = Lease(self.last_lease);
        self.leases.insert(key, (lease, now + span));
        Some(lease)
    }

    fn end_lease(&mut self, key: StoreKey, lease: Lease) {
        if self.leases.get(&key).is_some_and(|(held, _)| *held == lease) {
            self.leases.remove(&key);
        }
    }
}

impl Remote for LocalStore {
    fn describe(&self) -> String {
        "a local store".to_owned()
    }

    fn sync_interval(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn read(&self, keys: &[StoreKey], _: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        let mut state = self.lock_if_up()?;
        state.reads += 1;
        Ok(keys.iter().map(|key| state.value(*key)).collect())
    }

    fn read_or_lease(&self, key: StoreKey, span: Duration, _: Instant) -> Result<LeasedRead, StoreFailure> {
        let mut state = self.lock_if_up()?;
        state.reads += 1;
        Ok(match state.value(key) {
            Some(value) => LeasedRead::Found(value),
            None => state.take_lease(key, span).map_or(LeasedRead::Held, LeasedRead::Taken),
        })
    }

    fn lease(&self, key: StoreKey, span: Duration, _: Instant) -> Result<Option<Lease>, StoreFailure> {
        Ok(self.lock_if_up()?.take_lease(key, span))
    }

    fn write(&self, values: &[ValueWrite<'_>], _: Instant) -> Result<(), StoreFailure> {
        let mut state = self.lock_if_up()?;
        for write in values {
            let until = write.ttl.map(|ttl| Instant::now() + ttl);
            state.values.insert(write.key, (write.value.to_vec(), until));
            if let Some(lease) = write.lease {
                state.end_lease(write.key, lease);
            }
        }
        Ok(())
    }

    fn release(&self, key: StoreKey, lease: Lease, _: Instant) -> Result<(), StoreFailure> {
        self.lock_if_up()?.end_lease(key, lease);
        Ok(())
    }

    fn sync(&self, known: SyncPosition, raise: &[u64], _: Instant) -> Result<FloorUpdate, StoreFailure> {
        let mut state = self.lock_if_up()?;
        let begun = !known.accepts(state.epoch, state.seq);
        if begun {
            (state.epoch, state.seq) = (known.next_epoch(), 0);
            state.floors.clear();
        }
        if !raise.is_empty() {
            state.seq += 1;
            let seq = state.seq;
            state.floors.extend(raise.iter().map(|tag| (*tag, seq)));
            self.0.raised.notify_all();
        }
        let since = if known.epoch == state.epoch { known.seq } else { 0 };
        Ok(FloorUpdate {
            epoch: state.epoch,
            begun,
            seq: state.seq,
            floors: state.floors.iter().filter(|(_, seq)| **seq > since).map(|(tag, seq)| (*tag, *seq)).collect(),
            now: self.0.clock.at_least(0),
            ..FloorUpdate::default()
        })
    }

    fn listen(&self, on_change: &dyn Fn(), stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure> {
        let mut seen = HashSet::new();
        while !stopped() {
            let state = self.lock_if_up()?;
            if seen.insert((state.epoch, state.seq)) {
                seen.retain(|known| *known == (state.epoch, state.seq));
                drop(state);
                on_change();
                continue;
            }
            drop(self.0.raised.wait_timeout(state, Duration::from_millis(100)));
        }
        Ok(())
    }
}
