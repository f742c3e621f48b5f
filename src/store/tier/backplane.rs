//! The threads that keep this node's copy of the floors up to date. One synchronises with the store, one listens for
//! notifications that trigger a synchronisation. The copy itself is in `replica.rs`.
//!
//! Everything goes through one call, [`Remote::sync`](crate::store::Remote::sync): it publishes this node's
//! invalidations and returns those since the last position. Its reply is also the heartbeat that keeps the copy
//! trusted. A notification only makes the next call come earlier, so a lost one costs time and nothing else.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::core::Core;
use super::replica;
use crate::error::{Error, ErrorKind};
use crate::store::host::{FloorSink, Host};
use crate::telemetry::stats::Counter;
use crate::util::clock::{Clock, nanos};

/// The shortest interval between two synchronisations. Notifications that arrive within it share one reply.
const GATHER: Duration = Duration::from_millis(2);
/// The pause after a failure: the first one, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// The time limit for the whole table, which a node without a position receives.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// Starts the threads; they end with the cache.
pub(super) fn start(core: &Arc<Core>, host: &Weak<dyn Host>, clock: &Clock) -> Result<(), Error> {
    let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(format!("minijinja-cache {name}")).spawn(work).map(drop).map_err(|error| {
            Error::new(ErrorKind::Config, format!("cannot start the cache's thread that {name}")).with_source(error)
        })
    };
    let (asking, listening, writing) = (Arc::clone(core), Arc::clone(core), Arc::clone(core));
    let (host, asking_clock, writing_clock) = (Weak::clone(host), clock.clone(), clock.clone());
    spawn("asks", Box::new(move || ask(&asking, &host, &asking_clock)))?;
    spawn("listens", Box::new(move || listen(&listening)))?;
    spawn("writes", Box::new(move || writing.write_jobs(&writing_clock)))
}

fn ask(core: &Core, host: &Weak<dyn Host>, clock: &Clock) {
    let mut pause = FIRST_PAUSE;
    while !core.bell.stopped() {
        let Some(node) = host.upgrade() else { break };
        let answered = core.ask_once(&*node, clock, pause * 2);
        drop(node);
        if answered {
            pause = FIRST_PAUSE;
            let since = Instant::now();
            // An invalidation that a change of the epoch made pending is published at once.
            if core.replica.pending_count() == 0 {
                core.bell.wait(core.remote.sync_interval().min(core.bound / 4));
            }
            thread::sleep(GATHER.saturating_sub(since.elapsed()));
        } else {
            thread::sleep(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
    // The last invalidations are still published. The floors in the reply are not applied, because this node ends.
    let (untold, last) = core.replica.untold();
    if !untold.is_empty() {
        match core.remote.sync(core.replica.known(), &untold, Instant::now() + core.bound) {
            Ok(_) => core.replica.confirm(last),
            Err(failure) => core.complain(&failure),
        }
    }
}

fn listen(core: &Core) {
    let mut pause = FIRST_PAUSE;
    while !core.bell.stopped() {
        let since = Instant::now();
        match core.remote.listen(&|| core.bell.ring(), &|| core.bell.stopped()) {
            Ok(()) => return,
            Err(failure) => core.complain(&failure),
        }
        if since.elapsed() > LAST_PAUSE {
            pause = FIRST_PAUSE;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

impl Core {
    /// Synchronises once and applies the reply, page by page. Returns whether all pages were received. A page may take
    /// half of the staleness bound, or `patience` if that is longer. The reply then comes too late for the copy to be
    /// trusted, but still advances its position.
    fn ask_once(&self, sink: &(impl FloorSink + ?Sized), clock: &Clock, patience: Duration) -> bool {
        let (mut untold, last) = self.replica.untold();
        let mut told = None;
        while !self.bell.stopped() {
            let known = self.replica.known();
            let patience = if known.epoch == 0 { FIRST_ANSWER } else { patience.max(self.bound / 2).min(FIRST_ANSWER) };
            let (sent, sent_here) = (replica::now(), clock.now());
            let news = match self.remote.sync(known, &untold, Instant::now() + patience) {
                Ok(news) => news,
                Err(failure) => {
                    self.complain(&failure);
                    return false;
                }
            };
            // The nodes of a test share its clock, and their store does too.
            let there = if clock.is_manual() { sent_here } else { news.now };
            self.replica.set_clock(there, sent_here, clock.latest());
            if !self.replica.receive(&news, sink) {
                return false;
            }
            self.events.add(Counter::shared_invalidations, news.floors.len() as u64);
            // The pending invalidations were sent with the first page. If this page is of another epoch, its store does
            // not have them, so they are not confirmed.
            if *told.get_or_insert(news.epoch) != news.epoch {
                return false;
            }
            if !news.more {
                self.replica.confirm(last);
                self.replica.believe_until(sent.saturating_add(nanos(self.bound)));
                return true;
            }
            untold.clear();
        }
        false
    }
}
