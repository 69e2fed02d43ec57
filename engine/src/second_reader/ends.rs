//! Where a packed stream ends by its own frames.
//!
//! Readers of xz and zstd take what follows a stream for more of it, and give up over it: with what came out of a small one.
//!
//! Sources: the `.xz` file format, RFC 8878.

use std::cell::OnceCell;

use memchr::memmem;

use super::marks;
use crate::{archive::crc32, ffi::libarchive::Packing};

/// Lengths of the header and of the footer of xz, and of the shortest index.
const XZ_FRAME: usize = 12;
const XZ_INDEX: usize = 8;
/// Footers that are tried for one stream, streams in a row, and most bytes of zeros between two.
const MAX_FOOTERS: usize = 64;
const MAX_IN_A_ROW: usize = 1024;
const MAX_PADDING: usize = 4096;
/// Most blocks of a stream of zstd.
const MAX_BLOCKS: usize = 1 << 16;

/// Ends of the streams within content.
pub(super) struct Ends<'c> {
    content: &'c [u8],
    /// The footers of xz, which are searched once. Attack: thousands of headers, for each of which they would be.
    footers: OnceCell<Vec<Footer>>,
}

struct Footer {
    end: usize,
    flags: [u8; 2],
    /// Bytes of the index before it.
    index: usize,
}

impl<'c> Ends<'c> {
    pub(super) fn new(content: &'c [u8]) -> Self {
        Self { content, footers: OnceCell::new() }
    }

    /// The stream at a place, and those that follow it in a row, without what comes after.
    pub(super) fn stream(&self, at: usize, packing: Packing) -> Option<&'c [u8]> {
        let end = match packing {
            Packing::Xz => self.xz(at),
            Packing::Zstd => zstd(self.content, at),
            _ => None,
        };
        self.content.get(at..end?)
    }

    fn xz(&self, at: usize) -> Option<usize> {
        let mut end = self.end_of_xz(at)?;
        for _ in 1..MAX_IN_A_ROW {
            let zeros = self.content.get(end..)?.iter().take(MAX_PADDING).take_while(|byte| **byte == 0).count();
            let Some(next) = self.end_of_xz(end + zeros).filter(|_| zeros % 4 == 0) else { break };
            end = next;
        }
        Some(end)
    }

    /// The end of the stream that begins here: the first footer of the same flags that has an index before it.
    fn end_of_xz(&self, at: usize) -> Option<usize> {
        let header = self.content.get(at..)?.first_chunk::<XZ_FRAME>()?;
        let [0xFD, b'7', b'z', b'X', b'Z', 0, flags @ ..] = header else { return None };
        let flags = flags.first_chunk::<2>()?;
        let footers = self.footers.get_or_init(|| footers(self.content));
        let from = footers.partition_point(|footer| footer.end < at + 2 * XZ_FRAME + XZ_INDEX);
        let fits = |footer: &&Footer| {
            let index = footer.end.checked_sub(XZ_FRAME + footer.index).filter(|index| *index >= at + XZ_FRAME);
            let begins = index.and_then(|index| self.content.get(index)) == Some(&0);
            footer.flags == *flags && (footer.end - at).is_multiple_of(4) && begins
        };
        footers.get(from..)?.iter().take(MAX_FOOTERS).find(fits).map(|footer| footer.end)
    }
}

/// The footers of xz within content whose sums are right.
fn footers(content: &[u8]) -> Vec<Footer> {
    let footer = |mark: usize| {
        let [sum @ .., a, b, c, d, none, check] = content.get(mark.checked_sub(10)?..)?.first_chunk::<10>()?;
        let right = crc32(&[*a, *b, *c, *d, *none, *check]) == u32::from_le_bytes(*sum);
        let index = (u32::from_le_bytes([*a, *b, *c, *d]) as usize).checked_add(1)?.checked_mul(4)?;
        (right && *none == 0).then_some(Footer { end: mark + 2, flags: [*none, *check], index })
    };
    memmem::find_iter(content, b"YZ").filter_map(footer).collect()
}

/// The end of the frames of zstd that begin here, with those to skip between them.
fn zstd(content: &[u8], at: usize) -> Option<usize> {
    let mut end = end_of_zstd(content, at)?;
    for _ in 1..MAX_IN_A_ROW {
        let next = end.checked_add(marks::skippable(content.get(end..)?))?;
        let Some(after) = end_of_zstd(content, next) else { break };
        end = after;
    }
    Some(end)
}

fn end_of_zstd(content: &[u8], at: usize) -> Option<usize> {
    let &[0x28, 0xB5, 0x2F, 0xFD, descriptor] = content.get(at..)?.first_chunk()? else { return None };
    let is_single = descriptor & 0x20 != 0;
    let dictionary = *[0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let size = *[usize::from(is_single), 2, 4, 8].get(usize::from(descriptor >> 6))?;
    let mut end = at + 5 + usize::from(!is_single) + dictionary + size;
    for _ in 0..MAX_BLOCKS {
        let &[a, b, c] = content.get(end..)?.first_chunk()?;
        let block = u32::from_le_bytes([a, b, c, 0]);
        let length = match block >> 1 & 3 {
            // One byte that is repeated.
            1 => 1,
            0 | 2 => (block >> 3) as usize,
            _ => return None,
        };
        end += 3 + length;
        if block & 1 == 1 {
            end += if descriptor & 4 == 0 { 0 } else { 4 };
            return (end <= content.len()).then_some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Forty letters, by `xz`, and by `zstd`.
    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3e0002700065d0030ee26000000000000eb1677cd1aaf12450001\
        2228f15b81b21fb6f37d010000000004595a";
    const ZSTD: &str = "28b52ffd045845000010616101001f800503ef1131";

    fn xz() -> Vec<u8> {
        hex::decode(XZ).unwrap()
    }

    fn stream(content: &[u8], at: usize, packing: Packing) -> Option<usize> {
        Ends::new(content).stream(at, packing).map(<[u8]>::len)
    }

    #[test]
    fn what_follows_a_stream_is_left_out() {
        for (stream_of, packing) in [(xz(), Packing::Xz), (hex::decode(ZSTD).unwrap(), Packing::Zstd)] {
            let length = stream_of.len();
            for follows in [&b""[..], b"some words", &[0; 7], b"YZYZYZ", &stream_of[..9]] {
                let content = [b"words", &stream_of[..], follows].concat();
                assert_eq!(stream(&content, 5, packing), Some(length), "{packing:?}: {follows:?}");
            }
            let two = [&stream_of[..], &stream_of, b"words"].concat();
            assert_eq!(stream(&two, 0, packing), Some(2 * length), "those in a row are one");
            assert_eq!(stream(&stream_of[..length - 1], 0, packing), None);
        }
        let padded = [&xz()[..], &[0; 8], &xz(), b"words"].concat();
        assert_eq!(stream(&padded, 0, Packing::Xz), Some(2 * xz().len() + 8));
    }

    #[test]
    fn a_footer_of_another_check_is_not_the_end() {
        let mut other = xz();
        let at = other.len() - 3;
        other[at] = 1;
        assert_eq!(stream(&other, 0, Packing::Xz), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, at in 0_usize..60, value: u8) {
            for (mut content, packing) in [(xz(), Packing::Xz), (hex::decode(ZSTD).unwrap(), Packing::Zstd)] {
                content.extend(&bytes);
                if let Some(byte) = content.get_mut(at) {
                    *byte = value;
                }
                stream(&content, 0, packing);
            }
        }
    }
}
