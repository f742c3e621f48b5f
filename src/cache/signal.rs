//! Signals: the application reports an event, and each connected cache invalidates the tags that depend on it.
//!
//! Owns the list of listeners of a signal. The invalidation is that of `fragment_cache.rs`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, RwLock, Weak};

use crate::cache::{Engine, FragmentCache};
use crate::error::{Error, ErrorKind};
use crate::telemetry::By;
use crate::util::sync::{read_lock, write_lock};

/// An event in the application, such as a film that was saved or prices that were imported. The sender does not need to
/// know which caches exist: each cache connects to the signal with [`FragmentCache::on_signal`] and says which tags the
/// event invalidates.
///
/// ```
/// use minijinja_cache::{FragmentCache, Options, Signal};
///
/// struct Film { id: u64, genre: &'static str }
/// static FILM_SAVED: Signal<Film> = Signal::new("film saved");
///
/// let cache = FragmentCache::builder().build()?;
/// cache.on_signal(&FILM_SAVED, |film| [format!("film:{}", film.id), format!("genre:{}", film.genre)]);
///
/// let title = || cache.get_or_set("title", Options::default().tag("film:7"), || Ok::<_, std::fmt::Error>("Alien"));
/// title()?;
/// FILM_SAVED.send(&Film { id: 7, genre: "horror" }); // when it returns, nothing made of the old film is served
/// title()?;
/// assert_eq!(cache.stats().misses, 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Signal<T: ?Sized + 'static> {
    name: &'static str,
    /// Created with the first listener, so that a signal can be a static.
    listeners: OnceLock<Arc<Listeners<T>>>,
}

/// A cache that is notified, until it is dropped.
struct Listener<T: ?Sized> {
    cache: Weak<Engine>,
    tell: Box<Tell<T>>,
}

type Tell<T> = dyn Fn(Arc<Engine>, &T) + Send + Sync;

struct Listeners<T: ?Sized> {
    list: RwLock<Vec<Arc<Listener<T>>>>,
}

impl<T: ?Sized + 'static> Signal<T> {
    /// A signal with a name, which events and reports use.
    pub const fn new(name: &'static str) -> Signal<T> {
        Signal { name, listeners: OnceLock::new() }
    }

    /// The name of the signal.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Notifies all listeners one after the other, on this thread. When it returns, all tags that the listeners
    /// invalidate are invalid, as after [`FragmentCache::invalidate_tag`].
    pub fn send(&self, value: &T) {
        let Some(listeners) = self.listeners.get() else { return };
        let list = read_lock(&listeners.list).clone();
        // No lock is held while a listener runs, because a listener may connect, disconnect or send.
        for listener in list {
            match listener.cache.upgrade() {
                Some(cache) => (listener.tell)(cache, value),
                None => listeners.remove(&listener),
            }
        }
    }

    fn listen(&self, listener: Listener<T>) -> Connection {
        let listeners = self.listeners.get_or_init(|| Arc::new(Listeners { list: RwLock::default() }));
        let listener = Arc::new(listener);
        listeners.add(Arc::clone(&listener));
        let (listeners, listener) = (Arc::downgrade(listeners), Arc::downgrade(&listener));
        let leave = move || {
            if let Some((listeners, listener)) = listeners.upgrade().zip(Weak::upgrade(&listener)) {
                listeners.remove(&listener);
            }
        };
        Connection { leave: Box::new(leave) }
    }
}

impl<T: ?Sized> Listeners<T> {
    /// Adds a listener and removes those whose caches were dropped. So the list stays bounded also for a signal that is
    /// never sent.
    fn add(&self, listener: Arc<Listener<T>>) {
        let mut list = write_lock(&self.list);
        let gone: Vec<_> = list.extract_if(.., |known| known.cache.strong_count() == 0).collect();
        list.push(listener);
        drop(list);
        // Closures of the application are dropped after the lock is released.
        drop(gone);
    }

    fn remove(&self, listener: &Arc<Listener<T>>) {
        let mut list = write_lock(&self.list);
        list.retain(|known| !Arc::ptr_eq(known, listener));
    }
}

impl<T: ?Sized> fmt::Debug for Signal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A listener of a signal; see [`FragmentCache::on_signal`]. Dropping it does not disconnect the listener.
pub struct Connection {
    leave: Box<dyn Fn() + Send + Sync>,
}

impl Connection {
    /// Disconnects the listener. A call of the listener that is already running is not interrupted.
    pub fn disconnect(self) {
        (self.leave)();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl FragmentCache {
    /// Invalidates tags of this namespace whenever a signal is sent. The closure computes the tags from the value that
    /// was sent. The listener is connected until the cache is dropped, or until [`Connection::disconnect`].
    ///
    /// A panic in the closure is caught and reported. The listener then invalidates nothing; the other listeners are
    /// notified as usual.
    pub fn on_signal<T, I>(&self, signal: &Signal<T>, tags: impl Fn(&T) -> I + Send + Sync + 'static) -> Connection
    where
        T: ?Sized + 'static,
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let (cache, namespace, name) = (Arc::downgrade(&self.inner), Arc::clone(&self.namespace), signal.name);
        let by = By::Signal(signal.name.into());
        let tell = move |inner: Arc<Engine>, value: &T| {
            let cache = FragmentCache { inner, namespace: Arc::clone(&namespace) };
            // Collect all tags first: if the closure panics half-way, none of its tags is invalidated.
            let told = catch_unwind(AssertUnwindSafe(|| tags(value).into_iter().collect::<Vec<_>>()));
            match told {
                Ok(tags) => tags.iter().for_each(|tag| drop(cache.invalidate_tag_by(tag.as_ref(), by.clone()))),
                Err(_) => {
                    let message = format!("signal {name:?}: what says which tags it invalidates panicked");
                    cache.inner.report(&Error::new(ErrorKind::Callback, message));
                }
            }
        };
        signal.listen(Listener { cache, tell: Box::new(tell) })
    }
}
