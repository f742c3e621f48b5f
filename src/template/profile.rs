//! What caching would be worth: which includes and macros give the same output for the same inputs again and again.
//!
//! `compile/measure/probe.rs` lowers includes and macros so that `runtime/probes.rs` sees their calls; `running` times
//! them, `inputs` reads what they were given, `ledger` compares. Nothing here is on the way of a cache that does not
//! measure.

mod declared;
mod inputs;
mod ledger;
mod plan;
mod running;
mod suggest;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use minijinja::AutoEscape;
use minijinja::value::Object;

pub(crate) use self::declared::{CALLER, Declared, is_measured};
pub(crate) use self::inputs::{Readable, is_plain, is_plain_list};
use self::ledger::Ledger;
pub(crate) use self::plan::Plan;
pub(crate) use self::running::{Given, Running, escaping};
use crate::cache::builder::Builder;
use crate::cache::{FragmentCache, Inner};
use crate::util::sync::{lock, read_lock, write_lock};

/// How many places are measured, those that are called first.
const SITES: usize = 256;
/// How many templates' inputs are known at a time.
const PLANS: usize = 1024;

/// What caching an include or a macro would be worth; see [`FragmentCache::potential`].
///
/// `distinct + repeats + conflicts + unreadable` are the `calls`. A call that failed is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Potential {
    /// Where and what it is: `index.html:12 include "_cards.html"`, or `film.html:3 macro stars`.
    pub label: String,
    /// Calls that ended.
    pub calls: u64,
    /// Calls with inputs that were not seen before. Of each place the last 4,096 inputs are remembered or a little
    /// less; one that was forgotten counts again, as a cache of that size would have rendered it again.
    pub distinct: u64,
    /// Calls with the same inputs as an earlier one, and the same output: what a cache would have answered.
    pub repeats: u64,
    /// Calls with the same inputs as an earlier one, and another output. If there is any, it shows something that is not
    /// among its inputs (a function that reads the database, the time, a random number), and caching it by them would
    /// be wrong.
    pub conflicts: u64,
    /// Calls with inputs that cannot be compared: an iterator that can be read once, an object of the application's (but
    /// see [`Builder::measure_object`](crate::Builder::measure_object)), more than 256 KiB of data.
    pub unreadable: u64,
    /// The time of all calls, with what is inside of them. Places that stand in one another share it.
    pub total_time: Duration,
    /// The time of all calls without that of measured includes and macros inside of them.
    pub own_time: Duration,
    /// The time of the repeats, with what is inside of them. A hit costs about a microsecond, which is not taken off; nor
    /// is it known whether a cache would have kept them, or for how long they were right.
    pub saved_time: Duration,
    /// The length of all output.
    pub bytes: u64,
    /// What it depends on, by the names it has there: `film.title`, `here`. Functions and macros are left out.
    pub inputs: Vec<String>,
    /// The first input that could not be compared, and why.
    pub unreadable_input: Option<String>,
    /// The tag to put around the include, or around what stands in the macro. `None` if there were conflicts, if nothing
    /// repeated, or if it shows what no key can hold (`caller()`, a template that it extends). Its key holds whole values;
    /// what identifies them (`film.id`) makes a better one, with a tag by which to invalidate it. In place of a lazy value,
    /// which a key would compute on hits too, stands a name that is undefined until you put there what the value is loaded
    /// by: `key_of_films`.
    pub suggestion: Option<String>,
}

impl fmt::Display for Potential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Potential { label, calls, repeats, saved_time, total_time, .. } = self;
        write!(f, "{label}: {repeats} of {calls} calls repeated, {saved_time:.1?} of {total_time:.1?}")?;
        if self.conflicts > 0 {
            write!(f, "; {} gave another output", self.conflicts)?;
        }
        match &self.unreadable_input {
            Some(input) => write!(f, "; {} not compared ({input})", self.unreadable),
            None => Ok(()),
        }
    }
}

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
        let on = self.extensions.find::<Measurements>().is_some_and(|known| known.on);
        self.extensions.set(Arc::new(Measurements::new(on, readable)));
        self
    }

    fn readable(&self) -> Vec<Readable> {
        self.extensions.find::<Measurements>().map_or_else(Vec::new, |known| known.readable.clone())
    }
}

impl Inner {
    /// What is measured of this cache's templates, if measuring was asked for.
    pub(crate) fn measurements(&self) -> Option<Arc<Measurements>> {
        self.extensions.find().filter(|measurements: &Arc<Measurements>| measurements.on)
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
        self.inner.measurements().map_or_else(Vec::new, |measurements| measurements.read())
    }

    /// Forgets what was measured, and measures anew.
    pub fn reset_potential(&self) {
        self.inner.measurements().into_iter().for_each(|measurements| measurements.reset());
    }
}

/// What a cache measures.
#[derive(Default)]
pub(crate) struct Measurements {
    pub(crate) on: bool,
    /// Types of the application's whose objects are read.
    pub(crate) readable: Vec<Readable>,
    sites: RwLock<HashMap<u64, Arc<Site>, ahash::RandomState>>,
    plans: Mutex<Plans>,
    /// Whether an environment shows captured text as it is, by its mode of escaping.
    formatters: RwLock<Vec<(u64, AutoEscape, bool)>>,
}

/// An include or a macro that is measured.
pub(crate) struct Site {
    pub(crate) id: u64,
    kind: Kind,
    /// Template and line.
    place: Box<str>,
    /// The name of a macro; what names the included template.
    what: Box<str>,
    ledger: Mutex<Ledger>,
}

/// What a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Include,
    Macro,
}

#[derive(Default)]
struct Plans {
    /// Templates loaded so far; another one may be what a name stands for now.
    loads: u64,
    /// By a hash of what they are for. `None` for what there is no template for.
    known: HashMap<u128, Option<Arc<Plan>>, ahash::RandomState>,
}

impl Measurements {
    pub(crate) fn new(on: bool, readable: Vec<Readable>) -> Measurements {
        Measurements { on, readable, ..Measurements::default() }
    }

    /// The site of an id, if it is among those measured.
    pub(crate) fn site(&self, id: u64, kind: Kind, place: &str, what: &str) -> Option<Arc<Site>> {
        let sites = read_lock(&self.sites);
        if let Some(site) = sites.get(&id) {
            return Some(Arc::clone(site));
        }
        drop(sites);
        let mut sites = write_lock(&self.sites);
        if sites.len() >= SITES && !sites.contains_key(&id) {
            return None;
        }
        let new = || Arc::new(Site { id, kind, place: place.into(), what: what.into(), ledger: Mutex::default() });
        Some(Arc::clone(sites.entry(id).or_insert_with(new)))
    }

    /// The plan of a name, made by `make` where it is not known. What is loaded while it is made may be another
    /// template by the time it is done, so it is not kept then.
    pub(crate) fn plan(&self, of: u128, make: impl FnOnce() -> Option<Plan>) -> Option<Arc<Plan>> {
        let plans = self.plans();
        let loads = plans.loads;
        if let Some(known) = plans.known.get(&of) {
            return known.clone();
        }
        drop(plans);
        let plan = make().map(Arc::new);
        let mut plans = self.plans();
        if plans.loads == loads {
            if plans.known.len() >= PLANS {
                plans.known.clear();
            }
            plans.known.insert(of, plan.clone());
        }
        plan
    }

    /// Notes that a template was loaded.
    pub(crate) fn loaded(&self) {
        if self.on {
            let mut plans = self.plans();
            plans.loads += 1;
            plans.known.clear();
        }
    }

    /// Whether an environment shows captured text as it is; asked once for each mode of escaping.
    pub(crate) fn shows_as_is(&self, environment: u64, escape: &AutoEscape, ask: impl FnOnce() -> bool) -> bool {
        let formatters = read_lock(&self.formatters);
        let known = formatters.iter().find(|(of, mode, _)| *of == environment && mode == escape);
        if let Some((_, _, as_is)) = known {
            return *as_is;
        }
        drop(formatters);
        let as_is = ask();
        let mut formatters = write_lock(&self.formatters);
        formatters.push((environment, escape.clone(), as_is));
        as_is
    }

    fn read(&self) -> Vec<Potential> {
        let sites = read_lock(&self.sites);
        let mut read: Vec<Potential> = sites.values().map(|site| site.read()).collect();
        read.retain(|potential| potential.calls > 0);
        read.sort_by(|a, b| b.saved_time.cmp(&a.saved_time).then_with(|| a.label.cmp(&b.label)));
        read
    }

    fn reset(&self) {
        write_lock(&self.sites).clear();
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        lock(&self.plans)
    }
}

impl Site {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn read(&self) -> Potential {
        let ledger = self.ledger();
        let mut read = ledger.read();
        let kind = match self.kind {
            Kind::Include => "include",
            Kind::Macro => "macro",
        };
        read.label = format!("{} {kind} {}", self.place, self.what);
        if read.conflicts == 0 && read.repeats > 0 && ledger.fits_a_key() {
            let inputs: Vec<_> = ledger.inputs().collect();
            read.suggestion = Some(suggest::tag(self.kind, &self.what, &inputs));
        }
        read
    }
}
