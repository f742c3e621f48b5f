//! Folders of templates: the file of a template name, and its text.

use std::path::{Path, PathBuf};
use std::{fs, io};

use minijinja::{Error, ErrorKind};

use crate::error;
use crate::util::file::read_text;

/// The folder as an absolute path. A watcher reports absolute paths, which are compared with it.
pub(crate) fn template_folder(folder: &Path) -> Result<PathBuf, error::Error> {
    let refuse = |why: &str| {
        Err(error::Error::new(error::ErrorKind::Templates, format!("the template folder {} {why}", folder.display())))
    };
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return refuse("is not a folder"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return refuse("does not exist"),
        Err(error) => return refuse("cannot be read").map_err(|refused: error::Error| refused.with_source(error)),
    }
    std::path::absolute(folder)
        .or_else(|error| refuse("has no absolute path").map_err(|refused: error::Error| refused.with_source(error)))
}

/// The file of a template name; `None` for a name that is not below the folder.
pub(super) fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for segment in name.split('/') {
        // Rejects segments that contain a separator, a drive or a NUL, and hidden ones, which include `.` and `..`.
        if segment.is_empty() || segment.starts_with('.') || segment.contains(['\\', ':', '\0']) {
            return None;
        }
        path.push(segment);
    }
    Some(path)
}

/// Maximum size of a template file in bytes.
const LARGEST: u64 = 64 << 20;

pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match read_text(path, LARGEST) {
        Ok(source) => Ok(Some(source)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => {
            let message = format!("could not read template file {}: {error}", path.display());
            Err(Error::new(ErrorKind::InvalidOperation, message).with_source(error))
        }
    }
}
