//! Connections kept for the next call, and made on threads of their own, so that connecting does not stall a page.
//!
//! Owns how many there are and which one is used. What a connection is, and whether it still works, is for the stores.
//! The threads end when they have connected or failed to; there are none between.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use super::{FailureKind, StoreFailure};
use crate::error::{Error, ErrorKind};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, unpoisoned};

/// The most connections that a setting may ask for.
const MOST: usize = 1024;

/// So many are made at the same time at the most.
const DIALING: usize = 3;

/// A connection in use that is older than this is replaced: its server may not be the one any more that the address
/// leads to.
const LIFETIME: Duration = Duration::from_secs(30);

type Dial<C> = dyn Fn() -> Result<C, StoreFailure> + Send + Sync;

pub(super) struct Pool<C>(Arc<Shared<C>>);

struct Shared<C> {
    size: usize,
    dial: Box<Dial<C>>,
    shelf: Mutex<Shelf<C>>,
    changed: Condvar,
}

struct Shelf<C> {
    idle: Vec<Made<C>>,
    /// Connections there are: idle, in use, or being made.
    open: usize,
    dialing: usize,
    /// Counted up by [`Pool::renew`]: connections from before are closed.
    era: u64,
    failed: Option<(Instant, StoreFailure)>,
}

struct Made<C> {
    connection: C,
    at: Instant,
    era: u64,
}

/// A connection in use. Dropped without having been given back it is closed.
pub(super) struct Checkout<'a, C> {
    made: Made<C>,
    place: Place<'a, C>,
    began: Instant,
}

/// Counts a connection as one of those there are.
struct Place<'a, C>(&'a Arc<Shared<C>>);

/// Refuses a number of connections that makes no sense.
pub(super) fn check_size(connections: usize) -> Result<(), Error> {
    if (1..=MOST).contains(&connections) {
        return Ok(());
    }
    let message = format!("pool_size is {connections}: it must be from 1 to {MOST} connections");
    Err(Error::new(ErrorKind::Config, message))
}

impl<C: Send + 'static> Pool<C> {
    /// A pool of at most `size` connections; none is made before it is asked for.
    pub(super) fn new(size: usize, dial: impl Fn() -> Result<C, StoreFailure> + Send + Sync + 'static) -> Pool<C> {
        let shelf = Shelf { idle: Vec::new(), open: 0, dialing: 0, era: 0, failed: None };
        Pool(Arc::new(Shared { size, dial: Box::new(dial), shelf: Mutex::new(shelf), changed: Condvar::new() }))
    }

    /// An idle connection, or one that is made meanwhile. If that fails, it says why.
    pub(super) fn check_out(&self, deadline: Instant) -> Result<Checkout<'_, C>, StoreFailure> {
        let began = Instant::now();
        let mut shelf = self.0.shelf();
        loop {
            if let Some(made) = shelf.idle.pop() {
                if shelf.idle.is_empty() {
                    // A spare one: the next call does not wait, if it comes while this one lasts.
                    self.0.dial(&mut shelf);
                }
                return Ok(Checkout { made, place: Place(&self.0), began });
            }
            match &shelf.failed {
                // One from before this call is old news.
                Some((at, failure)) if *at >= began => return Err(failure.clone()),
                _ => self.0.dial(&mut shelf),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreFailure::new(FailureKind::Timeout, self.0.why_none(&shelf)));
            }
            shelf = unpoisoned(self.0.changed.wait_timeout(shelf, left)).0;
        }
    }

    /// Begins to make a connection where there is none, so that the first call does not wait for it.
    pub(super) fn prepare(&self) {
        let mut shelf = self.0.shelf();
        if shelf.open == 0 {
            self.0.dial(&mut shelf);
        }
    }

    /// Closes all connections: those in use when they are given back.
    pub(super) fn renew(&self) {
        let mut shelf = self.0.shelf();
        shelf.era += 1;
        let stale = std::mem::take(&mut shelf.idle);
        shelf.open -= stale.len();
        drop(shelf);
        self.0.changed.notify_all();
    }

    /// Changes whenever connections are [renewed](Pool::renew).
    pub(super) fn era(&self) -> u64 {
        self.0.shelf().era
    }
}

impl<C: Send + 'static> Shared<C> {
    /// Begins to make a connection, if there may be one more.
    fn dial(self: &Arc<Self>, shelf: &mut Shelf<C>) {
        if shelf.open >= self.size || shelf.dialing >= DIALING {
            return;
        }
        let (pool, era) = (Arc::clone(self), shelf.era);
        let spawned = thread::Builder::new().name("minijinja-cache connects".into()).spawn(move || {
            let dialed = (pool.dial)();
            pool.arrived(dialed, era);
        });
        match spawned {
            Ok(_) => {
                shelf.open += 1;
                shelf.dialing += 1;
            }
            Err(error) => {
                let why = format!("cannot start a thread to connect: {error}");
                shelf.failed = Some((Instant::now(), StoreFailure::new(FailureKind::Unreachable, why)));
            }
        }
    }

    fn arrived(&self, dialed: Result<C, StoreFailure>, era: u64) {
        let mut shelf = self.shelf();
        shelf.dialing -= 1;
        match dialed {
            Ok(connection) if era == shelf.era => {
                shelf.idle.push(Made { connection, at: Instant::now(), era });
            }
            outcome => {
                shelf.open -= 1;
                shelf.failed = outcome.err().map(|failure| (Instant::now(), failure));
            }
        }
        drop(shelf);
        // All: a failure concerns each of them, and where a connection was too old for one, another has to be made.
        self.changed.notify_all();
    }

    fn why_none(&self, shelf: &Shelf<C>) -> String {
        match shelf.dialing {
            0 => format!("all {} connections are in use", self.size),
            _ => "no connection within the time allowed".to_owned(),
        }
    }
}

impl<C> Shared<C> {
    fn shelf(&self) -> MutexGuard<'_, Shelf<C>> {
        lock(&self.shelf)
    }
}

impl<C: Send + 'static> Checkout<'_, C> {
    pub(super) fn connection(&mut self) -> &mut C {
        &mut self.made.connection
    }

    /// Whether it was not made for this call: its server may have closed it unnoticed.
    pub(super) fn is_kept(&self) -> bool {
        self.made.at < self.began
    }

    /// After a whole exchange: the next call may have the connection.
    pub(super) fn give_back(self) {
        let Checkout { made, place, .. } = self;
        let mut shelf = place.0.shelf();
        if made.era != shelf.era {
            return;
        }
        if made.at.elapsed() > LIFETIME {
            return place.0.dial(&mut shelf);
        }
        shelf.idle.push(made);
        // The end of `place` takes one away.
        shelf.open += 1;
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.0.shelf().open -= 1;
        self.0.changed.notify_one();
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.0.size).finish_non_exhaustive()
    }
}
