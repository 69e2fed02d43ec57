//! The file to scan, in the private directory.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// Whether `name` is a plain name: a file of the current directory and of no other.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !(name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']))
}

/// Opens a regular file without following a symbolic link.
///
/// # Errors
/// The operating system's; [`io::ErrorKind::InvalidInput`] for anything but a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK a named pipe would block forever. std adds O_CLOEXEC.
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}
