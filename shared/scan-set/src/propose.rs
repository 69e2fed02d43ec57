//! Asks filters about what an object holds: its layers, what libclamav makes of them, and the sections of its programs.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::{
    filter::Filter,
    key::{Algorithms, Candidate, Digest},
    line::Kind,
    pe,
};

/// The three digests of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// MD5.
    pub md5: [u8; 16],
    /// SHA-1.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// What a filter does not rule out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    /// Which filter, by its place.
    pub filter: usize,
    /// What may be in its shards.
    pub candidate: Candidate,
}

/// The filters of all databases of a generation.
#[derive(Clone, Debug)]
pub struct Filters<'a>(pub Vec<Filter<'a>>);

impl Filters<'_> {
    /// Passes on what signatures may match in a content that libclamav matches on: a layer, or what it makes of one.
    pub fn propose_file(&self, size: u64, digests: &Digests, mut propose: impl FnMut(Proposal)) {
        let all = [Digest::Md5(digests.md5), Digest::Sha1(digests.sha1), Digest::Sha256(digests.sha256)];
        // libclamav compares 32 bits of the size.
        let size = u32::try_from(size & u64::from(u32::MAX)).unwrap_or_default();
        for digest in all {
            self.propose(Kind::File, digest, size, &mut propose);
        }
    }

    /// Passes on what signatures may match in the sections of a layer, if it is a Windows program. Hashes only sections of sizes that
    /// signatures name, as libclamav does.
    pub fn propose_sections(&self, content: &[u8], mut propose: impl FnMut(Proposal)) {
        for section in pe::sections(content) {
            let named =
                |filter: &Filter<'_>| filter.any_section_algorithms().with(filter.section_algorithms(section.size));
            let algorithms = self.0.iter().map(named).fold(Algorithms::default(), Algorithms::with);
            if algorithms.is_empty() {
                continue;
            }
            let bytes = section.of(content);
            if algorithms.contains(Algorithms::MD5) {
                self.propose(Kind::Section, Digest::Md5(Md5::digest(bytes).into()), section.size, &mut propose);
            }
            if algorithms.contains(Algorithms::SHA1) {
                self.propose(Kind::Section, Digest::Sha1(Sha1::digest(bytes).into()), section.size, &mut propose);
            }
            if algorithms.contains(Algorithms::SHA256) {
                self.propose(Kind::Section, Digest::Sha256(Sha256::digest(bytes).into()), section.size, &mut propose);
            }
        }
    }

    fn propose(&self, kind: Kind, digest: Digest, size: u32, propose: &mut impl FnMut(Proposal)) {
        // Such sizes match no signature that has one.
        let sized = (1..u32::MAX).contains(&size).then_some(Some(size));
        for size in sized.into_iter().chain([None]) {
            let candidate = Candidate { kind, digest, size };
            for (filter, asked) in self.0.iter().enumerate() {
                if asked.may_match(&candidate) {
                    propose(Proposal { filter, candidate });
                }
            }
        }
    }
}

impl Digests {
    /// Hashes a content.
    pub fn of(content: &[u8]) -> Self {
        Self {
            md5: Md5::digest(content).into(),
            sha1: Sha1::digest(content).into(),
            sha256: Sha256::digest(content).into(),
        }
    }
}
