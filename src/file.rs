//! Reads files that the application names, and only regular ones: opening a named pipe waits for a writer, and a device
//! may never end.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file and never blocks, whatever takes the file's place meanwhile.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // First by the path: opening a device may start something.
    check(&std::fs::metadata(path)?)?;
    open_at_once(path)
}

/// A named pipe may have taken the file's place since it was looked at.
fn open_at_once(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    let meta = file.metadata()?;
    check(&meta)?;
    Ok((file, meta))
}

/// The text of a regular file of at most `most` bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let (file, meta) = open(path)?;
    let too_large =
        || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than the limit of {most} bytes"));
    if meta.len() > most {
        return Err(too_large());
    }
    let mut text = String::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    // It may grow while it is read.
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most { Err(too_large()) } else { Ok(text) }
}

fn check(meta: &Metadata) -> io::Result<()> {
    let kind = meta.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("it is {}, not a regular file", name_of(kind))))
}

fn name_of(kind: std::fs::FileType) -> &'static str {
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
    fn a_pipe_that_takes_a_files_place_before_it_is_opened_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open_at_once(&pipe).unwrap_err().to_string().contains("a named pipe"));
    }

    #[test]
    fn a_file_of_the_greatest_length_is_read_and_a_longer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "1234");
        assert_eq!(read_text(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
