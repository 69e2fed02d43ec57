//! The predictors that `FlateDecode` and `LZWDecode` may have behind them.
//!
//! Source: ISO 32000-1, section 7.4.4.4; PNG's specification on filters.

/// What the parameters of a stream say, as far as they are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Predictor {
    /// 2 is that of TIFF, 10 and more are those of PNG.
    pub(super) number: u32,
    pub(super) colors: usize,
    pub(super) bits: usize,
    pub(super) columns: usize,
}

impl Predictor {
    /// Whether [`Self::undo`] knows it.
    pub(super) fn is_known(&self) -> bool {
        let is_tiff = self.number == 2 && self.bits == 8;
        let sizes = (1..=32).contains(&self.colors) && [1, 2, 4, 8, 16].contains(&self.bits);
        (is_tiff || self.number >= 10) && sizes && (1..=1 << 24).contains(&self.columns)
    }

    /// What was predicted. A last row may be short.
    pub(super) fn undo(&self, content: &[u8]) -> Vec<u8> {
        let pixel = (self.colors * self.bits).div_ceil(8);
        let row = (self.columns * self.colors * self.bits).div_ceil(8);
        let mut out = Vec::with_capacity(content.len());
        if self.number == 2 {
            for row in content.chunks(row) {
                let start = out.len();
                for (at, byte) in row.iter().enumerate() {
                    let left = if at < pixel { 0 } else { out.get(start + at - pixel).copied().unwrap_or_default() };
                    out.push(byte.wrapping_add(left));
                }
            }
            return out;
        }
        let mut above = vec![0; row];
        for row in content.chunks(row + 1) {
            let Some((kind, row)) = row.split_first() else { break };
            let mut now: Vec<u8> = Vec::with_capacity(row.len());
            for (at, byte) in row.iter().enumerate() {
                let left =
                    |bytes: &[u8]| at.checked_sub(pixel).and_then(|at| bytes.get(at).copied()).unwrap_or_default();
                let up = above.get(at).copied().unwrap_or_default();
                let predicted = match kind {
                    1 => left(&now),
                    2 => up,
                    3 => u8::midpoint(left(&now), up),
                    4 => paeth(left(&now), up, left(&above)),
                    _ => 0,
                };
                now.push(byte.wrapping_add(predicted));
            }
            out.extend_from_slice(&now);
            now.resize(above.len(), 0);
            above = now;
        }
        out
    }
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let distance = |byte: u8| (guess - i16::from(byte)).abs();
    if distance(left) <= distance(up) && distance(left) <= distance(corner) {
        left
    } else if distance(up) <= distance(corner) {
        up
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_they_were() {
        let predictor = Predictor { number: 15, colors: 1, bits: 8, columns: 3 };
        let rows = [[0, 1, 2, 3], [1, 1, 1, 1], [2, 1, 1, 1], [3, 1, 1, 1], [4, 1, 1, 1]].concat();
        // By hand: none; left; up; half of left and up; Paeth's.
        assert_eq!(predictor.undo(&rows), [1, 2, 3, 1, 2, 3, 2, 3, 4, 2, 3, 4, 3, 4, 5]);
        assert_eq!(Predictor { number: 2, ..predictor }.undo(&[1, 1, 1, 5, 1, 1]), [1, 2, 3, 5, 6, 7]);
        assert_eq!(predictor.undo(&[2, 1]), [1]);
    }

    #[test]
    fn odd_numbers_are_not_known() {
        let known = Predictor { number: 12, colors: 3, bits: 8, columns: 9 };
        assert!(known.is_known());
        let odd = [
            Predictor { number: 3, ..known },
            Predictor { number: 2, bits: 4, ..known },
            Predictor { colors: 0, ..known },
            Predictor { bits: 7, ..known },
            Predictor { columns: 0, ..known },
        ];
        assert!(odd.iter().all(|predictor| !predictor.is_known()));
    }
}
