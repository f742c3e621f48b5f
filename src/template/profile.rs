//! Measures what caching would be worth: which includes and macros give the same output for the same inputs repeatedly.
//!
//! `compile/measure/probe.rs` lowers includes and macros so that `runtime/probes.rs` is called around them. This file is
//! the public API. `measurements.rs` holds the results of a cache, `site.rs` those of one include or macro, and
//! `site_stats.rs` recognises repeated calls. `call_stack.rs` times running calls, `plan.rs` names their inputs, and
//! `inputs.rs` encodes the inputs' values. A cache that does not measure runs none of this code.

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
use crate::cache::{FragmentCache, Inner};

impl Builder {
    /// Measures what caching includes and macros would be worth, for [`FragmentCache::potential`]; off by default. What
    /// templates show does not change, and nothing is run that would not run without: lazy values and iterators are left
    /// alone. Names are looked up in the context before it is known whether they are needed, as for macros.
    ///
    /// A call takes about a microsecond more, and 0.1 µs for each value in its inputs, which are read once more to be
    /// compared: for a list of fifty rows with more fields than are shown, one and a half times what rendering it takes. A
    /// place takes up to 64 KiB of memory, and the first 256 that are called are measured.
    ///
    /// Measured are templates that this cache loads: through its loaders or
    /// [`add_template`](FragmentCache::add_template). Where a custom formatter changes plain text, includes are not
    /// measured, as it would see their text twice. Where fuel is limited, a call takes more of it.
    pub fn measure_potential(mut self, yes: bool) -> Builder {
        let readable = self.readable();
        self.extensions.set(Arc::new(Measurements::new(yes, readable)));
        self
    }

    /// Lets [`measure_potential`](Builder::measure_potential) read objects of this type as it reads maps and lists. Other
    /// objects of the application are left alone, since what they do when they are asked for an attribute is theirs;
    /// reading these must have no effect.
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

impl Inner {
    /// The measurements of this cache, if measuring is on.
    pub(crate) fn measurements(&self) -> Option<Arc<Measurements>> {
        self.extensions.find().filter(|measurements: &Arc<Measurements>| measurements.is_on())
    }
}

impl FragmentCache {
    /// What caching the includes and macros of this cache's templates would be worth, measured since the cache was built
    /// or since [`reset_potential`](FragmentCache::reset_potential); what would save most time first. Empty unless
    /// [`Builder::measure_potential`](crate::Builder::measure_potential) is on.
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

    /// Forgets what was measured, and measures anew.
    pub fn reset_potential(&self) {
        self.inner.measurements().into_iter().for_each(|measurements| measurements.reset());
    }
}
