//! Why a folder cannot be watched, and what to do about it, in words.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a folder cannot be watched.
#[derive(Debug)]
pub(crate) struct WatchError {
    #[cfg_attr(not(all(test, not(shuttle))), expect(dead_code, reason = "only tests read it; users read the message"))]
    kind: WatchErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of [`WatchError`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchErrorKind {
    /// There is nothing at the path.
    Missing,
    /// The path leads to a file that is not a folder.
    NotAFolder,
    /// The folder cannot be read.
    Unreadable,
    /// The operating system refuses to watch, usually because of a limit.
    Refused,
}

impl WatchError {
    /// The kind of the error.
    #[cfg(all(test, not(shuttle)))]
    pub(super) fn kind(&self) -> WatchErrorKind {
        self.kind
    }

    pub(super) fn unreadable(root: &Path, source: io::Error) -> Self {
        let (kind, what) = match source.kind() {
            io::ErrorKind::NotFound => (WatchErrorKind::Missing, "there is no such folder"),
            io::ErrorKind::NotADirectory => (WatchErrorKind::NotAFolder, "it is not a folder"),
            _ => (WatchErrorKind::Unreadable, "it cannot be read"),
        };
        let message = format!("watch `{}`: {what}", root.display());
        Self { kind, message, source: Some(source.into()) }
    }

    pub(super) fn not_a_folder(root: &Path) -> Self {
        let message = format!("watch `{}`: it is not a folder", root.display());
        Self { kind: WatchErrorKind::NotAFolder, message, source: None }
    }

    pub(super) fn no_thread(source: io::Error) -> Self {
        let message = "the operating system refuses a thread that watches".to_owned();
        Self { kind: WatchErrorKind::Refused, message, source: Some(source.into()) }
    }

    pub(super) fn refused(root: &Path, refusals: &Refusals) -> Option<Self> {
        let (folder, why) = refusals.first.as_ref()?;
        let message = format!(
            "watch `{}`: {} of {} folders cannot be watched, the first is `{}`: {why}",
            root.display(),
            refusals.count,
            refusals.folders,
            folder.display(),
        );
        Some(Self { kind: WatchErrorKind::Refused, message, source: None })
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for WatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

/// The folders that the operating system refused to watch.
#[derive(Default)]
pub(super) struct Refusals {
    count: usize,
    /// The number of all folders, including refused ones.
    folders: usize,
    first: Option<(PathBuf, WatchRefusal)>,
    temporary: bool,
}

impl Refusals {
    pub(super) fn add(&mut self, folder: &Path, refusal: WatchRefusal) {
        self.count += 1;
        self.temporary |= !matches!(refusal, WatchRefusal::NoPermission);
        self.first.get_or_insert_with(|| (folder.to_owned(), refusal));
    }

    /// Sets the number of all folders, including refused ones.
    pub(super) fn set_folders(&mut self, folders: usize) {
        self.folders = folders;
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether a later attempt may succeed.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }
}

/// Why the operating system refused to watch a folder.
#[derive(Debug)]
pub(super) enum WatchRefusal {
    /// The folder vanished in the meantime.
    Gone,
    TooManyWatches,
    TooManyInstances,
    NoPermission,
    Other(String),
}

impl From<notify::Error> for WatchRefusal {
    fn from(error: notify::Error) -> Self {
        match &error.kind {
            notify::ErrorKind::PathNotFound => Self::Gone,
            notify::ErrorKind::MaxFilesWatch => Self::TooManyWatches,
            notify::ErrorKind::Io(io) => match (io.kind(), io.raw_os_error()) {
                (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _) => Self::Gone,
                (io::ErrorKind::PermissionDenied, _) => Self::NoPermission,
                // ENFILE and EMFILE, which have no stable `ErrorKind`.
                (_, Some(23 | 24)) if cfg!(unix) => Self::TooManyInstances,
                _ => Self::Other(io.to_string()),
            },
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for WatchRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it vanished"),
            Self::TooManyWatches => f.write_str(
                "the limit of watched folders is reached; raise fs.inotify.max_user_watches or use WatchMode::Poll",
            ),
            Self::TooManyInstances => f.write_str(
                "the limit of watchers or open files is reached; raise fs.inotify.max_user_instances or `ulimit -n`, or use \
                 WatchMode::Poll",
            ),
            Self::NoPermission => f.write_str("no permission to read it"),
            Self::Other(why) => write!(f, "{why}; WatchMode::Poll may work"),
        }
    }
}
