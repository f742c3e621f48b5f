//! Opens and reads regular files that the application names.
//!
//! Other kinds of files are refused: opening a named pipe waits for a writer, and reading a device may never end.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file. Never blocks, even if the file is replaced in the meantime.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // The path is checked first, because opening a device may have side effects.
    check_regular(&std::fs::metadata(path)?)?;
    open_nonblocking(path)
}

/// Opens without waiting and checks again: a named pipe may have replaced the file since the first check.
fn open_nonblocking(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    let meta = file.metadata()?;
    check_regular(&meta)?;
    Ok((file, meta))
}

/// The text of a regular file of at most `max_bytes` bytes.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let (file, meta) = open(path)?;
    let too_large =
        || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than the limit of {max_bytes} bytes"));
    if meta.len() > max_bytes {
        return Err(too_large());
    }
    let mut text = String::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    // The file may grow while it is read.
    file.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes { Err(too_large()) } else { Ok(text) }
}

fn check_regular(meta: &Metadata) -> io::Result<()> {
    let kind = meta.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("it is {}, not a regular file", kind_in_words(kind))))
}

fn kind_in_words(kind: std::fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    let _ = kind;
    "a special file"
}

#[cfg(all(test, unix, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_replaces_the_file_before_it_is_opened_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open_nonblocking(&pipe).unwrap_err().to_string().contains("a named pipe"));
    }

    #[test]
    fn a_file_of_the_maximum_size_is_read_and_a_larger_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "1234");
        assert_eq!(read_text(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
