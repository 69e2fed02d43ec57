//! Lzma as the laxest readers undo it: all that comes out before an error, by any properties and with any dictionary.
//!
//! libarchive knows a stream by the dictionary that it names, and drops what came out just before an error.
//!
//! Source: the specification of LZMA in 7-Zip's SDK (`lzma-specification.txt`).

/// Bytes of the header, and what a size that is not known is.
const HEADER: usize = 13;
const UNKNOWN: u64 = u64::MAX;
/// States, and states of a position.
const STATES: usize = 12;
const POSITIONS: usize = 16;
/// Where the probabilities of each decision begin.
const IS_MATCH: usize = 0;
const IS_REPEATED: usize = IS_MATCH + STATES * POSITIONS;
const IS_NOT_FIRST: usize = IS_REPEATED + STATES;
const IS_NOT_SECOND: usize = IS_NOT_FIRST + STATES;
const IS_NOT_THIRD: usize = IS_NOT_SECOND + STATES;
const IS_LONG: usize = IS_NOT_THIRD + STATES;
const SLOT: usize = IS_LONG + STATES * POSITIONS;
const SPECIAL: usize = SLOT + 4 * 64;
const ALIGNED: usize = SPECIAL + 115;
const LENGTH: usize = ALIGNED + 16;
const REPEATED_LENGTH: usize = LENGTH + 2 + 2 * POSITIONS * 8 + 256;
const LITERAL: usize = REPEATED_LENGTH + 2 + 2 * POSITIONS * 8 + 256;
const PER_LITERAL: usize = 0x300;

/// What comes out, at most `most` bytes; nothing, where it is no such stream.
pub(crate) fn laxly(content: &[u8], most: usize) -> Vec<u8> {
    let Some((&[properties, _, _, _, _, ref size @ ..], coded)) = content.split_first_chunk::<HEADER>() else {
        return Vec::new();
    };
    let Some(code) = coded.get(1..).and_then(|coded| coded.first_chunk()).filter(|_| properties < 225) else {
        return Vec::new();
    };
    let (lc, rest) = (properties % 9, properties / 9);
    let (lp, pb) = (rest % 5, rest / 5);
    let size = u64::from_le_bytes(*size);
    let most = if size == UNKNOWN { most } else { usize::try_from(size).unwrap_or(most).min(most) };
    let mut decoder = Decoder {
        coded: coded.get(5..).unwrap_or_default(),
        range: u32::MAX,
        code: u32::from_be_bytes(*code),
        probabilities: vec![1 << 10; LITERAL + (PER_LITERAL << (lc + lp))],
        literal: (u32::from(lc), (1 << lp) - 1),
        position: (1 << pb) - 1,
        state: 0,
        back: [0; 4],
        output: Vec::new(),
    };
    while decoder.output.len() < most && decoder.step().is_some() {}
    decoder.output.truncate(most);
    decoder.output
}

struct Decoder<'c> {
    coded: &'c [u8],
    range: u32,
    code: u32,
    probabilities: Vec<u16>,
    /// Bits of the byte before, and which of the position's choose a literal's probabilities.
    literal: (u32, usize),
    /// Bits of the position that count.
    position: usize,
    state: usize,
    /// How far back the last copies were from.
    back: [usize; 4],
    output: Vec<u8>,
}

impl Decoder<'_> {
    /// A further byte where the range is small. `None` at the end.
    fn normalize(&mut self) -> Option<()> {
        if self.range < 1 << 24 {
            let (next, rest) = self.coded.split_first()?;
            self.coded = rest;
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(*next);
        }
        Some(())
    }

    fn bit(&mut self, at: usize) -> Option<usize> {
        self.normalize()?;
        let probability = self.probabilities.get_mut(at)?;
        let bound = (self.range >> 11) * u32::from(*probability);
        if self.code < bound {
            self.range = bound;
            *probability += (2048 - *probability) >> 5;
            Some(0)
        } else {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> 5;
            Some(1)
        }
    }

    fn tree(&mut self, at: usize, bits: u32) -> Option<usize> {
        let mut symbol = 1;
        for _ in 0..bits {
            symbol = symbol << 1 | self.bit(at + symbol)?;
        }
        Some(symbol - (1 << bits))
    }

    fn reversed_tree(&mut self, at: usize, bits: u32) -> Option<usize> {
        let (mut node, mut symbol) = (1, 0);
        for place in 0..bits {
            let bit = self.bit(at + node)?;
            node = node << 1 | bit;
            symbol |= bit << place;
        }
        Some(symbol)
    }

    fn direct(&mut self, bits: u32) -> Option<usize> {
        let mut number = 0;
        for _ in 0..bits {
            self.normalize()?;
            self.range >>= 1;
            let bit = usize::from(self.code >= self.range);
            if bit == 1 {
                self.code -= self.range;
            }
            number = number << 1 | bit;
        }
        Some(number)
    }

    fn length(&mut self, at: usize, position: usize) -> Option<usize> {
        let (low, middle) = (at + 2 + position * 8, at + 2 + (POSITIONS + position) * 8);
        if self.bit(at)? == 0 {
            return self.tree(low, 3);
        }
        if self.bit(at + 1)? == 0 {
            return Some(8 + self.tree(middle, 3)?);
        }
        Some(16 + self.tree(at + 2 + 2 * POSITIONS * 8, 8)?)
    }

    fn distance(&mut self, length: usize) -> Option<usize> {
        let slot = self.tree(SLOT + 64 * length.min(3), 6)?;
        if slot < 4 {
            return Some(slot);
        }
        let bits = u32::try_from((slot >> 1) - 1).ok()?;
        let base = (2 | slot & 1) << bits;
        if slot < 14 {
            return Some(base + self.reversed_tree(SPECIAL + base - slot, bits)?);
        }
        Some(base + (self.direct(bits - 4)? << 4) + self.reversed_tree(ALIGNED, 4)?)
    }

    /// A literal or a copy; `None` at an error and at the end.
    fn step(&mut self) -> Option<()> {
        let (position, state) = (self.output.len() & self.position, self.state);
        if self.bit(IS_MATCH + state * POSITIONS + position)? == 0 {
            return self.literal();
        }
        let length = if self.bit(IS_REPEATED + state)? == 0 {
            let [first, second, third, _] = self.back;
            let length = self.length(LENGTH, position)?;
            self.back = [self.distance(length)?, first, second, third];
            self.state = if state < 7 { 7 } else { 10 };
            length + 2
        } else {
            self.repeated(state, position)?
        };
        let [back, ..] = self.back;
        let from = self.output.len().checked_sub(back.checked_add(1)?)?;
        for at in from..from + length {
            let byte = *self.output.get(at)?;
            self.output.push(byte);
        }
        Some(())
    }

    /// How much is copied from where an earlier copy was from.
    fn repeated(&mut self, state: usize, position: usize) -> Option<usize> {
        let [first, second, third, fourth] = self.back;
        if self.bit(IS_NOT_FIRST + state)? == 0 {
            if self.bit(IS_LONG + state * POSITIONS + position)? == 0 {
                self.state = if state < 7 { 9 } else { 11 };
                return Some(1);
            }
        } else if self.bit(IS_NOT_SECOND + state)? == 0 {
            self.back = [second, first, third, fourth];
        } else if self.bit(IS_NOT_THIRD + state)? == 0 {
            self.back = [third, first, second, fourth];
        } else {
            self.back = [fourth, first, second, third];
        }
        self.state = if state < 7 { 8 } else { 11 };
        Some(self.length(REPEATED_LENGTH, position)? + 2)
    }

    fn literal(&mut self) -> Option<()> {
        let (bits, mask) = self.literal;
        let before = usize::from(self.output.last().copied().unwrap_or_default());
        let at = LITERAL + PER_LITERAL * (((self.output.len() & mask) << bits) + (before >> (8 - bits)));
        let mut symbol = 1;
        if self.state >= 7 {
            let [back, ..] = self.back;
            let from = self.output.len().checked_sub(back.checked_add(1)?)?;
            let mut other = usize::from(*self.output.get(from)?);
            while symbol < 0x100 {
                other <<= 1;
                let expected = other & 0x100;
                let bit = self.bit(at + 0x100 + expected + symbol)?;
                symbol = symbol << 1 | bit;
                if expected >> 8 != bit {
                    break;
                }
            }
        }
        while symbol < 0x100 {
            symbol = symbol << 1 | self.bit(at + symbol)?;
        }
        self.output.push(u8::try_from(symbol & 0xFF).ok()?);
        self.state = match self.state {
            0..4 => 0,
            4..10 => self.state - 3,
            _ => self.state - 6,
        };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] =
        b"words and words and other words, words and words and words: aaaaaaaaaaaaaaaaaaaaaaa and other words";
    /// `TEXT`, as Python's `lzma` packs it with these bits of literals, of their positions and of positions.
    const PACKED: [(&str, &str); 3] = [
        (
            "3, 0, 2",
            "5d00000100ffffffffffffffff003b9bcaaad4b052420dbe8e480af01cd8360e085c2ef283f6d2c1d9ae61c0f0fb4a9eb8fffa363400",
        ),
        (
            "0, 4, 4",
            "d800000100ffffffffffffffff003b9bca46439880c26e3208280d1bcf0705b47aaeb4dfd970e353d19482abcc9fb69f2bffffe2548000",
        ),
        (
            "4, 0, 0",
            "0400000100ffffffffffffffff003b9ca9a10665d1011b37bf5032469239d9de768770347afbce7164e25da595bec363827ffdfd0400",
        ),
    ];

    #[test]
    fn any_properties_are_undone() {
        for (properties, packed) in PACKED {
            let packed = hex::decode(packed).unwrap();
            assert_eq!(laxly(&packed, usize::MAX), TEXT, "{properties}");
            assert_eq!(laxly(&packed, 10), TEXT[..10]);
            let mut sized = packed.clone();
            sized[1..13].copy_from_slice(&[7, 7, 7, 7, 20, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(laxly(&sized, usize::MAX), TEXT[..20], "{properties}");
        }
    }

    #[test]
    fn what_comes_out_before_an_end_or_an_error_stays() {
        let packed = hex::decode(PACKED[0].1).unwrap();
        let cut = laxly(&packed[..packed.len() - 20], usize::MAX);
        assert!(cut.len() > 20 && TEXT.starts_with(&cut), "{cut:?}");
        assert!(laxly(&[225; 40], usize::MAX).is_empty() && laxly(&packed[..15], usize::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, properties in 0_u8..225, at in 13_usize..50, value: u8) {
            laxly(&[&[properties][..], &[0xFF; 12], &[0], &bytes].concat(), 1 << 16);
            let mut damaged = hex::decode(PACKED[0].1).unwrap();
            damaged[at] = value;
            laxly(&damaged, 1 << 16);
        }
    }
}
