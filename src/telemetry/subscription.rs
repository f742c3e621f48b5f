//! Subscriptions to events.
//!
//! Each subscription has a queue of its own, which the cache never waits for: when it is full the oldest event goes.
//! Without a subscription no event is made.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use super::event::{Event, Happened};
use crate::util::clock::FAR;
use crate::util::sync::{lock, read_lock, unpoisoned, write_lock};

/// Events a subscription holds.
const QUEUED: usize = 4096;

/// The events that a subscription receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Changes of the cache.
    Changes,
    /// Each look-up as well.
    Lookups,
}

/// The subscriptions of a cache.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    queues: RwLock<Vec<(Interest, Weak<EventQueue>)>>,
    any: AtomicUsize,
    lookups: AtomicUsize,
}

impl Subscribers {
    pub(crate) fn subscribe(self: &Arc<Self>, interest: Interest) -> Subscription {
        let queue = Arc::new(EventQueue::default());
        let mut queues = write_lock(&self.queues);
        queues.push((interest, Arc::downgrade(&queue)));
        self.any.fetch_add(1, Ordering::Relaxed);
        self.lookups.fetch_add(usize::from(interest == Interest::Lookups), Ordering::Relaxed);
        Subscription { queue, subscribers: Arc::clone(self) }
    }

    /// Whether anybody wants to be told of changes.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody wants to be told of look-ups.
    pub(crate) fn of_lookups(&self) -> bool {
        self.lookups.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn publish(&self, interest: Interest, what: Happened) {
        let event = Event { at: SystemTime::now(), what };
        for queue in self.concerned(interest) {
            queue.push(event.clone());
        }
    }

    /// The cache is gone: subscribers that wait for an event are woken.
    pub(crate) fn close(&self) {
        self.concerned(Interest::Changes).into_iter().for_each(|queue| queue.close());
    }

    /// The queues that receive an event. Nothing is locked while their subscribers are woken, because a waker may
    /// subscribe, or drop a subscription.
    fn concerned(&self, interest: Interest) -> Vec<Arc<EventQueue>> {
        let queues = read_lock(&self.queues);
        let concerned = queues.iter().filter(|(wants, _)| interest == Interest::Changes || *wants == interest);
        concerned.filter_map(|(_, queue)| queue.upgrade()).collect()
    }

    fn leave(&self, queue: &Arc<EventQueue>) {
        let mut queues = write_lock(&self.queues);
        queues.retain(|(_, known)| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(queue)));
        let lookups = queues.iter().filter(|(wants, _)| *wants == Interest::Lookups).count();
        self.any.store(queues.len(), Ordering::Relaxed);
        self.lookups.store(lookups, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct EventQueue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    missed: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl EventQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    fn push(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.events.len() == QUEUED {
            waiting.events.pop_front();
            waiting.missed += 1;
        }
        waiting.events.push_back(event);
        self.wake(waiting);
    }

    fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let waker = waiting.waker.take();
        drop(waiting);
        // All of them: each looks for himself whether it is an event or the end.
        self.came.notify_all();
        if let Some(waker) = waker {
            // Whatever goes wrong there is the sleeper's loss. Here it would fail a page, or end the counting of
            // evictions.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

/// Events, as they come; see [`FragmentCache::subscribe`](crate::FragmentCache::subscribe). Ends when dropped.
///
/// As an iterator it waits for the next event, on this thread, until the cache is gone.
#[derive(Debug)]
#[must_use = "it ends when this is dropped; bind it to a variable, `_` does not keep it"]
pub struct Subscription {
    queue: Arc<EventQueue>,
    subscribers: Arc<Subscribers>,
}

impl Subscription {
    /// The next event, if there is one already.
    pub fn try_next(&self) -> Option<Event> {
        self.queue.lock().events.pop_front()
    }

    /// The next event; blocks the thread until it comes, at most for `patience`.
    pub fn wait(&self, patience: Duration) -> Option<Event> {
        let deadline = Instant::now() + patience.min(FAR);
        let mut waiting = self.queue.lock();
        loop {
            if let Some(event) = waiting.events.pop_front() {
                return Some(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if waiting.closed || left.is_zero() {
                return None;
            }
            let woken = self.queue.came.wait_timeout(waiting, left);
            waiting = unpoisoned(woken).0;
        }
    }

    /// The next event, as a future; `None` once the cache is gone.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll(context)).await
    }

    /// How many events were lost because this subscription did not take them in time: it holds 4,096.
    pub fn missed(&self) -> u64 {
        self.queue.lock().missed
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut waiting = self.queue.lock();
        match waiting.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if waiting.closed => Poll::Ready(None),
            None => {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Iterator for Subscription {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.wait(FAR)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.leave(&self.queue);
    }
}
