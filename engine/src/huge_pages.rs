//! Moves the loaded engine to huge pages, so that forks are cheap.
//!
//! A fork copies the page tables and an exit frees them: with small pages that took 9 ms of each object's scan over a
//! million signatures, with huge ones less than 1 ms. Linux shares them copy-on-write as it does small ones. The move takes 1.5 ms for
//! each megabyte of the engine, as much as it saves in two hundred scans: a process that scans fewer is better off without it, above all
//! at its start. So it comes after so many.

use std::{fs, ops::Range};

use crate::ffi::system;

/// Bytes of a huge page where pages have 4 KiB, as on x86-64 and most of `AArch64`.
const HUGE_PAGE: usize = 2 << 20;

/// Scans after which a process moves its memory.
pub(crate) const AFTER_SCANS: u32 = 200;

/// Least bytes of memory to move: for an engine of a few signatures the move takes longer than a fork, and a multiple of its memory.
const WORTH_IT: u64 = 64 << 20;

/// Requests that the kernel move this process's allocated memory to huge pages: Linux 6.1 does it at once, an older one later. Refusals
/// are ignored, since nothing else changes.
pub(crate) fn lay_out() {
    if resident() >= WORTH_IT {
        lay_out_all();
    }
}

/// Resident memory of this process in bytes; [`u64::MAX`] when the kernel does not report it.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib << 10)
}

fn lay_out_all() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for range in maps.lines().filter_map(allocated) {
        system::ask_for_huge_pages(range);
    }
}

/// The whole huge pages of a line of `/proc/self/maps`; `None` when it is of a file, not writable, or too small.
fn allocated(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (permissions, inode, name) = (fields.next()?, fields.nth(2)?, fields.next().unwrap_or_default());
    if permissions != "rw-p" || inode != "0" || !matches!(name, "" | "[heap]") {
        return None;
    }
    let start = usize::from_str_radix(start, 16).ok()?.checked_next_multiple_of(HUGE_PAGE)?;
    let end = usize::from_str_radix(end, 16).ok()? / HUGE_PAGE * HUGE_PAGE;
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_huge_pages_of_allocated_memory_are_asked_for() {
        let heap = "55d0001ff000-55d000801000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(allocated(heap), Some(0x55d0_0020_0000..0x55d0_0080_0000));
        assert_eq!(
            allocated("7f0000000000-7f0000200000 rw-p 00000000 00:00 0 "),
            Some(0x7f00_0000_0000..0x7f00_0020_0000)
        );
        for other in [
            "7f0000001000-7f0000200000 rw-p 00000000 00:00 0 ",
            "7f0000000000-7f0000200000 r--p 00000000 00:00 0 ",
            "7f0000000000-7f0000200000 rw-p 00000000 fe:00 1234      /usr/lib/x86_64-linux-gnu/libclamav.so.12",
            "7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0                          [stack]",
            "nonsense",
        ] {
            assert_eq!(allocated(other), None, "{other}");
        }
    }

    #[test]
    fn the_kernel_reports_resident_memory() {
        // Other tests of this process free memory meanwhile.
        let grows = (0..50).any(|_| {
            let before = resident();
            let content = vec![1_u8; 64 << 20];
            let after = resident();
            assert!(after < u64::MAX && content.len() == 64 << 20);
            after.saturating_sub(before) > 60 << 20
        });
        assert!(grows);
    }

    #[test]
    fn moved_memory_keeps_its_content() {
        let content: Vec<u8> = (0..8 << 20).map(|place: u32| (place % 251) as u8).collect();
        lay_out_all();
        assert!(content.iter().zip(0_u32..).all(|(byte, place)| u32::from(*byte) == place % 251));
    }
}
