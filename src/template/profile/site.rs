//! One measured include or macro of a template: where it is in the source, and its statistics.

use std::sync::{Mutex, MutexGuard};

use super::potential::Potential;
use super::site_stats::SiteStats;
use super::suggest;
use crate::util::sync::lock;

/// A measured include or macro.
pub(crate) struct Site {
    id: u64,
    kind: ProfileSiteKind,
    /// Template and line.
    place: Box<str>,
    /// For a macro its name, for an include the expression that names the template.
    subject: Box<str>,
    stats: Mutex<SiteStats>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProfileSiteKind {
    Include,
    Macro,
}

impl Site {
    pub(super) fn new(id: u64, kind: ProfileSiteKind, place: &str, subject: &str) -> Site {
        Site { id, kind, place: place.into(), subject: subject.into(), stats: Mutex::default() }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, SiteStats> {
        lock(&self.stats)
    }

    /// The report of this site.
    pub(super) fn potential(&self) -> Potential {
        let stats = self.stats();
        let mut potential = stats.potential();
        let (kind, in_key) = match self.kind {
            ProfileSiteKind::Include => ("include", self.subject.to_string()),
            ProfileSiteKind::Macro => ("macro", format!("'{}'", self.subject)),
        };
        potential.label = format!("{} {kind} {}", self.place, self.subject);
        if potential.conflicts == 0 && potential.repeats > 0 && stats.fits_a_key() {
            let inputs: Vec<_> = stats.inputs().collect();
            potential.suggestion = Some(suggest::tag(in_key, &inputs));
        }
        potential
    }
}
