//! What a change on disk means for the templates known to a cache: `watch.rs` tells the paths, this raises the floors.

mod changed;

use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::changed::ChangedPaths;
use crate::cache::{FragmentCache, Inner};
use crate::error::{Error, ErrorKind};
use crate::loader::{read, template_folder};
use crate::observe::{By, Target};
use crate::stats::Counter;
use crate::templates::Template;
use crate::watch::{Change, WatchMode, Watcher, watch};

impl FragmentCache {
    /// Watches a template folder: saving, creating, deleting or renaming a file in it refreshes exactly the fragments
    /// that used it, or looked for it in vain. The next render after at most 250 ms sees the change. Dropping the
    /// watcher stops watching.
    ///
    /// Where notifications were lost everything made from the folder's templates is refreshed, and
    /// [`Builder::on_error`](crate::Builder::on_error) is told. A file saved without a change refreshes nothing.
    ///
    /// # Errors
    ///
    /// The folder does not exist, or the operating system refuses to watch it; then
    /// [`watch_with`](FragmentCache::watch_with) and [`WatchMode::Poll`] still work.
    pub fn watch(&self, folder: impl AsRef<Path>) -> Result<Watcher, Error> {
        self.watch_with(folder, WatchMode::Native)
    }

    /// The same with a choice of how to learn of changes. Polling shows a change after its interval, and within some
    /// seconds what came and went between two looks.
    ///
    /// # Errors
    ///
    /// As [`watch`](FragmentCache::watch).
    pub fn watch_with(&self, folder: impl AsRef<Path>, mode: WatchMode) -> Result<Watcher, Error> {
        let folder = template_folder(folder.as_ref())?;
        if let WatchMode::Poll(_) = mode {
            self.inner.polling.store(true, Ordering::Relaxed);
        }
        let refresh = Refresh { cache: Arc::downgrade(&self.inner), folder: folder.clone() };
        watch(&folder, mode, move |change| refresh.apply(&change)).map_err(|error| {
            let message = format!("cannot watch the template folder {}: {error}", folder.display());
            Error::new(ErrorKind::Templates, message).with_source(error)
        })
    }
}

/// How long after a load polling may not have seen what was loaded.
const UNSEEN: Duration = Duration::from_secs(3);

impl Inner {
    /// Polling compares one look with the one before: a file that came and went in between was loaded, and is in no
    /// look. So what was loaded lately is held against its file once more.
    pub(crate) fn recheck_loaded(&self) {
        if !self.polling.load(Ordering::Relaxed) {
            return;
        }
        for template in self.templates.all() {
            if template.path().is_some() && template.loaded_within(UNSEEN) {
                reread(self, &template);
            }
        }
    }
}

/// Weak: a watcher that outlives its cache has nothing to do.
struct Refresh {
    cache: Weak<Inner>,
    folder: PathBuf,
}

impl Refresh {
    fn apply(&self, change: &Change) {
        let Some(cache) = self.cache.upgrade() else { return };
        match change {
            Change::Paths(paths) => self.changed(&cache, paths, |template| reread(&cache, template)),
            Change::Everything { reason } => {
                self.changed(&cache, slice::from_ref(&self.folder), |template| {
                    template.change(&cache.floors);
                    true
                });
                let message =
                    format!("watching {}: {reason}; all its templates count as changed", self.folder.display());
                cache.report(&Error::new(ErrorKind::Templates, message));
            }
        }
    }

    fn changed(&self, cache: &Inner, paths: &[PathBuf], refresh: impl Fn(&Template) -> bool) {
        let mut changed = ChangedPaths::new(paths, &self.folder);
        for template in cache.templates.all() {
            if template.path().is_some_and(|file| changed.concern(file)) && refresh(&template) {
                cache.counters.count(Counter::invalidations);
                cache.observers.tell_invalidation(|| Target::Template(template.name().into()), By::Watch);
            }
        }
    }
}

/// Refreshes a template whose file no longer holds what was loaded.
fn reread(cache: &Inner, template: &Template) -> bool {
    // Without a load there is nothing to compare with. A load under way may read the old text, so this is a change too.
    if let Some(path) = template.path()
        && template.is_loaded()
        && let Ok(text) = read(path)
    {
        return template.change_if_different(text.as_deref(), &cache.floors);
    }
    // A file that cannot be read is an error of the next load.
    template.change(&cache.floors);
    true
}
