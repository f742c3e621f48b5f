//! Values that are computed only if a template touches them: with one, a cache block that hits never runs the query
//! behind it.
//!
//! A lazy value may be computed in one fragment and read in another, so it keeps what its computation depended on
//! and when that work began, and tells every fragment that reads it.
//!
//! MiniJinja compares no object with a number or a string, so a lazy value must not reach a template as an object. The
//! context that resolves it where a template looks it up is in `lazy/resolved.rs`.

mod resolved;

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, Mutex, OnceLock};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};

pub use self::resolved::with_lazy;
pub(crate) use self::resolved::{behind, resolving, untouched};
use crate::invalidation::stack::{self, Evaluated};
use crate::template::runtime::renders::began_everywhere;
use crate::util::sync::lock;

/// What is said of a cached body in which a lazy number or string was taken for an object.
pub(crate) const UNRESOLVED: &str = "the cached body compares or tests a lazy value that is no list or map, or one that \
    failed, and MiniJinja sees an object in its place; render through the cache (`cache.environment(env).render`, \
    `cache.render`), or put `with_lazy` around the context";

/// How many lazy values there are in this process; with none, no context needs to resolve any.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where the name stands by which a lazy value was computed last, since this was asked for: an address in a
    /// template's source, or another one if it was computed without a name.
    static COMPUTED: Cell<Option<usize>> = const { Cell::new(None) };
    /// The lazy value that was last asked for its kind.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Makes a context value from a closure that runs at most once, and only if the template touches the value.
///
/// A template does with it what it does with the value: it compares, tests, indexes, adds, filters and prints it, be it
/// a number, a string, a list or a map. An error of the closure fails the render where the value is touched.
///
/// [`FragmentCache::render`](crate::FragmentCache::render), `cache_partial` and
/// [`LiveEnvironment::render`](crate::LiveEnvironment::render) see to that. Give a context to MiniJinja's own `render`
/// through [`with_lazy`]: without it MiniJinja sees an object, which is right for lists and maps, and which it takes for
/// different from every number, string and boolean that it is compared with. In a cached body that is an error as far as it
/// can be noticed.
///
/// ```
/// use minijinja::{Environment, context};
/// use minijinja_cache::{FragmentCache, lazy};
///
/// let cache = FragmentCache::builder().build()?;
/// let mut env = Environment::new();
/// cache.add_to_environment(&mut env);
/// cache.add_template(&mut env, "list.txt", "{% cache 'films' 60 %}{{ films|join(', ') }}{% endcache %}")?;
///
/// let mut queries = 0;
/// for _ in 0..2 {
///     let (ran, seen) = std::sync::mpsc::channel();
///     let films = lazy(move || { ran.send(()).ok(); Ok::<_, std::io::Error>(vec!["Alien", "Brazil"]) });
///     assert_eq!(env.get_template("list.txt")?.render(context! { films })?, "Alien, Brazil");
///     queries += seen.try_iter().count();
/// }
/// assert_eq!(queries, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn lazy<T, E>(load: impl FnOnce() -> Result<T, E> + Send + Sync + 'static) -> Value
where
    T: Into<Value>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let load = move || load().map(Into::into).map_err(|error| Failure(Arc::from(error.into())));
    ALIVE.fetch_add(1, Atomic::Relaxed);
    Value::from_object(Lazy { value: OnceLock::new(), load: Mutex::new(Some(Box::new(load))) })
}

/// What a lazy value is at the moment, without touching it: `None` for a value that is not lazy, `Some(None)` for one
/// that was not computed, or failed.
pub(crate) fn peek(value: &Value) -> Option<Option<Value>> {
    let lazy = value.downcast_object_ref::<Lazy>()?;
    let computed = lazy.value.get().and_then(|(value, _)| value.clone().ok());
    // It may be lazy itself.
    Some(computed.and_then(|value| peek(&value).unwrap_or(Some(value))))
}

/// Whether a lazy value was computed on this thread since this was asked for, and where the name stands by which the
/// last one was, see `runtime/lazy_key.rs`.
pub(crate) fn take_computed() -> Option<usize> {
    COMPUTED.take()
}

/// The value that a lazy value stands for, computed if it was not; `None` for a value that is not lazy.
pub(crate) fn load(value: &Value) -> Option<Result<Value, Error>> {
    Some(value.downcast_object_ref::<Lazy>()?.get().map_err(Error::from))
}

type LazyLoad = Box<dyn FnOnce() -> Result<Value, Failure> + Send + Sync>;

struct Lazy {
    value: OnceLock<(Result<Value, Failure>, Evaluated)>,
    load: Mutex<Option<LazyLoad>>,
}

/// The closure's error, kept for every touch.
#[derive(Debug, Clone)]
struct Failure(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Lazy {
    /// The value, computed by the name that it is looked up by.
    fn value(&self, name: &str) -> Result<Value, Failure> {
        let (value, evaluated) = self.value.get_or_init(|| {
            let load = lock(&self.load).take();
            let computed = match load {
                Some(load) => {
                    stack::evaluate(began_everywhere(), || load().and_then(|value| resolved::resolve(value, name)))
                }
                None => stack::evaluate(began_everywhere(), || {
                    Err(Failure(Arc::from(Box::from("its closure panicked before"))))
                }),
            };
            COMPUTED.set(Some(name.as_ptr().addr()));
            computed
        });
        stack::gather(|record| evaluated.reach(record));
        value.clone()
    }

    /// The value, touched in a way that names nothing.
    fn get(&self) -> Result<Value, Failure> {
        self.value("")
    }

    /// Notes that MiniJinja asked for the kind of what is no object: to compare or to test it, or to print it next.
    fn asked(&self) {
        stack::gather(|record| record.unresolved += 1);
        ASKED.set(std::ptr::from_ref(self).addr());
    }

    /// The value where MiniJinja wants it after it has asked for its kind.
    fn answer(&self) -> Result<Value, Failure> {
        if ASKED.take() == std::ptr::from_ref(self).addr() {
            stack::gather(|record| record.unresolved = record.unresolved.saturating_sub(1));
        }
        self.get()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error::new(ErrorKind::InvalidOperation, format!("a lazy value failed: {failure}")).with_source(failure)
    }
}

impl Drop for Lazy {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Atomic::Relaxed);
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Showing a value in a debugger is not touching it.
        f.debug_struct("Lazy").field("evaluated", &self.value.get().is_some()).finish()
    }
}

/// How MiniJinja sees the value where no context of ours resolves it. It compares an object with a number or a string
/// without asking the object for more than its kind; a cached body in which that happened fails.
impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.get() {
            Ok(value) => value.as_object().map(DynObject::repr).unwrap_or_else(|| {
                self.asked();
                ObjectRepr::Plain
            }),
            // Iterating shows the failure.
            Err(_) => {
                self.asked();
                ObjectRepr::Iterable
            }
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.answer() {
            Ok(value) => value.get_item(key).ok().filter(|item| !item.is_undefined()),
            Err(failure) => Some(Error::from(failure).into()),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match self.value(key) {
            Ok(value) => value.get_attr(key).ok().filter(|item| !item.is_undefined()),
            Err(failure) => Some(Error::from(failure).into()),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.answer().map(|value| value.try_iter()) {
            Ok(Ok(items)) => Enumerator::Iter(Box::new(items)),
            Ok(Err(_)) => Enumerator::NonEnumerable,
            Err(failure) => Enumerator::Values(vec![Error::from(failure).into()]),
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.get().ok()?.len()
    }

    fn is_true(self: &Arc<Self>) -> bool {
        match self.get() {
            Ok(value) => value.is_true(),
            Err(_) => {
                self.asked();
                false
            }
        }
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let value = self.get()?;
        if args.is_empty() && value.as_object().is_none() { Ok(value) } else { value.call(state, args) }
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        self.get()?.call_method(state, method, args)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.answer().ok()?.cmp(&other.downcast_ref::<Lazy>()?.get().ok()?))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A formatting error is all that can be said here; MiniJinja turns it into the render's.
        let value = self.answer().map_err(|_| fmt::Error)?;
        match value.as_object() {
            Some(object) => object.render(f),
            None => fmt::Display::fmt(&value, f),
        }
    }
}
