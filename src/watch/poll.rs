//! Looks at every file below a folder each interval and reports what differs from the look before.
//!
//! Knows nothing of notifications; the thread and its callback come from outside.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::inbox::Inbox;
use super::resolve::identity;
use super::{Callback, Change};

const SHORTEST: Duration = Duration::from_millis(10);

/// A day: adding `Duration::MAX` to an instant would panic.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The coarsest clock of a file system in use (FAT): a younger file may change again and keep its time.
const GRAIN: Duration = Duration::from_secs(2);

/// Files by the path the caller would use.
pub(super) type Look = BTreeMap<PathBuf, Stamp>;

#[derive(PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// A file renamed over another may be older than it, and as long.
    identity: Option<(u64, u64)>,
    /// Nobody can set it back, as copying and unpacking does with the time above.
    touched: Option<(i64, i64)>,
    settled: bool,
}

impl Stamp {
    pub(super) fn of(meta: &Metadata, now: SystemTime) -> Self {
        let modified = meta.modified().ok();
        let settled = modified.is_some_and(|modified| {
            let ahead = modified.duration_since(now);
            ahead.unwrap_or_else(|behind| behind.duration()) > GRAIN
        });
        Self { len: meta.len(), modified, identity: identity(meta), touched: touched(meta), settled }
    }

    /// A stamp that was not settled proves nothing: its file is reported again.
    pub(super) fn is_still(&self, later: &Self) -> bool {
        self.settled && self == later
    }
}

/// When content or anything about the file was changed, where the system says.
fn touched(meta: &Metadata) -> Option<(i64, i64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((meta.ctime(), meta.ctime_nsec()))
    }
    #[cfg(not(unix))]
    {
        let _ = meta;
        None
    }
}

pub(super) fn follow<F: Fn(Change)>(root: &Path, first: Look, interval: Duration, callback: &Callback<F>) {
    let mut last = Ok(first);
    let interval = interval.clamp(SHORTEST, LONGEST);
    while callback.inbox.take(Instant::now() + interval, Duration::ZERO).is_some() {
        let next = look(root, &callback.inbox);
        if callback.inbox.stopping() {
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

/// What was found until it was time to stop.
pub(super) fn look(root: &Path, inbox: &Inbox) -> io::Result<Look> {
    let mut looking = Looking { inbox, now: SystemTime::now(), trail: Vec::new(), found: Look::new() };
    looking.descend(root)?;
    Ok(looking.found)
}

struct Looking<'a> {
    inbox: &'a Inbox,
    now: SystemTime,
    /// The folders on the way here, resolved: a link back to one of them would never end.
    trail: Vec<PathBuf>,
    found: Look,
}

impl Looking<'_> {
    fn descend(&mut self, folder: &Path) -> io::Result<()> {
        let resolved = fs::canonicalize(folder)?;
        // A link may lead to all of a disk; stopping does not wait for that.
        if self.trail.contains(&resolved) || self.inbox.stopping() {
            return Ok(());
        }
        let entries = fs::read_dir(folder)?;
        self.trail.push(resolved);
        for entry in entries.flatten() {
            let path = entry.path();
            // What vanishes between listing and looking is missing in the look, and that is the report.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_dir() {
                // So is what is below a folder that cannot be read.
                let _ = self.descend(&path);
            } else {
                self.found.insert(path, Stamp::of(&meta, self.now));
            }
        }
        self.trail.pop();
        Ok(())
    }
}

fn difference(last: &Look, next: &Look) -> Vec<PathBuf> {
    let changed = next.iter().filter(|(path, stamp)| !last.get(*path).is_some_and(|old| old.is_still(stamp)));
    let gone = last.keys().filter(|path| !next.contains_key(*path));
    let mut paths: Vec<PathBuf> = changed.map(|(path, _)| path).chain(gone).cloned().collect();
    paths.sort();
    paths
}
