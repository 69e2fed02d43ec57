//! Deflate as the laxest readers undo it: all that comes out before an error, whatever a stored block's complement and the window are.
//!
//! The library that unpacks elsewhere gives up at such errors, and with them what it unpacked at once before them. It is tried first: it
//! is faster.
//!
//! Source: RFC 1951.

use std::sync::LazyLock;

/// Longest code, and symbols of lengths and distances.
const MAX_BITS: usize = 15;
const LENGTHS: usize = 288;
const DISTANCES: usize = 30;
const END: usize = 256;
const LENGTH_BASE: [usize; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS: [u32; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE: [usize; DISTANCES] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
    8193, 12289, 16385, 24577,
];
const DISTANCE_BITS: [u32; DISTANCES] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
/// In which order the lengths of the codes for lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What stands before a stored block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Its length, and the complement of that.
    Plain,
    /// Its length alone, as some readers have it in installers of NSIS.
    WithoutComplement,
}

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inflated {
    pub(crate) output: Vec<u8>,
    /// It ended by its last block.
    pub(crate) is_whole: bool,
    /// A block of it is stored.
    pub(crate) has_stored: bool,
}

/// What comes out of a raw stream, at most `most` bytes.
pub(crate) fn laxly(packed: &[u8], most: usize) -> Vec<u8> {
    laxly_as(packed, most, Stored::Plain).output
}

/// The same, with blocks that are stored so.
pub(crate) fn laxly_as(packed: &[u8], most: usize, stored: Stored) -> Inflated {
    let mut inflater =
        Inflater { packed, at: 0, bits: 0, held: 0, output: Vec::new(), most, stored, has_stored: false };
    let mut ended = Some(false);
    while ended == Some(false) {
        ended = inflater.block();
    }
    inflater.output.truncate(most);
    Inflated { output: inflater.output, is_whole: ended == Some(true), has_stored: inflater.has_stored }
}

struct Inflater<'p> {
    packed: &'p [u8],
    at: usize,
    bits: u64,
    held: u32,
    output: Vec<u8>,
    most: usize,
    stored: Stored,
    has_stored: bool,
}

/// How many codes there are of each length, and their symbols in the codes' order.
struct Codes {
    counts: [usize; MAX_BITS + 1],
    symbols: Vec<usize>,
}

/// Those that a block need not bring. Attack: blocks of ten bits, for each of which they are made.
static FIXED: LazyLock<(Codes, Codes)> = LazyLock::new(|| {
    let lengths = (0..LENGTHS).map(|symbol| match symbol {
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    });
    (Codes::of(&lengths.collect::<Vec<_>>()), Codes::of(&[5; DISTANCES]))
});

impl Codes {
    fn of(lengths: &[usize]) -> Self {
        let mut counts = [0; MAX_BITS + 1];
        for length in lengths {
            counts.get_mut(*length).into_iter().for_each(|count| *count += 1);
        }
        let mut symbols: Vec<usize> = (0..lengths.len()).collect();
        symbols.retain(|symbol| lengths.get(*symbol).is_some_and(|length| (1..=MAX_BITS).contains(length)));
        // Stable: symbols of a length stay in their order.
        symbols.sort_by_key(|symbol| lengths.get(*symbol).copied());
        Self { counts, symbols }
    }
}

impl Inflater<'_> {
    /// The next bits; those behind the end are none.
    fn take(&mut self, count: u32) -> Option<usize> {
        while self.held < count {
            self.bits |= u64::from(*self.packed.get(self.at)?) << self.held;
            (self.at, self.held) = (self.at + 1, self.held + 8);
        }
        let taken = self.bits & ((1 << count) - 1);
        (self.bits, self.held) = (self.bits >> count, self.held - count);
        usize::try_from(taken).ok()
    }

    fn symbol(&mut self, codes: &Codes) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in codes.counts.get(1..)? {
            code |= self.take(1)?;
            if code < first + count {
                return codes.symbols.get(index + code.checked_sub(first)?).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// Undoes a block, and says whether it was the last; `None` at an error, at the end, and where enough came out.
    fn block(&mut self) -> Option<bool> {
        let last = self.take(1)? == 1;
        match self.take(2)? {
            0 => self.stored()?,
            1 => {
                let (lengths, distances) = &*FIXED;
                self.packed(lengths, distances)?;
            }
            2 => {
                let (lengths, distances) = self.codes()?;
                self.packed(&lengths, &distances)?;
            }
            _ => return None,
        }
        Some(last)
    }

    /// The complement of the length is not compared. A block that is cut gives what there is.
    fn stored(&mut self) -> Option<()> {
        self.has_stored = true;
        // Whole bytes that were taken ahead.
        self.at -= usize::try_from(self.held / 8).ok()?;
        (self.bits, self.held) = (0, 0);
        let &[low, high] = self.packed.get(self.at..)?.first_chunk()?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        self.at += if self.stored == Stored::Plain { 4 } else { 2 };
        let rest = self.packed.get(self.at..)?;
        let stored = rest.get(..length).unwrap_or(rest);
        self.output.extend_from_slice(stored);
        self.at += stored.len();
        (stored.len() == length && self.output.len() < self.most).then_some(())
    }

    fn codes(&mut self) -> Option<(Codes, Codes)> {
        let (lengths, distances, count) = (self.take(5)? + 257, self.take(5)? + 1, self.take(4)? + 4);
        let mut own = [0; 19];
        for symbol in ORDER.iter().take(count) {
            let length = self.take(3)?;
            own.get_mut(*symbol).into_iter().for_each(|place| *place = length);
        }
        let (own, mut all) = (Codes::of(&own), Vec::new());
        while all.len() < lengths + distances {
            let (length, times) = match self.symbol(&own)? {
                16 => (*all.last()?, 3 + self.take(2)?),
                17 => (0, 3 + self.take(3)?),
                18 => (0, 11 + self.take(7)?),
                length => (length, 1),
            };
            all.resize(all.len() + times, length);
        }
        let (lengths, rest) = all.split_at_checked(lengths)?;
        Some((Codes::of(lengths), Codes::of(rest.get(..distances)?)))
    }

    fn packed(&mut self, lengths: &Codes, distances: &Codes) -> Option<()> {
        while self.output.len() < self.most {
            let symbol = self.symbol(lengths)?;
            if let Ok(literal) = u8::try_from(symbol) {
                self.output.push(literal);
                continue;
            }
            if symbol == END {
                return Some(());
            }
            let length = symbol - END - 1;
            let length = LENGTH_BASE.get(length)? + self.take(*LENGTH_BITS.get(length)?)?;
            let distance = self.symbol(distances)?;
            let distance = DISTANCE_BASE.get(distance)? + self.take(*DISTANCE_BITS.get(distance)?)?;
            let from = self.output.len().checked_sub(distance)?;
            for at in from..from + length {
                let byte = *self.output.get(at)?;
                self.output.push(byte);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::DeflateEncoder};
    use proptest::prelude::*;

    use super::*;

    fn packed(content: &[u8], level: u32) -> Vec<u8> {
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::new(level));
        deflate.write_all(content).unwrap();
        deflate.finish().unwrap()
    }

    /// Words that are much alike.
    fn words(count: usize) -> Vec<u8> {
        (0..count).flat_map(|n| format!("word {} of {n}, ", n * 7919 % 1009).into_bytes()).collect()
    }

    #[test]
    fn every_kind_of_block_is_undone() {
        for level in [0, 1, 6, 9] {
            for content in [&b"w"[..], b"some words", &words(20_000), &vec![0; 100_000]] {
                assert_eq!(laxly(&packed(content, level), usize::MAX), content, "{level}");
            }
        }
        assert_eq!(laxly(&packed(&[0; 1000], 9), 10), [0; 10]);
    }

    #[test]
    fn errors_end_it_or_are_passed_over() {
        let mut stored = packed(b"some words", 0);
        stored[3] ^= 1;
        assert_eq!(laxly(&stored, usize::MAX), b"some words");
        assert_eq!(laxly(&stored[..9], usize::MAX), b"some");
        stored[0] = 0;
        assert_eq!(laxly(&[&stored[..], &packed(&words(100), 9)].concat(), usize::MAX)[10..], words(100));
        // No block is of this kind.
        assert_eq!(laxly(&[&stored[..], b"\x07"].concat(), usize::MAX), b"some words");
    }

    proptest! {
        #[test]
        fn any_content_comes_out_again(content: Vec<u8>, level in 0_u32..10) {
            prop_assert_eq!(laxly(&packed(&content, level), usize::MAX), content);
        }

        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, at in 0_usize..60, value: u8) {
            laxly(&bytes, 1 << 20);
            let mut damaged = packed(&words(50), 9);
            damaged[at] = value;
            laxly(&damaged, 1 << 20);
        }
    }
}
