//! Lazy values: context values that are computed when a template first uses them. If a cache block hits, the query
//! behind a lazy value does not run.
//!
//! A lazy value may be computed in one fragment and read in another. So it keeps the dependencies and the start of its
//! computation, and adds them to every fragment that reads it.
//!
//! MiniJinja does not compare an object with a number or a string by value, so a lazy value must not reach a template
//! as an object. The context that resolves lazy values when a template looks them up is in `lazy/resolved.rs`.

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

/// The error of a cached body in which MiniJinja used a lazy number or string as an object.
pub(crate) const UNRESOLVED: &str = "the cached body compares or tests a lazy value that is no list or map, or one that \
    failed, and MiniJinja sees an object in its place; render through the cache (`cache.environment(env).render`, \
    `cache.render`), or put `with_lazy` around the context";

/// The number of lazy values in this process. If it is 0, no context needs to resolve any.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The address of the name by which the last lazy value was computed on this thread; `None` if none was computed
    /// since the last [`take_computed`]. It lies in a template's source if a template looked that name up.
    static COMPUTED: Cell<Option<usize>> = const { Cell::new(None) };
    /// The address of the lazy value whose kind MiniJinja requested last.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Makes a context value from a closure that runs at most once, and only if the template uses the value.
///
/// A template can do the same with it as with the value itself: compare, test, index, add, filter and print it. The
/// value may be a number, a string, a list or a map. An error of the closure fails the render where the value is used.
///
/// [`FragmentCache::render`](crate::FragmentCache::render), `cache_partial` and
/// [`LiveEnvironment::render`](crate::LiveEnvironment::render) resolve lazy values in their contexts. For MiniJinja's
/// own `render`, pass the context through [`with_lazy`]. Without it, MiniJinja sees an object. That is correct for
/// lists and maps, but the object compares as different from every number, string and boolean. In a cached body such a
/// use is an error, as far as the cache can detect it.
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

/// The current value of a lazy value, without computing it: `None` for a value that is not lazy, `Some(None)` for one
/// that is not computed yet or has failed.
pub(crate) fn peek(value: &Value) -> Option<Option<Value>> {
    let lazy = value.downcast_object_ref::<Lazy>()?;
    let computed = lazy.value.get().and_then(|(value, _)| value.clone().ok());
    // The computed value may be lazy itself.
    Some(computed.and_then(|value| peek(&value).unwrap_or(Some(value))))
}

/// Returns and resets [`COMPUTED`]: `None` if no lazy value was computed on this thread since the last call. See
/// `runtime/lazy_key.rs`.
pub(crate) fn take_computed() -> Option<usize> {
    COMPUTED.take()
}

/// The value of a lazy value, computed if necessary; `None` for a value that is not lazy.
pub(crate) fn load(value: &Value) -> Option<Result<Value, Error>> {
    Some(value.downcast_object_ref::<Lazy>()?.get().map_err(Error::from))
}

type LazyLoad = Box<dyn FnOnce() -> Result<Value, Failure> + Send + Sync>;

struct Lazy {
    value: OnceLock<(Result<Value, Failure>, Evaluated)>,
    load: Mutex<Option<LazyLoad>>,
}

/// The closure's error, returned at every use of the value.
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
    /// The value. If this call computes it, `name` is recorded as the name by which it was looked up.
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

    /// The value, for a use without a name.
    fn get(&self) -> Result<Value, Failure> {
        self.value("")
    }

    /// Records that MiniJinja requested the kind of a value that is not a list or map. MiniJinja does that to compare
    /// or test the value, or before it prints it.
    fn asked(&self) {
        stack::gather(|record| record.unresolved += 1);
        ASKED.set(std::ptr::from_ref(self).addr());
    }

    /// The value, for a use that may follow a request for its kind. Such a use resolves the request, so it is
    /// subtracted from the unresolved ones.
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
        // Debug output does not compute the value.
        f.debug_struct("Lazy").field("evaluated", &self.value.get().is_some()).finish()
    }
}

/// The lazy value as MiniJinja sees it if no context of the crate resolves it. MiniJinja compares an object with a
/// number or a string by the object's kind alone. A cached body in which that happened fails.
impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.get() {
            Ok(value) => value.as_object().map(DynObject::repr).unwrap_or_else(|| {
                self.asked();
                ObjectRepr::Plain
            }),
            // As an iterable, because iterating returns the failure.
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
        // `fmt::Error` cannot carry the failure. MiniJinja turns it into an error of the render.
        let value = self.answer().map_err(|_| fmt::Error)?;
        match value.as_object() {
            Some(object) => object.render(f),
            None => fmt::Display::fmt(&value, f),
        }
    }
}
