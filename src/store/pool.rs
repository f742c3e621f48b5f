//! A pool of connections to one server. Connections are opened on background threads, so that a request waits for a new
//! connection no longer than its deadline.
//!
//! The pool decides how many connections there are and which one a call uses. How a connection is opened, and whether
//! it still works, is decided by the store. A thread ends when its connection is open or has failed.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use super::deadline::left;
use super::{FailureKind, StoreFailure};
use crate::error::{Error, ErrorKind};
use crate::util::sync::{Arc, Condvar, Mutex, MutexGuard, lock, unpoisoned};

/// The largest pool size that a setting may ask for.
const MAX_SIZE: usize = 1024;

/// The most connections that are being opened at the same time.
const MAX_CONNECTING: usize = 3;

/// A connection that is older when it is returned is replaced, because the address may lead to another server by then.
const MAX_AGE: Duration = Duration::from_secs(30);

type Connect<C> = dyn Fn() -> Result<C, StoreFailure> + Send + Sync;

pub(super) struct Pool<C>(Arc<PoolInner<C>>);

struct PoolInner<C> {
    size: usize,
    connect: Box<Connect<C>>,
    state: Mutex<PoolState<C>>,
    changed: Condvar,
}

struct PoolState<C> {
    idle: Vec<PooledConnection<C>>,
    /// The number of connections: idle, in use, and being opened.
    open: usize,
    connecting: usize,
    /// Incremented by [`Pool::renew`]. Connections of earlier generations are closed.
    generation: u64,
    failed: Option<(Instant, StoreFailure)>,
}

struct PooledConnection<C> {
    connection: C,
    opened: Instant,
    generation: u64,
}

/// A connection in use. It is closed when this is dropped, unless it was [returned](PoolGuard::give_back).
pub(super) struct PoolGuard<'a, C> {
    pooled: PooledConnection<C>,
    slot: OpenSlot<'a, C>,
    checked_out: Instant,
}

/// Counts a connection in use in [`PoolState::open`].
struct OpenSlot<'a, C>(&'a Arc<PoolInner<C>>);

/// Rejects a pool size that is out of range.
pub(super) fn check_size(connections: usize) -> Result<(), Error> {
    if (1..=MAX_SIZE).contains(&connections) {
        return Ok(());
    }
    let message = format!("pool_size is {connections}: it must be from 1 to {MAX_SIZE} connections");
    Err(Error::new(ErrorKind::Config, message))
}

impl<C: Send + 'static> Pool<C> {
    /// A pool of at most `size` connections. None is opened before the first call needs one.
    pub(super) fn new(size: usize, connect: impl Fn() -> Result<C, StoreFailure> + Send + Sync + 'static) -> Pool<C> {
        let state = PoolState { idle: Vec::new(), open: 0, connecting: 0, generation: 0, failed: None };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Pool(Arc::new(PoolInner { size, connect: Box::new(connect), state, changed }))
    }

    /// An idle connection, or one that is opened while the call waits. If opening fails, returns that failure.
    pub(super) fn check_out(&self, deadline: Instant) -> Result<PoolGuard<'_, C>, StoreFailure> {
        let checked_out = Instant::now();
        let mut state = self.0.lock();
        loop {
            if let Some(pooled) = state.idle.pop() {
                if state.idle.is_empty() {
                    // Opens a spare one, so that a call that comes during this one does not wait.
                    self.0.open(&mut state);
                }
                return Ok(PoolGuard { pooled, slot: OpenSlot(&self.0), checked_out });
            }
            match &state.failed {
                // A failure from before this call says nothing about an attempt made now.
                Some((at, failure)) if *at >= checked_out => return Err(failure.clone()),
                _ => self.0.open(&mut state),
            }
            let left = left(deadline);
            if left.is_zero() {
                return Err(StoreFailure::new(FailureKind::Timeout, self.0.timeout_reason(&state)));
            }
            state = unpoisoned(self.0.changed.wait_timeout(state, left)).0;
        }
    }

    /// Starts opening a connection if there is none, so that the first call does not wait for it.
    #[cfg(feature = "memcached")]
    pub(super) fn prepare(&self) {
        let mut state = self.0.lock();
        if state.open == 0 {
            self.0.open(&mut state);
        }
    }

    /// Closes all connections; those in use are closed when they are returned.
    pub(super) fn renew(&self) {
        let mut state = self.0.lock();
        state.generation += 1;
        let stale = std::mem::take(&mut state.idle);
        state.open -= stale.len();
        drop(state);
        self.0.changed.notify_all();
    }

    /// Changes with each [renewal](Pool::renew).
    #[cfg(feature = "redis")]
    pub(super) fn generation(&self) -> u64 {
        self.0.lock().generation
    }
}

impl<C: Send + 'static> PoolInner<C> {
    /// Starts opening a connection, if the limits allow one more.
    fn open(self: &Arc<Self>, state: &mut PoolState<C>) {
        if state.open >= self.size || state.connecting >= MAX_CONNECTING {
            return;
        }
        let (pool, generation) = (Arc::clone(self), state.generation);
        let spawned = thread::Builder::new().name("minijinja-cache connects".into()).spawn(move || {
            let connected = (pool.connect)();
            pool.connected(connected, generation);
        });
        match spawned {
            Ok(_) => {
                state.open += 1;
                state.connecting += 1;
            }
            Err(error) => {
                let why = format!("cannot start a thread to connect: {error}");
                state.failed = Some((Instant::now(), StoreFailure::new(FailureKind::Unreachable, why)));
            }
        }
    }

    fn connected(&self, result: Result<C, StoreFailure>, generation: u64) {
        let mut state = self.lock();
        state.connecting -= 1;
        match result {
            Ok(connection) if generation == state.generation => {
                state.idle.push(PooledConnection { connection, opened: Instant::now(), generation });
            }
            outcome => {
                state.open -= 1;
                state.failed = outcome.err().map(|failure| (Instant::now(), failure));
            }
        }
        drop(state);
        // All waiting calls: a failure concerns each of them, and a connection of an old generation frees a slot.
        self.changed.notify_all();
    }

    fn timeout_reason(&self, state: &PoolState<C>) -> String {
        match state.connecting {
            0 => format!("all {} connections are in use", self.size),
            _ => "no connection within the time allowed".to_owned(),
        }
    }
}

impl<C> PoolInner<C> {
    fn lock(&self) -> MutexGuard<'_, PoolState<C>> {
        lock(&self.state)
    }
}

impl<C: Send + 'static> PoolGuard<'_, C> {
    pub(super) fn connection(&mut self) -> &mut C {
        &mut self.pooled.connection
    }

    /// Whether the connection is from before this call. Its server may have closed it in the meantime.
    pub(super) fn is_reused(&self) -> bool {
        self.pooled.opened < self.checked_out
    }

    /// Returns the connection to the pool. Only after a complete exchange: the next reply on it must belong to the next
    /// command.
    pub(super) fn give_back(self) {
        let PoolGuard { pooled, slot, .. } = self;
        let mut state = slot.0.lock();
        if pooled.generation != state.generation {
            return;
        }
        if pooled.opened.elapsed() > MAX_AGE {
            return slot.0.open(&mut state);
        }
        state.idle.push(pooled);
        // Dropping `slot` subtracts one.
        state.open += 1;
    }
}

impl<C> Drop for OpenSlot<'_, C> {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
        self.0.changed.notify_one();
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.0.size).finish_non_exhaustive()
    }
}
