//! What happens, as events for whoever subscribes.
//!
//! Each subscription has a queue of its own, which the cache never waits for: when it is full the oldest event goes.
//! Without a subscription no event is made.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use serde::{Serialize, Serializer};

use super::explain::Outcome;
use super::label::{FragmentKind, Label};
use super::reason::{MissReason, Rejection};
use super::shadow::Difference;
use crate::clock::FAR;
use crate::error::ErrorKind;

/// Events a subscription holds.
const QUEUED: usize = 4096;

/// A key, hashed: tells results apart in reports without showing what the key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub(crate) u64);

impl Serialize for KeyHash {
    /// As it is displayed.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which result something is about.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Where it comes from; see [`FragmentStats::label`](crate::FragmentStats::label).
    pub label: Arc<str>,
    /// What it is.
    pub kind: FragmentKind,
    /// Its key.
    pub key: KeyHash,
}

impl About {
    pub(crate) fn new(label: &Label, key: KeyHash) -> About {
        About { label: Arc::clone(&label.name), kind: label.kind, key }
    }
}

/// Something that happened, and when.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: Happened,
}

/// What happened. The first three are told to
/// [`subscribe_to_lookups`](crate::FragmentCache::subscribe_to_lookups) only.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// A look-up, and how it was answered.
    LookedUp {
        /// What was looked up.
        about: About,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something was computed.
    Computed {
        /// What.
        about: About,
        /// How long it took.
        took: Duration,
        /// The size of the result.
        bytes: usize,
        /// Why it is not stored, if so.
        rejected: Option<Rejection>,
    },
    /// Something was computed and stored that was not there before.
    Stored {
        /// What.
        about: About,
    },
    /// Something was computed and stored in place of what was no longer of use.
    Refreshed {
        /// What.
        about: About,
        /// Why what was there was of no use.
        reason: MissReason,
        /// How long it took.
        took: Duration,
    },
    /// Computing ended with an error or a panic.
    Failed {
        /// What was computed.
        about: About,
    },
    /// Something was invalidated.
    Invalidated {
        /// What.
        what: Target,
        /// By whom.
        by: By,
    },
    /// An entry left memory because there was no room.
    Evicted {
        /// Of what.
        about: About,
        /// How old it was.
        age: Duration,
        /// Its size in memory.
        bytes: u32,
        /// Whether it was ever hit.
        used: bool,
    },
    /// A hit is not what computing it again gives; see [`Builder::shadow`](crate::Builder::shadow).
    Differed(Difference),
    /// A failure of the cache itself, which failed no page; see [`Builder::on_error`](crate::Builder::on_error).
    Error {
        /// What kind of failure.
        kind: ErrorKind,
        /// The failure in words.
        message: String,
    },
}

/// What was invalidated.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A key.
    Key(KeyHash),
    /// A tag, by its name.
    Tag(Arc<str>),
    /// The pages of a path.
    Page(Arc<str>),
    /// What was made with the templates of a name.
    Template(Arc<str>),
    /// Everything in a namespace, by its own name.
    Namespace(Arc<str>),
    /// Everything.
    Everything,
    /// So many tags, keys or templates, of which only the hashes are known here.
    Hashes(usize),
}

/// Who invalidated.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A call on this node.
    Call,
    /// A signal of the application, by its name.
    Signal(Arc<str>),
    /// A watcher that saw a file change.
    Watch,
    /// Another node, through the shared tier; or this one, whose invalidation came back as an echo.
    Node,
}

impl Target {
    /// What sort of thing it is, in one word: `key`, `tag`, `page`, `template`, `namespace`, `everything` or `hashes`.
    pub fn name(&self) -> &'static str {
        match self {
            Target::Key(_) => "key",
            Target::Tag(_) => "tag",
            Target::Page(_) => "page",
            Target::Template(_) => "template",
            Target::Namespace(_) => "namespace",
            Target::Everything => "everything",
            Target::Hashes(_) => "hashes",
        }
    }
}

impl By {
    /// In one word: `call`, `signal`, `watch` or `node`.
    pub fn name(&self) -> &'static str {
        match self {
            By::Call => "call",
            By::Signal(_) => "signal",
            By::Watch => "watch",
            By::Node => "node",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Key(key) => write!(f, "key {key}"),
            Target::Tag(tag) => write!(f, "tag {tag:?}"),
            Target::Page(path) => write!(f, "page {path:?}"),
            Target::Template(name) => write!(f, "template {name:?}"),
            Target::Namespace(name) => write!(f, "namespace {name:?}"),
            Target::Everything => f.write_str("everything"),
            Target::Hashes(count) => write!(f, "{count} tags"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Call => f.write_str("call"),
            By::Signal(name) => write!(f, "signal {name:?}"),
            By::Watch => f.write_str("watch"),
            By::Node => f.write_str("node"),
        }
    }
}

/// What a subscription is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// What changes the cache.
    Changes,
    /// Each look-up as well.
    Lookups,
}

/// Everybody who wants to be told.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    queues: RwLock<Vec<(Interest, Weak<Queue>)>>,
    any: AtomicUsize,
    lookups: AtomicUsize,
}

impl Subscribers {
    pub(crate) fn subscribe(self: &Arc<Self>, interest: Interest) -> Subscription {
        let queue = Arc::new(Queue::default());
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
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

    pub(crate) fn tell(&self, interest: Interest, what: Happened) {
        let event = Event { at: SystemTime::now(), what };
        for queue in self.concerned(interest) {
            queue.push(event.clone());
        }
    }

    /// The cache is gone: those who wait are told so.
    pub(crate) fn close(&self) {
        self.concerned(Interest::Changes).into_iter().for_each(|queue| queue.close());
    }

    /// Who is told of something. Nothing is locked while they are woken: whoever is may subscribe to more there and
    /// then, or drop what he has.
    fn concerned(&self, interest: Interest) -> Vec<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let concerned = queues.iter().filter(|(wants, _)| interest == Interest::Changes || *wants == interest);
        concerned.filter_map(|(_, queue)| queue.upgrade()).collect()
    }

    fn leave(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|(_, known)| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(queue)));
        let lookups = queues.iter().filter(|(wants, _)| *wants == Interest::Lookups).count();
        self.any.store(queues.len(), Ordering::Relaxed);
        self.lookups.store(lookups, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Queue {
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

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
    queue: Arc<Queue>,
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
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
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
