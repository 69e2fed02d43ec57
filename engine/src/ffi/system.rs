//! The system calls that std does not offer.

#![expect(unsafe_code, reason = "forks, maps files, and advises the kernel about memory")]

use std::{fs::File, io, ops::Range, os::fd::AsRawFd, ptr, slice};

use nix::{
    errno::Errno,
    unistd::{self, ForkResult},
};

/// Forks the process.
///
/// # Errors
/// `EBUSY` when the process has a second thread; the system's own.
pub(crate) fn fork() -> Result<ForkResult, Errno> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: the process has one thread, so no lock can be held by a thread that the child lacks.
    unsafe { unistd::fork() }
}

/// Ends the process at once: no destructors, no flushing of buffers that are also the parent's.
pub(crate) fn exit_at_once(status: i32) -> ! {
    // SAFETY: never returns and touches no memory of ours.
    unsafe { nix::libc::_exit(status) }
}

/// Requests that the kernel keep whole pages of this process in huge ones, at once where it can. Refusals are ignored.
pub(crate) fn ask_for_huge_pages(addresses: Range<usize>) {
    for advice in [nix::libc::MADV_HUGEPAGE, nix::libc::MADV_COLLAPSE] {
        // SAFETY: neither advice changes content, protection or what is mapped; where nothing is mapped, the kernel returns an error.
        unsafe { nix::libc::madvise(ptr::without_provenance_mut(addresses.start), addresses.len(), advice) };
    }
}

/// Maps a file for reading, for as long as the process lives. Where the file is cut short later, reading past its end kills the process
/// that reads.
///
/// # Errors
/// The system's; an empty file cannot be mapped.
pub(crate) fn map(file: &File) -> io::Result<&'static [u8]> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let (protection, flags) = (nix::libc::PROT_READ, nix::libc::MAP_SHARED);
    // SAFETY: a new mapping at a place that the kernel chooses; it aliases nothing of ours.
    let start = unsafe { nix::libc::mmap(ptr::null_mut(), length, protection, flags, file.as_raw_fd(), 0) };
    if start == nix::libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: so many bytes are mapped there, and stay so: nothing unmaps them. Nobody writes the file: clients verify a filter, write it
    // under another name, and rename it into a directory of their own.
    Ok(unsafe { slice::from_raw_parts(start.cast(), length) })
}
