//! Packed streams with hardly a mark: zlib that is all of a layer, and lzma of properties and a dictionary that no encoder chooses.
//!
//! libarchive does not know them. They are tried wherever a layer may begin with one, and what comes out before an error is scanned.

use flate2::read::DeflateDecoder;

use super::{Reading, SecondReader, Taken, marks};
use crate::{inflate, unlzma};

/// Header and sum of zlib, and most bytes of a damaged stream of it.
const ZLIB_FRAME: u64 = 6;
const MAX_DAMAGED: usize = 32 << 20;
/// Bytes from which on what lzma unpacks to is no chance: a mark of a few bits has other contents, such as zips, taken for it.
const MIN_LZMA: usize = 32;

impl SecondReader {
    /// Takes out what lzma with any properties and any dictionary holds: it has no mark, so that nothing follows from what does not come
    /// out. `lzma86` has a byte before it, for a filter that is undone nowhere here.
    pub(super) fn odd_lzma(&mut self, content: &[u8], reading: &mut Reading) {
        let (layer, depth) = self.contents.parent;
        let mut unpack = |lzma: &[u8]| {
            let unpacked = if marks::may_be_lzma(lzma) { unlzma::laxly(lzma, MAX_DAMAGED) } else { Vec::new() };
            let is_content = unpacked.len() >= MIN_LZMA;
            if is_content {
                self.keep(unpacked.as_slice(), layer, depth);
            }
            let is_whole = lzma.get(5..13).is_some_and(|size| *size == (unpacked.len() as u64).to_le_bytes());
            // Zeros unpack to zeros, and other files have them as well.
            let is_content = is_content && unpacked.windows(2).any(|pair| !matches!(pair, [a, b] if a == b));
            // Attack: what lies beyond what is unpacked here.
            (is_whole && is_content, is_content && unpacked.len() >= MAX_DAMAGED)
        };
        let (_, is_more) = unpack(content);
        reading.unopened += u64::from(is_more);
        if let Some((filter @ (0 | 1), lzma)) = content.split_first() {
            let (is_whole, is_more) = unpack(lzma);
            reading.unopened += u64::from(is_more || *filter == 1 && is_whole);
        }
    }

    /// Takes out what a zlib stream holds that is all of the content; `None` when it is none: its mark is a few bits.
    pub(super) fn zlib(&mut self, content: &[u8]) -> Option<Taken> {
        let &[method, flags, ..] = content else { return None };
        let is_marked =
            method & 0x8F == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31) && flags & 0x20 == 0;
        is_marked.then_some(())?;
        // Neither the window nor the sum is compared: readers of their own pass over both.
        let packed = content.get(2..)?;
        let mut stream = DeflateDecoder::new(packed);
        let taken = self.contents.receive_stream(&mut stream, self.deadline);
        self.is_stopped_by(taken);
        if taken == Taken::Part {
            let (layer, depth) = self.contents.parent;
            self.keep(inflate::laxly(packed, MAX_DAMAGED).as_slice(), layer, depth);
            return None;
        }
        (stream.total_in() + ZLIB_FRAME == content.len() as u64).then_some(taken)
    }
}
