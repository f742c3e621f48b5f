//! The state of a file as its metadata shows it: size, times and identity.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

use super::resolve::file_id;

/// The coarsest clock of a file system in use (FAT). A file that was changed within this time may change again without
/// getting another time.
const CLOCK_GRANULARITY: Duration = Duration::from_secs(2);

#[derive(PartialEq, Eq)]
pub(super) struct FileStamp {
    len: u64,
    modified: Option<SystemTime>,
    /// A file renamed over another one may be older and of the same length.
    id: Option<(u64, u64)>,
    /// The time of the last change of content or metadata. Copying and unpacking can set back `modified`, but not this.
    changed: Option<(i64, i64)>,
    settled: bool,
}

impl FileStamp {
    pub(super) fn new(meta: &Metadata, now: SystemTime) -> Self {
        let modified = meta.modified().ok();
        let settled = modified.is_some_and(|modified| {
            let ahead = modified.duration_since(now);
            ahead.unwrap_or_else(|behind| behind.duration()) > CLOCK_GRANULARITY
        });
        Self { len: meta.len(), modified, id: file_id(meta), changed: change_time(meta), settled }
    }

    /// Whether the file is certainly unchanged in a later stamp. After a stamp that is not settled it is not certain.
    pub(super) fn is_unchanged(&self, later: &Self) -> bool {
        self.settled && self == later
    }
}

/// The time of the last change of content or metadata, if the system has it.
fn change_time(meta: &Metadata) -> Option<(i64, i64)> {
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
