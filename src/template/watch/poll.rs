//! Polling: compares the files below a folder with the previous snapshot, at an interval.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::change::{Callback, Change};
use super::file_stamp::FileStamp;
use super::inbox::Inbox;

const SHORTEST: Duration = Duration::from_millis(10);

/// A day: adding `Duration::MAX` to an instant would panic.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The files below a folder, by the path that the caller would use.
pub(super) type Snapshot = BTreeMap<PathBuf, FileStamp>;

/// Polls until the watcher is stopped.
pub(super) fn run<F: Fn(Change)>(root: &Path, first: Snapshot, interval: Duration, callback: &Callback<F>) {
    let mut last = Ok(first);
    let interval = interval.clamp(SHORTEST, LONGEST);
    while callback.inbox().take(Instant::now() + interval, Duration::ZERO).is_some() {
        let next = take_snapshot(root, callback.inbox());
        if callback.inbox().stopping() {
            return;
        }
        let change = match (&last, &next) {
            (Ok(last), Ok(next)) => {
                let paths = difference(last, next);
                (!paths.is_empty()).then_some(Change::Paths(paths))
            }
            (Ok(_), Err(error)) => {
                Some(Change::Everything { reason: format!("`{}` cannot be read: {error}", root.display()) })
            }
            (Err(_), Ok(_)) => Some(Change::Everything { reason: format!("`{}` can be read again", root.display()) }),
            (Err(_), Err(_)) => None,
        };
        last = next;
        if let Some(change) = change {
            callback.call(change);
        }
    }
}

/// The files below a folder. The snapshot is incomplete if the watcher was stopped.
pub(super) fn take_snapshot(root: &Path, inbox: &Inbox) -> io::Result<Snapshot> {
    let mut walk = PollWalk { inbox, now: SystemTime::now(), above: Vec::new(), found: Snapshot::new() };
    walk.descend(root)?;
    Ok(walk.found)
}

struct PollWalk<'a> {
    inbox: &'a Inbox,
    now: SystemTime,
    /// The resolved folders above the current one. A link back to one of them would lead to an endless walk.
    above: Vec<PathBuf>,
    found: Snapshot,
}

impl PollWalk<'_> {
    fn descend(&mut self, folder: &Path) -> io::Result<()> {
        let resolved = fs::canonicalize(folder)?;
        // A link may lead to a whole disk, and stopping must not wait for that.
        if self.above.contains(&resolved) || self.inbox.stopping() {
            return Ok(());
        }
        let entries = fs::read_dir(folder)?;
        self.above.push(resolved);
        for entry in entries.flatten() {
            let path = entry.path();
            // A file that vanishes between listing and reading is missing in the snapshot, and reported for it.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_dir() {
                // The same for the files of a folder that cannot be read.
                let _ = self.descend(&path);
            } else {
                self.found.insert(path, FileStamp::new(&meta, self.now));
            }
        }
        self.above.pop();
        Ok(())
    }
}

fn difference(last: &Snapshot, next: &Snapshot) -> Vec<PathBuf> {
    let changed = next.iter().filter(|(path, stamp)| !last.get(*path).is_some_and(|old| old.is_unchanged(stamp)));
    let gone = last.keys().filter(|path| !next.contains_key(*path));
    let mut paths: Vec<PathBuf> = changed.map(|(path, _)| path).chain(gone).cloned().collect();
    paths.sort();
    paths
}
