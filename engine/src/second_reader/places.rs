//! Where the members of archives stand in a layer, and which bytes that leaves to be searched.

use std::{collections::BTreeMap, ops::Range};

use crate::ffi::libarchive::Packing;

/// Most places that are kept of a layer: what is past them is read as if it were no member's.
const MAX_PLACES: usize = 1 << 17;

/// Places in a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Members that stand in it as they are, each of which is a layer by itself, and packed data that was unpacked, in which stand pieces
    /// of what it unpacks to: their ends by their starts.
    members: BTreeMap<usize, usize>,
    /// Headers of members: each is a mark of the archive that was read. Attack: another's mark where a reader skips what is none.
    headers: BTreeMap<usize, Packing>,
}

impl Places {
    pub(super) fn add_member(&mut self, place: Range<usize>) {
        add(&mut self.members, place);
    }

    pub(super) fn add_members(&mut self, places: Vec<Range<usize>>) {
        for place in places {
            self.add_member(place);
        }
    }

    /// Adds headers of an archive that begins at `base`.
    pub(super) fn add_headers(&mut self, headers: Vec<usize>, base: usize, packing: Packing) {
        for header in headers.into_iter().take(MAX_PLACES.saturating_sub(self.headers.len())) {
            self.headers.insert(base.saturating_add(header), packing);
        }
    }

    /// Adds those of an archive within the layer.
    pub(super) fn append(&mut self, mut other: Self) {
        self.members.append(&mut other.members);
        self.headers.append(&mut other.headers);
    }

    /// From where on is to be searched where a mark of this is at this place: behind the member that it is of, or behind a header that is known.
    pub(super) fn passed(&self, at: usize, packing: Option<Packing>) -> Option<usize> {
        let member = self.members.range(..=at).next_back().map(|(_, end)| *end).filter(|end| *end > at);
        member.or_else(|| (packing.is_some() && self.headers.get(&at) == packing.as_ref()).then_some(at + 1))
    }

    /// The members, from front to back.
    pub(super) fn members(&self) -> Vec<Range<usize>> {
        self.members.iter().map(|(start, end)| *start..*end).collect()
    }

    /// The parts of `within` that are no member's.
    pub(super) fn without_members(&self, within: Range<usize>) -> Vec<Range<usize>> {
        let (mut at, mut parts) = (within.start, Vec::new());
        if within.is_empty() {
            return parts;
        }
        let before = self.members.range(..=at).next_back();
        let members = before.into_iter().chain(self.members.range(within.clone()));
        for (start, end) in members.chain([(&within.end, &within.end)]) {
            if *start > at {
                parts.push(at..*start);
            }
            at = at.max(*end);
        }
        parts
    }
}

/// The addresses of content.
pub(super) fn addresses(content: &[u8]) -> Range<usize> {
    let start = content.as_ptr().addr();
    start..start.saturating_add(content.len())
}

/// Where bytes at these addresses are in the layer; `None` for a copy.
pub(super) fn place_in(layer: &Range<usize>, addresses: &Range<usize>) -> Option<Range<usize>> {
    let is_within = addresses.start >= layer.start && addresses.end <= layer.end;
    is_within.then(|| addresses.start - layer.start..addresses.end - layer.start)
}

/// Adds a place, to the one before it where they touch.
fn add(places: &mut BTreeMap<usize, usize>, place: Range<usize>) {
    if place.is_empty() {
        return;
    }
    let before = places.range_mut(..=place.start).next_back();
    if let Some((_, end)) = before.filter(|(_, end)| **end >= place.start) {
        *end = place.end.max(*end);
    } else if places.len() < MAX_PLACES {
        places.insert(place.start, place.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_no_members() {
        let mut places = Places::default();
        for place in [10..20, 20..25, 12..15, 40..50, 60..60] {
            places.add_member(place);
        }
        places.add_member(30..35);
        places.add_headers(vec![5], 0, Packing::Tar);
        assert_eq!(places.without_members(0..45), [0..10, 25..30, 35..40]);
        assert_eq!(places.without_members(12..70), [25..30, 35..40, 50..70]);
        assert_eq!(places.without_members(50..50), []);
        assert_eq!(places.members(), [10..25, 30..35, 40..50]);
        let passed = [0, 5, 10, 24, 25, 32, 49].map(|at| places.passed(at, Some(Packing::Tar)));
        assert_eq!(places.passed(5, Some(Packing::Cab)), None);
        assert_eq!(passed, [None, Some(6), Some(25), Some(25), None, Some(35), Some(50)]);
    }
}
