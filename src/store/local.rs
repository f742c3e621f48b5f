//! A shared store without a server: several caches of one process share it as processes would share a real one.
//!
//! For tests of applications (and of this crate): two caches on one [`LocalStore`] behave like two nodes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::store_clock::StoreClock;
use super::{FailureKind, FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite};
use crate::sync::lock;

/// A shared store in this process's memory, unbounded, for tests. Clones are handles to the same store.
///
/// ```
/// use minijinja_cache::{FragmentCache, LocalStore, Options};
///
/// let store = LocalStore::new();
/// let node = || FragmentCache::builder().shared(store.clone()).build();
/// let (here, there) = (node()?, node()?);
/// here.invalidate_tag("films").wait()?; // `there` has it too, a moment later
/// # let _ = there;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LocalStore(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    state: Mutex<State>,
    raised: Condvar,
    down: AtomicBool,
    clock: StoreClock,
}

impl Default for Shelf {
    fn default() -> Shelf {
        Shelf {
            state: Mutex::default(),
            raised: Condvar::new(),
            down: AtomicBool::new(false),
            clock: StoreClock::new(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    values: HashMap<StoreKey, (Vec<u8>, Option<Instant>)>,
    leases: HashMap<StoreKey, (Lease, Instant)>,
    last_lease: u64,
    epoch: u128,
    seq: u64,
    floors: HashMap<u64, u64>,
    /// Entries and floors that were asked for, in round trips.
    trips: u64,
}

impl LocalStore {
    /// An empty store.
    pub fn new() -> LocalStore {
        LocalStore::default()
    }

    /// Makes every call fail at once, or work again: what happens to an application whose store is down.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
        self.0.raised.notify_all();
    }

    /// Forgets everything, as a server does that restarts without its data.
    pub fn lose_everything(&self) {
        let mut state = self.0.lock();
        *state = State { trips: state.trips, ..State::default() };
        drop(state);
        self.0.raised.notify_all();
    }

    /// How many entries are kept, expired ones included.
    pub fn len(&self) -> usize {
        self.0.lock().values.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads made of entries so far; a read of many at once is one.
    pub fn reads(&self) -> u64 {
        self.0.lock().trips
    }

    /// Changes every stored value: what a corrupted store, or somebody who can write to it, may do.
    pub fn tamper(&self, mut change: impl FnMut(&mut Vec<u8>)) {
        self.0.lock().values.values_mut().for_each(|(value, _)| change(value));
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, StoreFailure> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(StoreFailure::new(FailureKind::Unreachable, "the local store was set down"));
        }
        Ok(self.0.lock())
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn value(&self, name: StoreKey) -> Option<Vec<u8>> {
        let (value, until) = self.values.get(&name)?;
        until.is_none_or(|until| Instant::now() < until).then(|| value.clone())
    }

    fn take_lease(&mut self, name: StoreKey, span: Duration) -> Option<Lease> {
        let now = Instant::now();
        if self.leases.get(&name).is_some_and(|(_, until)| now < *until) {
            return None;
        }
        self.last_lease += 1;
        let lease = Lease(self.last_lease);
        self.leases.insert(name, (lease, now + span));
        Some(lease)
    }

    fn end_lease(&mut self, name: StoreKey, lease: Lease) {
        if self.leases.get(&name).is_some_and(|(held, _)| *held == lease) {
            self.leases.remove(&name);
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

    fn read(&self, names: &[StoreKey], _: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        let mut state = self.up()?;
        state.trips += 1;
        Ok(names.iter().map(|name| state.value(*name)).collect())
    }

    fn read_or_lease(&self, name: StoreKey, span: Duration, _: Instant) -> Result<LeasedRead, StoreFailure> {
        let mut state = self.up()?;
        state.trips += 1;
        Ok(match state.value(name) {
            Some(value) => LeasedRead::Found(value),
            None => state.take_lease(name, span).map_or(LeasedRead::Held, LeasedRead::Taken),
        })
    }

    fn lease(&self, name: StoreKey, span: Duration, _: Instant) -> Result<Option<Lease>, StoreFailure> {
        Ok(self.up()?.take_lease(name, span))
    }

    fn write(&self, values: &[ValueWrite<'_>], _: Instant) -> Result<(), StoreFailure> {
        let mut state = self.up()?;
        for write in values {
            let until = write.ttl.map(|ttl| Instant::now() + ttl);
            state.values.insert(write.key, (write.value.to_vec(), until));
            if let Some(lease) = write.lease {
                state.end_lease(write.key, lease);
            }
        }
        Ok(())
    }

    fn release(&self, name: StoreKey, lease: Lease, _: Instant) -> Result<(), StoreFailure> {
        self.up()?.end_lease(name, lease);
        Ok(())
    }

    fn sync(&self, known: SyncPosition, raise: &[u64], _: Instant) -> Result<FloorUpdate, StoreFailure> {
        let mut state = self.up()?;
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

    fn listen(&self, changed: &dyn Fn(), stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure> {
        let mut seen = HashSet::new();
        while !stopped() {
            let state = self.up()?;
            if seen.insert((state.epoch, state.seq)) {
                seen.retain(|known| *known == (state.epoch, state.seq));
                drop(state);
                changed();
                continue;
            }
            drop(self.0.raised.wait_timeout(state, Duration::from_millis(100)));
        }
        Ok(())
    }
}
