//! The filter of a database: whether a digest may be among its signatures, and where its shards are.
//!
//! All numbers are little-endian:
//!
//! ```text
//! header        64 bytes, see below
//! fingerprints  2 bytes each, a binary fuse filter of 16 bits
//! sizes         of the sections that signatures name: size (4), algorithms (1), zeros (3); ascending
//! lengths       of the shards, 4 bytes each, in the order of the shards' file
//! digests       SHA-256 of the shards, 32 bytes each
//! ```

use sha2::{Digest as _, Sha256};
#[cfg(feature = "packing")]
use xorf::{BinaryFuse16, DmaSerializable};
use xorf::{BinaryFuse16Ref, Filter as _, FilterRef};

use crate::key::{Algorithms, Candidate};

/// What a filter begins with, its format's number included.
const MAGIC: &[u8; 8] = b"NACREF\x01\n";
const HEADER_BYTES: usize = 64;
const SIZE_BYTES: usize = 8;
const LENGTH_BYTES: usize = 4;
const DIGEST_BYTES: usize = 32;
/// Most shards, as a power of two.
pub(crate) const MAX_SHARD_BITS: u32 = 14;
/// Longest segment that the filter's makers use.
const MAX_SEGMENT: u32 = 1 << 18;

/// Why bytes are no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// They begin as nothing that this version knows.
    #[error("it is no filter of this format")]
    Magic,
    /// Its parts are not as long as its header says.
    #[error("it is not as long as its header says")]
    Length,
    /// A number in it is impossible.
    #[error("its {0} is not possible")]
    Field(&'static str),
    /// The memory that it is in begins at an odd address.
    #[error("it is not at an even address: map the file, or copy it")]
    Unaligned,
}

/// A filter, read where it is.
#[derive(Clone, Debug)]
pub struct Filter<'a> {
    fuse: BinaryFuse16Ref<'a>,
    lines: u64,
    any_size: Algorithms,
    shard_bits: u32,
    sizes: &'a [u8],
    lengths: &'a [u8],
    digests: &'a [u8],
}

/// A shard, by its place in the shards' file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPlace {
    /// Its number.
    pub number: usize,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub length: u32,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl ShardPlace {
    /// Whether these bytes are the shard.
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length as usize && <[u8; 32]>::from(Sha256::digest(bytes)) == self.sha256
    }
}

impl<'a> Filter<'a> {
    /// Reads a filter; in no more time than it takes to check its header and section sizes.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FilterError> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(FilterError::Length)?;
        if !header.starts_with(MAGIC) {
            return Err(FilterError::Magic);
        }
        let descriptor = header.get(16..36).unwrap_or_default();
        let (segment, mask, segments) = (u32_at(header, 24), u32_at(header, 28), u32_at(header, 32));
        let (fingerprints, sizes) = (u32_at(header, 36) as usize, u32_at(header, 40) as usize);
        let shard_bits = u32_at(header, 44);
        // Any other filter would be asked for fingerprints that it does not have.
        let whole = segments.checked_add(segment.saturating_mul(2)).map(|length| length as usize);
        if !segment.is_power_of_two()
            || segment > MAX_SEGMENT
            || mask != segment - 1
            || segments % segment != 0
            || segments == 0
            || whole != Some(fingerprints)
        {
            return Err(FilterError::Field("shape"));
        }
        if shard_bits > MAX_SHARD_BITS {
            return Err(FilterError::Field("number of shards"));
        }
        let any_size = header.get(48).and_then(|bits| Algorithms::from_bits(*bits));
        let any_size = any_size.ok_or(FilterError::Field("set of algorithms"))?;
        if header.get(49..).is_none_or(|rest| rest.iter().any(|byte| *byte != 0)) {
            return Err(FilterError::Field("padding"));
        }
        let shards = 1_usize << shard_bits;
        let (fingerprints, rest) = rest.split_at_checked(fingerprints * 2).ok_or(FilterError::Length)?;
        let (sizes, rest) = rest.split_at_checked(sizes.saturating_mul(SIZE_BYTES)).ok_or(FilterError::Length)?;
        let (lengths, digests) = rest.split_at_checked(shards * LENGTH_BYTES).ok_or(FilterError::Length)?;
        if digests.len() != shards * DIGEST_BYTES {
            return Err(FilterError::Length);
        }
        let known = |entry: &[u8]| {
            let algorithms = entry.get(4).and_then(|bits| Algorithms::from_bits(*bits));
            algorithms.is_some_and(|algorithms| !algorithms.is_empty()) && entry.ends_with(&[0; 3])
        };
        let entries = || sizes.chunks_exact(SIZE_BYTES);
        if !entries().map(|entry| u32_at(entry, 0)).is_sorted_by(|a, b| a < b) || !entries().all(known) {
            return Err(FilterError::Field("list of section sizes"));
        }
        if fingerprints.as_ptr().align_offset(align_of::<u16>()) != 0 {
            return Err(FilterError::Unaligned);
        }
        let fuse = BinaryFuse16Ref::from_dma(descriptor, fingerprints);
        Ok(Self { fuse, lines: u64_at(header, 8), any_size, shard_bits, sizes, lengths, digests })
    }

    /// Number of signatures behind it.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether a signature may match a candidate. "No" is certain; "yes" is wrong once in 65,536 times.
    pub fn may_match(&self, candidate: &Candidate) -> bool {
        self.lines > 0 && self.fuse.contains(&candidate.key())
    }

    #[cfg(feature = "packing")]
    pub(crate) fn has_key(&self, key: u64) -> bool {
        self.fuse.contains(&key)
    }

    /// The algorithms by which signatures name a section of this size, with the size.
    pub fn section_algorithms(&self, size: u32) -> Algorithms {
        let (entries, _) = self.sizes.as_chunks::<SIZE_BYTES>();
        let found = entries.binary_search_by_key(&size, |entry| u32_at(entry, 0)).ok();
        let entry = found.and_then(|at| entries.get(at));
        entry.and_then(|entry| Algorithms::from_bits(entry[4])).unwrap_or_default()
    }

    /// The algorithms by which signatures name sections of any size.
    pub fn any_section_algorithms(&self) -> Algorithms {
        self.any_size
    }

    /// The shard that has a candidate's signatures, if there are any.
    pub fn shard_of(&self, candidate: &Candidate) -> ShardPlace {
        self.shard(shard_number(candidate.key(), self.shard_bits))
    }

    /// Every shard, in the order of their file.
    pub fn shards(&self) -> impl Iterator<Item = ShardPlace> {
        let digests = self.digests.chunks_exact(DIGEST_BYTES);
        self.lengths().zip(digests).enumerate().scan(0, |next, (number, (length, digest))| {
            let offset = *next;
            *next += u64::from(length);
            Some(ShardPlace { number, offset, length, sha256: digest.try_into().unwrap_or_default() })
        })
    }

    fn shard(&self, number: usize) -> ShardPlace {
        let digest = self.digests.get(number * DIGEST_BYTES..(number + 1) * DIGEST_BYTES);
        ShardPlace {
            number,
            offset: self.lengths().take(number).map(u64::from).sum(),
            length: self.lengths().nth(number).unwrap_or_default(),
            sha256: digest.and_then(|digest| digest.try_into().ok()).unwrap_or_default(),
        }
    }

    fn lengths(&self) -> impl Iterator<Item = u32> {
        self.lengths.chunks_exact(LENGTH_BYTES).map(|length| u32_at(length, 0))
    }
}

/// The number of the shard that has a key, among two to the power of `bits`.
pub(crate) fn shard_number(key: u64, bits: u32) -> usize {
    key.checked_shr(64 - bits).and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

/// What a filter is written from.
#[cfg(feature = "packing")]
pub(crate) struct Parts<'a> {
    pub(crate) fuse: &'a BinaryFuse16,
    pub(crate) lines: u64,
    pub(crate) any_size: Algorithms,
    pub(crate) sizes: &'a [(u32, Algorithms)],
    /// Length and SHA-256 of each; a power of two of them.
    pub(crate) shards: &'a [(u32, [u8; 32])],
}

#[cfg(feature = "packing")]
impl Parts<'_> {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut descriptor = [0; BinaryFuse16::DESCRIPTOR_LEN];
        self.fuse.dma_copy_descriptor_to(&mut descriptor);
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let fingerprints = &self.fuse.fingerprints;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + fingerprints.len() * 2 + self.shards.len() * 36);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.lines.to_le_bytes());
        bytes.extend_from_slice(&descriptor);
        bytes.extend_from_slice(&count(fingerprints.len()));
        bytes.extend_from_slice(&count(self.sizes.len()));
        bytes.extend_from_slice(&self.shards.len().trailing_zeros().to_le_bytes());
        bytes.push(self.any_size.bits());
        bytes.resize(HEADER_BYTES, 0);
        for fingerprint in fingerprints {
            bytes.extend_from_slice(&fingerprint.to_le_bytes());
        }
        for (size, algorithms) in self.sizes {
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&[algorithms.bits(), 0, 0, 0]);
        }
        for (length, _) in self.shards {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        for (_, sha256) in self.shards {
            bytes.extend_from_slice(sha256);
        }
        bytes
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}
