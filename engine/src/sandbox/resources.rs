//! Limits on memory, files and time (`setrlimit`).

use std::{fs, io, time::Duration};

use nacre_engine_protocol::Limits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Most descriptors that a process may hold; libclamav keeps a few per level of nesting.
pub(super) const MAX_DESCRIPTORS: u64 = 256;
/// Bytes of a page, at least: `/proc/self/statm` counts in pages.
const PAGE_BYTES: u64 = 4096;
/// A temporary file may outgrow the limit for a layer by this: what libclamav writes is measured only afterwards.
const FILE_SLACK: u64 = 16 << 20;
/// Seconds of processor time past the deadline, after which the kernel kills a worker even when the zygote is stopped.
const PROCESSOR_GRACE: u64 = 2;

/// Bounds the zygote and, until they have work, its workers.
pub(crate) fn bound_zygote() -> io::Result<()> {
    // A core dump would keep an object's content after its scan.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    lower(Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS)
}

/// Bounds this worker for a scan of `object_bytes`.
pub(crate) fn bound_worker(object_bytes: u64, limits: &Limits, deadline: Duration) -> io::Result<()> {
    // The loaded engine is mapped already and shared; libclamav maps the object whole.
    let memory = mapped_bytes()?.saturating_add(object_bytes).saturating_add(limits.max_memory);
    lower(Resource::RLIMIT_AS, memory)?;
    lower(Resource::RLIMIT_FSIZE, limits.max_file_size.saturating_mul(2).saturating_add(FILE_SLACK))?;
    lower(Resource::RLIMIT_CPU, deadline.as_secs().saturating_add(PROCESSOR_GRACE))
}

/// Lowers a limit to `bound`; a lower one stays.
fn lower(resource: Resource, bound: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let bound = bound.min(hard);
    Ok(setrlimit(resource, bound, bound)?)
}

/// Bytes of address space that this process has.
fn mapped_bytes() -> io::Result<u64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let unread = || io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm has no size");
    Ok(pages.ok_or_else(unread)?.saturating_mul(PAGE_BYTES))
}
