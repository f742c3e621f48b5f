//! Measures what caching would be worth: which includes and macros give the same output for the same inputs repeatedly.
//!
//! `compile/measure/probe.rs` lowers includes and macros so that `runtime/probes.rs` is called around them. This file
//! is the public API. `measurements.rs` holds the results of a cache, `site.rs` those of one include or macro, and
//! `site_stats.rs` recognises repeated calls. `call_stack.rs` times running calls, `plan.rs` names their inputs, and
//! `inputs.rs` encodes the inputs' values. Templates of a cache that does not measure are lowered without these calls.

mod call_stack;
mod input_kind;
mod inputs;
mod macro_object;
mod macros;
mod measurements;
mod objects;
mod plan;
mod potential;
mod site;
mod site_stats;
mod suggest;

use std::sync::Arc;

use minijinja::value::Object;

pub(crate) use self::call_stack::{CallInputs, CallStack, escaping};
pub(crate) use self::macros::{MeasuredMacro, is_measured};
pub(crate) use self::measurements::Measurements;
use self::objects::Readable;
pub(crate) use self::objects::{is_plain, is_plain_list};
pub(crate) use self::plan::{CALLER, Plan};
pub use self::potential::Potential;
pub(crate) use self::site::ProfileSiteKind;
use crate::cache::builder::Builder;
use crate::cache::{Engine, FragmentCache};

impl Builder {
    /// Measures what caching includes and macros would be worth, for [`FragmentCache::potential`]. Off by default.
    ///
    /// The output of templates does not change. Measuring does not compute lazy values and does not advance iterators.
    /// An include looks up its names in the context before it runs, as macros do, even those that it then does not
    /// need.
    ///
    /// A measured call takes about one microsecond more, and 0.1 µs for each value in its inputs, because the inputs
    /// are read once more to be compared. For a list of fifty rows with more fields than are shown, this is one and a
    /// half times the time of rendering it. Each include or macro takes up to 64 KiB of memory. The first 256 that are
    /// called are measured.
    ///
    /// Only templates that this cache loads are measured: those of its loaders and of
    /// [`add_template`](FragmentCache::add_template). Includes are not measured if a custom formatter changes plain
    /// text, because the formatter would be applied to their text twice. If fuel is limited, a measured call uses more
    /// of it.
    pub fn measure_potential(mut self, yes: bool) -> Builder {
        let readable = self.readable();
        self.extensions.set(Arc::new(Measurements::new(yes, readable)));
        self
    }

    /// Lets [`measure_potential`](Builder::measure_potential) read objects of this type as it reads maps and lists.
    /// Reading them must have no side effects. Other objects of the application are not read, because reading an
    /// attribute runs the application's code.
    pub fn measure_object<T: Object + 'static>(mut self) -> Builder {
        let mut readable = self.readable();
        readable.push(|object| object.downcast_ref::<T>().is_some());
        let on = self.extensions.find::<Measurements>().is_some_and(|known| known.is_on());
        self.extensions.set(Arc::new(Measurements::new(on, readable)));
        self
    }

    fn readable(&self) -> Vec<Readable> {
        self.extensions.find::<Measurements>().map_or_else(Vec::new, |known| known.readable().to_vec())
    }
}

impl Engine {
    /// The measurements of this cache, if measuring is on.
    pub(crate) fn measurements(&self) -> Option<Arc<Measurements>> {
        self.extensions.find().filter(|measurements: &Arc<Measurements>| measurements.is_on())
    }
}

impl FragmentCache {
    /// Reports what caching each include and macro of this cache's templates would be worth, the largest saving first.
    /// It covers the time since the cache was built, or since [`reset_potential`](FragmentCache::reset_potential).
    /// Empty unless [`Builder::measure_potential`](crate::Builder::measure_potential) is on.
    ///
    /// ```
    /// use minijinja::{Environment, context};
    /// use minijinja_cache::FragmentCache;
    ///
    /// let cache = FragmentCache::builder().measure_potential(true).build()?;
    /// let mut env = Environment::new();
    /// cache.add_to_environment(&mut env);
    /// cache.add_template(&mut env, "_menu.html", "{% for item in menu %}<a>{{ item }}</a>{% endfor %}")?;
    /// cache.add_template(&mut env, "page.html", "{% include '_menu.html' %}{{ text }}")?;
    ///
    /// for text in ["one", "two", "three"] {
    ///     env.get_template("page.html")?.render(context! { text, menu => ["Home", "Films"] })?;
    /// }
    /// let menu = &cache.potential()[0];
    /// assert_eq!(menu.label, "page.html:1 include '_menu.html'");
    /// assert_eq!((menu.calls, menu.repeats), (3, 2));
    /// assert_eq!(menu.suggestion.as_deref(), Some("{% cache ['_menu.html', menu] %}"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn potential(&self) -> Vec<Potential> {
        self.inner.measurements().map_or_else(Vec::new, |measurements| measurements.report())
    }

    /// Discards all measurements, and starts again.
    pub fn reset_potential(&self) {
        self.inner.measurements().into_iter().for_each(|measurements| measurements.reset());
    }
}
