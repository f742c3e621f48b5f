//! The threads that keep this node's copy of the floors up to date: one asks the store, one listens for a reason to.
//!
//! All goes through one builder, "here is what was invalidated here, what is new since …?". It tells, it learns, and
//! its answer is the heartbeat the copy is believed under. A message of the backplane only makes it come sooner, so one
//! that is lost costs time and nothing else.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::core::Core;
use super::replica;
use crate::error::{Error, ErrorKind};
use crate::store::host::{FloorSink, Host};
use crate::telemetry::stats::Counter;
use crate::util::clock::{Clock, nanos};

/// Between two builders at the least: what comes in meanwhile is one answer.
const GATHER: Duration = Duration::from_millis(2);
/// After a failure, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// How long the whole table may take a node that knows nothing.
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
            // What a change of the epoch left to be told does not wait.
            if core.replica.pending_count() == 0 {
                core.bell.wait(core.remote.sync_interval().min(core.bound / 4));
            }
            thread::sleep(GATHER.saturating_sub(since.elapsed()));
        } else {
            thread::sleep(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
    // What was invalidated last is still told; what the answer says concerns nobody here any more.
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
    /// One builder, and what its answer changes, page by page; whether there was all of it. A page may take half a bound,
    /// or `patience` where that is longer: it comes too late to be believed then, and still takes the node further.
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
            // Nodes of a test share its clock, and so does their store.
            let there = if clock.is_manual() { sent_here } else { news.now };
            self.replica.set_clock(there, sent_here, clock.latest());
            if !self.replica.receive(&news, sink) {
                return false;
            }
            self.events.add(Counter::shared_invalidations, news.floors.len() as u64);
            // What was untold went with the first page: with this one it is not confirmed if it is of another epoch.
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
