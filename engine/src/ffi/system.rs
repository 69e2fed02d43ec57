//! The system calls that std does not offer.

#![expect(unsafe_code, reason = "forks, maps files, and advises the kernel about memory")]

use std::{
    ffi::{c_int, c_void},
    fs::File,
    io,
    ops::Range,
    os::fd::AsRawFd,
    ptr, slice,
};

use nix::{
    errno::Errno,
    libc,
    unistd::{self, ForkResult},
};

use crate::huge_pages;

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
    unsafe { libc::_exit(status) }
}

/// Maps so many bytes that nothing uses yet, which take memory once they are written to; `None` where the kernel refuses.
pub(crate) fn reserve(length: usize) -> Option<Range<usize>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place that the kernel chooses; it aliases nothing of ours.
    let start = unsafe { mmap64(ptr::null_mut(), length, protection, flags, -1, 0) };
    let start = (start != libc::MAP_FAILED).then(|| start.expose_provenance())?;
    Some(start..start + length)
}

/// Gives back what [`reserve`] mapped and nothing uses.
pub(crate) fn unmap(addresses: Range<usize>) {
    if !addresses.is_empty() {
        let start = ptr::with_exposed_provenance_mut(addresses.start);
        // SAFETY: nothing has an address of these.
        unsafe { libc::munmap(start, addresses.len()) };
    }
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: reads a constant of the system's.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(64 << 10)
}

/// Requests that the kernel keep these addresses in huge pages. Refusals are ignored.
pub(crate) fn ask_for_huge_pages(addresses: Range<usize>) {
    let start = ptr::without_provenance_mut(addresses.start);
    // SAFETY: the advice changes neither content nor protection nor what is mapped; where nothing is mapped, the kernel returns an error.
    unsafe { libc::madvise(start, addresses.len(), libc::MADV_HUGEPAGE) };
}

/// mmap(2), of this process and of the libraries that it loads: a program's own function comes before libc's.
///
/// libclamav's memory comes from [`huge_pages`] while definitions are loaded; everything else is libc's `mmap64`.
///
/// # Safety
/// That of mmap(2).
// SAFETY: of the same type as libc's, and does what that does, at a place that the caller left to it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mmap64(
    at: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: libc::off64_t,
) -> *mut c_void {
    let is_plain = at.is_null()
        && flags == libc::MAP_PRIVATE | libc::MAP_ANONYMOUS
        && protection == libc::PROT_READ | libc::PROT_WRITE;
    if let Some(start) = is_plain.then(|| huge_pages::place(length)).flatten() {
        return ptr::with_exposed_provenance_mut(start);
    }
    // SAFETY: the caller's own call.
    let start = unsafe { libc::syscall(libc::SYS_mmap, at, length, protection, flags, file, offset) };
    // All ones, should it not fit, are `MAP_FAILED`.
    ptr::with_exposed_provenance_mut(usize::try_from(start.cast_unsigned()).unwrap_or(usize::MAX))
}

/// Maps a file for reading, for as long as the process lives. Where the file is cut short later, reading past its end kills the process
/// that reads.
///
/// # Errors
/// The system's; an empty file cannot be mapped.
pub(crate) fn map(file: &File) -> io::Result<&'static [u8]> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping at a place that the kernel chooses; it aliases nothing of ours.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: so many bytes are mapped there, and stay so: nothing unmaps them. Nobody writes the file: clients verify a filter, write it
    // under another name, and rename it into a directory of their own.
    Ok(unsafe { slice::from_raw_parts(start.cast(), length) })
}
