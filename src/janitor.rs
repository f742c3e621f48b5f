//! The cache's one thread: frees memory nothing asks for any more, and wakes futures whose wait is over.
//!
//! It knows the cache only weakly and ends with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::sync::lock;

const INTERVAL: Duration = Duration::from_secs(1);

/// Alarms and the thread that rings them.
#[derive(Debug)]
pub(crate) struct Janitor {
    alarms: Arc<Alarms>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Alarms {
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    alarms: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    stopped: bool,
}

impl Janitor {
    /// Starts a thread of this name. `cache` is maintained by `maintain` every second for as long as it lives.
    pub(crate) fn start<T: Send + Sync + 'static>(
        name: &str,
        cache: Weak<T>,
        maintain: fn(&T),
    ) -> Result<Janitor, Error> {
        let alarms = Arc::new(Alarms::default());
        let shared = Arc::clone(&alarms);
        let spawned = thread::Builder::new().name(name.into()).spawn(move || {
            loop {
                let Some(pause) = shared.ring(Instant::now()) else { return };
                thread::park_timeout(pause.min(INTERVAL));
                let Some(cache) = cache.upgrade() else { return };
                maintain(&cache);
            }
        });
        match spawned {
            Ok(handle) => Ok(Janitor { alarms, thread: handle.thread().clone() }),
            Err(error) => {
                Err(Error::new(ErrorKind::Config, format!("cannot start the thread {name}")).with_source(error))
            }
        }
    }

    /// A future that is ready at the deadline.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { alarms: Arc::clone(&self.alarms), thread: self.thread.clone(), deadline, id: None }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        let ringing = {
            let mut due = self.alarms.lock();
            due.stopped = true;
            std::mem::take(&mut due.alarms)
        };
        // Nobody rings later: whoever waits finds out now.
        ringing.into_values().for_each(Waker::wake);
        self.thread.unpark();
    }
}

impl Alarms {
    fn lock(&self) -> std::sync::MutexGuard<'_, Due> {
        lock(&self.due)
    }

    /// Wakes all that are due; how long until the next, `None` once stopped.
    fn ring(&self, now: Instant) -> Option<Duration> {
        let mut due = self.lock();
        if due.stopped {
            return None;
        }
        let later = due.alarms.split_off(&(now, u64::MAX));
        let ringing = std::mem::replace(&mut due.alarms, later);
        let next = due.alarms.keys().next().map_or(INTERVAL, |(at, _)| at.saturating_duration_since(now));
        drop(due);
        ringing.into_values().for_each(Waker::wake);
        Some(next)
    }
}

#[derive(Debug)]
pub(crate) struct Sleep {
    alarms: Arc<Alarms>,
    thread: Thread,
    deadline: Instant,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let id = {
            let mut due = self.alarms.lock();
            if due.stopped {
                return Poll::Ready(());
            }
            let id = self.id.unwrap_or(due.next);
            due.next = due.next.max(id + 1);
            due.alarms.insert((self.deadline, id), context.waker().clone());
            id
        };
        self.id = Some(id);
        self.thread.unpark();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.alarms.lock().alarms.remove(&(self.deadline, id));
        }
    }
}
