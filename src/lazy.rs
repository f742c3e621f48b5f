//! Values that are computed only if a template touches them: with one, a cache block that hits never runs the query
//! behind it.
//!
//! A lazy value may be computed in one fragment and read in another, so it keeps what its computation depended on
//! and when that work began, and tells every fragment that reads it.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};

use crate::context::{self, Evaluated};

/// Makes a context value from a closure that runs at most once, and only if the template touches the value.
///
/// Lists, maps, strings and numbers can be looped over, indexed, printed and tested as usual. What needs the plain
/// value itself (arithmetic, filters that take only strings) calls it: `{{ total() + 1 }}`. An error of the closure
/// fails the render where the value is touched.
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
    Value::from_object(Lazy { value: OnceLock::new(), load: Mutex::new(Some(Box::new(load))) })
}

/// What a lazy value is at the moment, without touching it: `None` for a value that is not lazy, `Some(None)` for one
/// that was not computed, or failed.
pub(crate) fn peek(value: &Value) -> Option<Option<Value>> {
    let lazy = value.downcast_object_ref::<Lazy>()?;
    Some(lazy.value.get().and_then(|(value, _)| value.clone().ok()))
}

/// The value that a lazy value stands for, computed if it was not; `None` for a value that is not lazy.
pub(crate) fn load(value: &Value) -> Option<Result<Value, Error>> {
    Some(value.downcast_object_ref::<Lazy>()?.value())
}

type Load = Box<dyn FnOnce() -> Result<Value, Failure> + Send + Sync>;

struct Lazy {
    value: OnceLock<(Result<Value, Failure>, Evaluated)>,
    load: Mutex<Option<Load>>,
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
    fn value(&self) -> Result<Value, Error> {
        let (value, evaluated) = self.value.get_or_init(|| {
            let load = self.load.lock().unwrap_or_else(PoisonError::into_inner).take();
            match load {
                Some(load) => context::evaluate(load),
                None => context::evaluate(|| Err(Failure(Arc::from(Box::from("its closure panicked before"))))),
            }
        });
        context::gather(|record| evaluated.reach(record));
        value.clone().map_err(|failure| {
            Error::new(ErrorKind::InvalidOperation, format!("a lazy value failed: {failure}")).with_source(failure)
        })
    }

    /// The value, a failure being a value that fails the render when used.
    fn value_or_failure(&self) -> Value {
        self.value().unwrap_or_else(Value::from)
    }

    /// The value's object, if it is one.
    fn object(&self) -> Option<DynObject> {
        self.value().ok()?.as_object().cloned()
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Showing a value in a debugger is not touching it.
        f.debug_struct("Lazy").field("evaluated", &self.value.get().is_some()).finish()
    }
}

impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.value() {
            Ok(value) => value.as_object().map_or(ObjectRepr::Plain, DynObject::repr),
            // Iterating shows the failure.
            Err(_) => ObjectRepr::Iterable,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.value() {
            Ok(value) => value.get_item(key).ok().filter(|item| !item.is_undefined()),
            Err(error) => Some(error.into()),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.value() {
            Ok(value) if value.as_object().is_some() => match value.try_iter() {
                Ok(items) => Enumerator::Values(items.collect()),
                Err(_) => Enumerator::NonEnumerable,
            },
            Ok(_) => Enumerator::NonEnumerable,
            Err(error) => Enumerator::Values(vec![error.into()]),
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.value() {
            Ok(value) => value.len(),
            Err(_) => Some(1),
        }
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.value_or_failure().is_true()
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        if args.is_empty() { self.value() } else { Err(ErrorKind::TooManyArguments.into()) }
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        self.value()?.call_method(state, method, args)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        self.object()?.custom_cmp(other)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A formatting error is all that can be said here; MiniJinja turns it into the render's.
        let value = self.value().map_err(|_| fmt::Error)?;
        fmt::Display::fmt(&value, f)
    }
}
