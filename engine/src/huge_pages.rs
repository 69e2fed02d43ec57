//! Lays what is loaded out in huge pages, so that forking over it is cheap.
//!
//! A fork copies the page tables and an exit takes them down again: with small pages that took 9 ms of each object's scan over a
//! million signatures, with huge ones less than 1 ms. Linux shares them copy-on-write as it does small ones.

use std::{fs, ops::Range};

use crate::ffi;

/// Bytes of a huge page where pages have 4 KiB, as on x86-64 and most of `AArch64`.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes of memory from which on it is worth it: an engine of a few signatures would take longer to be laid out than to be forked, and a
/// multiple of its memory.
const WORTH_IT: u64 = 64 << 20;

/// Brings the memory that this process has allocated into huge pages, as far as the kernel does that: Linux 6.1 at once, an elder one
/// in its own time. Changes nothing else, so what the kernel refuses is passed over.
pub(crate) fn lay_out() {
    if resident() >= WORTH_IT {
        lay_out_all();
    }
}

/// Bytes of this process in memory; as many as can be where the kernel does not tell.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib << 10)
}

fn lay_out_all() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for range in maps.lines().filter_map(allocated) {
        ffi::ask_for_huge_pages(range);
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
    fn the_kernel_tells_how_much_is_in_memory() {
        let before = resident();
        let content = vec![1_u8; 64 << 20];
        let after = resident();
        assert!(after < u64::MAX && after - before > 60 << 20, "{before} {after} {}", content.len());
    }

    #[test]
    fn what_is_laid_out_anew_keeps_its_content() {
        let content: Vec<u8> = (0..8 << 20).map(|place: u32| (place % 251) as u8).collect();
        lay_out_all();
        assert!(content.iter().zip(0_u32..).all(|(byte, place)| u32::from(*byte) == place % 251));
    }
}
