//! Sets of ClamAV's matcher targets.

use std::ops::BitOrAssign;

/// A set of matcher targets: 0 is any file, 1 programs for Windows, 7 text, and so on to 14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Targets(u16);

impl Targets {
    /// None. In a record: it is not known which ran.
    pub const NONE: Self = Self(0);
    /// All that there can be.
    pub const ALL: Self = Self(u16::MAX);

    /// The targets whose bits are set, as in the engine's reports and in records.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// One bit for each target.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// A single target. One that no record can have is taken for all of them: a signature for it must not go unseen.
    pub const fn of(target: u8) -> Self {
        if target < 16 { Self(1 << target) } else { Self::ALL }
    }

    /// Whether it has no target.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether both have one in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The targets, in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..16).filter(move |target| self.0 & 1 << target != 0)
    }
}

impl BitOrAssign for Targets {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_is_the_union_of_its_targets(bits: u16, target: u8) {
            let set = Targets::from_bits(bits);
            let mut union = Targets::NONE;
            set.iter().for_each(|target| union |= Targets::of(target));
            prop_assert_eq!((union, union.bits(), union.is_empty()), (set, bits, bits == 0));
            let has = set.iter().any(|one| one == target) || (target > 15 && bits != 0);
            prop_assert_eq!(set.intersects(Targets::of(target)), has);
        }
    }
}
