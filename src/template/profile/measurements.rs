//! All measurements of one cache: its sites, the plans of their inputs, and the formatters of its environments.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use minijinja::AutoEscape;

use super::objects::Readable;
use super::plan::Plan;
use super::potential::Potential;
use super::site::{ProfileSiteKind, Site};
use crate::util::sync::{lock, read_lock, write_lock};

/// The number of sites that are measured. Sites that are called later are not.
const SITES: usize = 256;
/// The number of plans that are kept.
const PLANS: usize = 1024;

/// All measurements of one cache.
#[derive(Default)]
pub(crate) struct Measurements {
    on: bool,
    /// Types of the application whose objects are read.
    readable: Vec<Readable>,
    sites: RwLock<HashMap<u64, Arc<Site>, ahash::RandomState>>,
    plans: Mutex<PlanCache>,
    /// For an environment and a mode of escaping: whether its formatter prints captured text unchanged.
    formatters: RwLock<Vec<(u64, AutoEscape, bool)>>,
}

#[derive(Default)]
struct PlanCache {
    /// The number of templates loaded so far. After a load, a name may stand for another template.
    loads: u64,
    /// By a hash of what determines the plan. `None` where the name has no template.
    plans: HashMap<u128, Option<Arc<Plan>>, ahash::RandomState>,
}

impl Measurements {
    pub(super) fn new(on: bool, readable: Vec<Readable>) -> Measurements {
        Measurements { on, readable, ..Measurements::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn readable(&self) -> &[Readable] {
        &self.readable
    }

    /// The site of an id. `None` if the limit of measured sites is reached.
    pub(crate) fn site(&self, id: u64, kind: ProfileSiteKind, place: &str, subject: &str) -> Option<Arc<Site>> {
        let sites = read_lock(&self.sites);
        if let Some(site) = sites.get(&id) {
            return Some(Arc::clone(site));
        }
        drop(sites);
        let mut sites = write_lock(&self.sites);
        if sites.len() >= SITES && !sites.contains_key(&id) {
            return None;
        }
        let new = || Arc::new(Site::new(id, kind, place, subject));
        Some(Arc::clone(sites.entry(id).or_insert_with(new)))
    }

    /// The plan with this hash, made by `make` where it is not known.
    ///
    /// `make` runs without the lock. If a template was loaded meanwhile, the plan is returned but not kept, because it
    /// may be that of a template which was replaced.
    pub(crate) fn plan(&self, hash: u128, make: impl FnOnce() -> Option<Plan>) -> Option<Arc<Plan>> {
        let plans = self.plans();
        let loads = plans.loads;
        if let Some(known) = plans.plans.get(&hash) {
            return known.clone();
        }
        drop(plans);
        let plan = make().map(Arc::new);
        let mut plans = self.plans();
        if plans.loads == loads {
            if plans.plans.len() >= PLANS {
                plans.plans.clear();
            }
            plans.plans.insert(hash, plan.clone());
        }
        plan
    }

    /// Forgets all plans after a template was loaded.
    pub(crate) fn loaded(&self) {
        if self.on {
            let mut plans = self.plans();
            plans.loads += 1;
            plans.plans.clear();
        }
    }

    /// Whether an environment prints captured text unchanged in a mode of escaping. `probe` finds out, once for each
    /// mode.
    pub(crate) fn shows_as_is(&self, environment: u64, escape: &AutoEscape, probe: impl FnOnce() -> bool) -> bool {
        let formatters = read_lock(&self.formatters);
        let known = formatters.iter().find(|(of, mode, _)| *of == environment && mode == escape);
        if let Some((_, _, as_is)) = known {
            return *as_is;
        }
        drop(formatters);
        let as_is = probe();
        let mut formatters = write_lock(&self.formatters);
        formatters.push((environment, escape.clone(), as_is));
        as_is
    }

    /// The reports of all sites that were called, the largest saving first.
    pub(super) fn report(&self) -> Vec<Potential> {
        let sites = read_lock(&self.sites);
        let mut report: Vec<Potential> = sites.values().map(|site| site.potential()).collect();
        report.retain(|potential| potential.calls > 0);
        report.sort_by(|a, b| b.saved_time.cmp(&a.saved_time).then_with(|| a.label.cmp(&b.label)));
        report
    }

    pub(super) fn reset(&self) {
        write_lock(&self.sites).clear();
    }

    fn plans(&self) -> MutexGuard<'_, PlanCache> {
        lock(&self.plans)
    }
}
