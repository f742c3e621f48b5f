//! Signals: what happens in the application, said without knowing who listens.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, RwLock, Weak};

use crate::cache::{Engine, FragmentCache};
use crate::error::{Error, ErrorKind};
use crate::telemetry::By;
use crate::util::sync::{read_lock, write_lock};

/// Something that happens in the application: a film was saved, prices have come in. Who sends it knows of no cache, and
/// caches are told by [`FragmentCache::on_signal`] what becomes invalid with it.
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
    /// Made with the first listener, so that a signal can be a static.
    listeners: OnceLock<Arc<Listeners<T>>>,
}

/// A cache that is told, for as long as it lives.
struct Listener<T: ?Sized> {
    cache: Weak<Engine>,
    tell: Box<Tell<T>>,
}

type Tell<T> = dyn Fn(Arc<Engine>, &T) + Send + Sync;

struct Listeners<T: ?Sized> {
    list: RwLock<Vec<Arc<Listener<T>>>>,
}

impl<T: ?Sized + 'static> Signal<T> {
    /// A signal by its name, which events and reports call it by.
    pub const fn new(name: &'static str) -> Signal<T> {
        Signal { name, listeners: OnceLock::new() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tells all who listen, one after the other, on this thread. When it returns, everything that caches were told to
    /// invalidate is invalid, as with [`FragmentCache::invalidate_tag`].
    pub fn send(&self, value: &T) {
        let Some(listeners) = self.listeners.get() else { return };
        let list = read_lock(&listeners.list).clone();
        // Nothing is locked while they run: one may connect, disconnect or send.
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
    /// Those whose caches are gone make room, also of a signal that is never sent.
    fn add(&self, listener: Arc<Listener<T>>) {
        let mut list = write_lock(&self.list);
        let gone: Vec<_> = list.extract_if(.., |known| known.cache.strong_count() == 0).collect();
        list.push(listener);
        drop(list);
        // Closures of the application are dropped while nothing is locked.
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

/// What listens to a signal; see [`FragmentCache::on_signal`]. Dropping it changes nothing.
pub struct Connection {
    leave: Box<dyn Fn() + Send + Sync>,
}

impl Connection {
    /// Ends it. One that is being told at this moment is told to the end.
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
    /// Invalidates tags of this namespace whenever a signal is sent: those that the closure gives for what was sent. For
    /// as long as the cache lives, or until [`Connection::disconnect`].
    ///
    /// A panic in the closure is caught and reported; nothing is invalidated by it then, and others are told as usual.
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
            // All of them first: one that panics half-way has none of them invalidated.
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
