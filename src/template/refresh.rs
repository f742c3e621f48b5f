//! Invalidates templates whose files changed: owns `FragmentCache::watch` and the comparison of a file with the text
//! that was loaded. `watch.rs` reports the changed paths. `refresh/changed.rs` finds the affected files.

mod changed;

use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::changed::ChangedPaths;
use crate::cache::{Engine, FragmentCache};
use crate::error::{Error, ErrorKind};
use crate::invalidation::templates::Template;
use crate::telemetry::stats::Counter;
use crate::telemetry::{By, Target};
use crate::template::folder::{read, template_folder};
use crate::template::watch::{Change, WatchMode, Watcher, watch};

impl FragmentCache {
    /// Watches a template folder. Saving, creating, deleting or renaming a file in it invalidates exactly the fragments
    /// that used the file or tried to load it. After at most 250 ms, renders use the change. Dropping the watcher stops
    /// watching.
    ///
    /// If notifications were lost, all fragments that use templates of the folder are invalidated, and
    /// [`Builder::on_error`](crate::Builder::on_error) is called. A file that is saved without a change invalidates
    /// nothing.
    ///
    /// # Errors
    ///
    /// The folder does not exist, or the operating system refuses to watch it. In the second case,
    /// [`watch_with`](FragmentCache::watch_with) and [`WatchMode::Poll`] still work.
    pub fn watch(&self, folder: impl AsRef<Path>) -> Result<Watcher, Error> {
        self.watch_with(folder, WatchMode::Native)
    }

    /// As [`watch`](FragmentCache::watch), with a choice of how changes are detected. Polling detects a change after
    /// its interval, and a change that was reverted between two polls within some seconds.
    ///
    /// # Errors
    ///
    /// As [`watch`](FragmentCache::watch).
    pub fn watch_with(&self, folder: impl AsRef<Path>, mode: WatchMode) -> Result<Watcher, Error> {
        let folder = template_folder(folder.as_ref())?;
        if let WatchMode::Poll(_) = mode {
            self.inner.polling.store(true, Ordering::Relaxed);
        }
        let refresh = FolderRefresh { cache: Arc::downgrade(&self.inner), folder: folder.clone() };
        watch(&folder, mode, move |change| refresh.apply(&change)).map_err(|error| {
            let message = format!("cannot watch the template folder {}: {error}", folder.display());
            Error::new(ErrorKind::Templates, message).with_source(error)
        })
    }
}

/// The time after a load in which polling may have missed the version that was loaded.
const RECHECK_FOR: Duration = Duration::from_secs(3);

impl Engine {
    /// Compares recently loaded templates with their files. Polling compares two snapshots, so it does not see a
    /// version that existed only between them, although the template may have been loaded from it.
    pub(crate) fn recheck_loaded(&self) {
        if !self.polling.load(Ordering::Relaxed) {
            return;
        }
        for template in self.templates.all() {
            if template.path().is_some() && template.loaded_within(RECHECK_FOR) {
                reread(self, &template);
            }
        }
    }
}

/// Applies the changes below a folder to a cache. The reference is weak, because the watcher may outlive the cache.
struct FolderRefresh {
    cache: Weak<Engine>,
    folder: PathBuf,
}

impl FolderRefresh {
    fn apply(&self, change: &Change) {
        let Some(cache) = self.cache.upgrade() else { return };
        match change {
            Change::Paths(paths) => self.refresh_affected(&cache, paths, |template| reread(&cache, template)),
            Change::Everything { reason } => {
                self.refresh_affected(&cache, slice::from_ref(&self.folder), |template| {
                    template.change(&cache.floors);
                    true
                });
                let message =
                    format!("watching {}: {reason}; all its templates count as changed", self.folder.display());
                cache.report(&Error::new(ErrorKind::Templates, message));
            }
        }
    }

    fn refresh_affected(&self, cache: &Engine, paths: &[PathBuf], refresh: impl Fn(&Template) -> bool) {
        let mut changed = ChangedPaths::new(paths, &self.folder);
        for template in cache.templates.all() {
            if template.path().is_some_and(|file| changed.affects(file)) && refresh(&template) {
                cache.counters.count(Counter::invalidations);
                cache.telemetry.record_invalidation(|| Target::Template(template.name().into()), By::Watch);
            }
        }
    }
}

/// Refreshes a template if its file differs from the text that was loaded. Returns whether it did.
fn reread(cache: &Engine, template: &Template) -> bool {
    // Before the first load there is no text to compare with. A running load may read the old text, so that counts as a
    // change too.
    if let Some(path) = template.path()
        && template.is_loaded()
        && let Ok(text) = read(path)
    {
        return template.change_if_different(text.as_deref(), &cache.floors);
    }
    // If the file cannot be read, the next load reports the error.
    template.change(&cache.floors);
    true
}
