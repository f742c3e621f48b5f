//! Subscriptions to events.
//!
//! Each subscription has its own queue. The cache never waits for a queue: when it is full, the oldest event is dropped
//! and counted. Without a subscription no event is created. The events are defined in `event.rs`.

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

/// The capacity of a queue, in events.
const QUEUED: usize = 4096;

/// The events that a subscription receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Changes of the cache.
    Changes,
    /// Changes and look-ups.
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

    /// True if there is a subscription.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed) > 0
    }

    /// True if there is a subscription to look-ups.
    pub(crate) fn of_lookups(&self) -> bool {
        self.lookups.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn publish(&self, interest: Interest, what: Happened) {
        let event = Event { at: SystemTime::now(), what };
        for queue in self.concerned(interest) {
            queue.push(event.clone());
        }
    }

    /// Closes all queues and wakes the subscribers that wait, because the cache was dropped.
    pub(crate) fn close(&self) {
        self.concerned(Interest::Changes).into_iter().for_each(|queue| queue.close());
    }

    /// The queues that receive an event of this interest. They are collected first, so that no lock is held while
    /// subscribers are woken: a waker may subscribe, or drop a subscription.
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
        // Wakes all waiting threads. Each one checks whether there is an event or the queue is closed.
        self.came.notify_all();
        if let Some(waker) = waker {
            // A panic of the waker is ignored: it affects the waiting task only. If it were not caught, it would fail a
            // page or stop the counting of evictions.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

/// A subscription to events; see [`FragmentCache::subscribe`](crate::FragmentCache::subscribe). It ends when dropped.
///
/// The iterator blocks the thread until the next event, and ends when the cache is dropped.
#[derive(Debug)]
#[must_use = "it ends when this is dropped; bind it to a variable, `_` does not keep it"]
pub struct Subscription {
    queue: Arc<EventQueue>,
    subscribers: Arc<Subscribers>,
}

impl Subscription {
    /// The next event; `None` if the queue is empty. Does not wait.
    pub fn try_next(&self) -> Option<Event> {
        self.queue.lock().events.pop_front()
    }

    /// The next event. Blocks the thread for at most `patience`. `None` if there was no event in that time, or if the
    /// cache was dropped.
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

    /// Waits for the next event without blocking the thread. `None` when the cache was dropped.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll(context)).await
    }

    /// The number of events that were dropped because the queue was full. A queue holds 4,096 events.
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
