//! A background thread that runs maintenance every second and wakes futures at their deadlines.
//!
//! The thread holds its owner weakly, and ends when the owner is dropped. The owner decides what maintenance does.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::util::sync::lock;

const INTERVAL: Duration = Duration::from_secs(1);

/// The handle of the thread. Dropping it ends the thread and wakes all futures.
#[derive(Debug)]
pub(crate) struct Timer {
    queue: Arc<Mutex<TimerQueue>>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct TimerQueue {
    /// By deadline and number.
    wakers: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
    stopped: bool,
}

impl Timer {
    /// Starts a thread of this name. It calls `maintain` with the owner every second, or more often while futures wait.
    pub(crate) fn start<T: Send + Sync + 'static>(
        name: &str,
        owner: Weak<T>,
        maintain: fn(&T),
    ) -> Result<Timer, Error> {
        let queue = Arc::new(Mutex::new(TimerQueue::default()));
        let shared = Arc::clone(&queue);
        let spawned = thread::Builder::new().name(name.into()).spawn(move || {
            loop {
                let Some(pause) = wake_due(&shared, Instant::now()) else { return };
                thread::park_timeout(pause.min(INTERVAL));
                let Some(owner) = owner.upgrade() else { return };
                maintain(&owner);
            }
        });
        match spawned {
            Ok(handle) => Ok(Timer { queue, thread: handle.thread().clone() }),
            Err(error) => {
                Err(Error::new(ErrorKind::Config, format!("cannot start the thread {name}")).with_source(error))
            }
        }
    }

    /// A future that is ready at the deadline.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { queue: Arc::clone(&self.queue), thread: self.thread.clone(), deadline, number: None }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let wakers = {
            let mut queue = lock(&*self.queue);
            queue.stopped = true;
            std::mem::take(&mut queue.wakers)
        };
        // The thread wakes no future after this, so all of them are woken here.
        wakers.into_values().for_each(Waker::wake);
        self.thread.unpark();
    }
}

/// Wakes the futures whose deadline has passed. Returns the time until the next deadline, or `None` once stopped.
fn wake_due(queue: &Mutex<TimerQueue>, now: Instant) -> Option<Duration> {
    let mut queue = lock(queue);
    if queue.stopped {
        return None;
    }
    let later = queue.wakers.split_off(&(now, u64::MAX));
    let due = std::mem::replace(&mut queue.wakers, later);
    let next = queue.wakers.keys().next().map_or(INTERVAL, |(at, _)| at.saturating_duration_since(now));
    drop(queue);
    due.into_values().for_each(Waker::wake);
    Some(next)
}

/// A future that is ready at its deadline, or when its timer is dropped.
#[derive(Debug)]
pub(crate) struct Sleep {
    queue: Arc<Mutex<TimerQueue>>,
    thread: Thread,
    deadline: Instant,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let number = {
            let mut queue = lock(&*self.queue);
            if queue.stopped {
                return Poll::Ready(());
            }
            let number = self.number.unwrap_or(queue.next_number);
            queue.next_number = queue.next_number.max(number + 1);
            queue.wakers.insert((self.deadline, number), context.waker().clone());
            number
        };
        self.number = Some(number);
        self.thread.unpark();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            lock(&*self.queue).wakers.remove(&(self.deadline, number));
        }
    }
}
