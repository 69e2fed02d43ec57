//! A delta of given lines.

use super::{Count, Delta, DeltaLine};

impl FromIterator<(DeltaLine, Count)> for Delta {
    /// Counts of one line are added up.
    fn from_iter<Lines: IntoIterator<Item = (DeltaLine, Count)>>(lines: Lines) -> Self {
        let mut delta = Self::default();
        for (line, count) in lines {
            delta.add(line, count);
        }
        delta
    }
}
