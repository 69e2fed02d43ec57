//! Shards: the exact lines behind a filter, in the order of their keys, compressed each by itself.
//!
//! A line is kept as it stands in its file, since `ign2` may name the MD5 of the whole line, behind one byte for its class.

use std::io::Read;

use crate::{
    key::Candidate,
    line::{Class, HashLine},
};

/// Most bytes of a shard, unpacked. One has about a thousand lines.
pub const MAX_SHARD_BYTES: u64 = 16 << 20;

/// How hard shards are compressed. Digests do not get smaller by trying harder.
const LEVEL: i32 = 3;

/// Why bytes are no shard.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// They cannot be unpacked.
    #[error("it cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// Unpacked, they are too many.
    #[error("it is longer than {MAX_SHARD_BYTES} bytes")]
    TooLong,
    /// A line is none.
    #[error("line {0} is not a line of a shard")]
    Line(usize),
}

/// A signature that matches a candidate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The kind of file that it stands in.
    pub class: Class,
    /// The line as it stands there, without its end.
    pub line: Vec<u8>,
}

/// Packs lines, each with its class before it and a line feed after it.
pub(crate) fn pack(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(lines, LEVEL)
}

/// Returns the signatures of a shard that match one of these candidates exactly, sorted.
///
/// # Errors
/// [`ShardError`]: then nothing is known about the candidates.
pub fn hits(shard: &[u8], candidates: &[Candidate]) -> Result<Vec<Hit>, ShardError> {
    let mut hits = Vec::new();
    for_each_line(shard, |class, line, read| {
        if candidates.contains(&read.candidate) {
            hits.push(Hit { class, line: line.to_vec() });
        }
    })?;
    hits.sort_unstable();
    hits.dedup();
    Ok(hits)
}

/// Reads every line of a shard.
///
/// # Errors
/// [`ShardError`].
pub fn for_each_line(shard: &[u8], mut see: impl FnMut(Class, &[u8], &HashLine<'_>)) -> Result<(), ShardError> {
    let mut unpacked = Vec::new();
    let decoder = zstd::Decoder::with_buffer(shard).map_err(ShardError::Unpack)?;
    decoder.take(MAX_SHARD_BYTES + 1).read_to_end(&mut unpacked).map_err(ShardError::Unpack)?;
    if unpacked.len() as u64 > MAX_SHARD_BYTES {
        return Err(ShardError::TooLong);
    }
    for (number, whole) in unpacked.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let read = || {
            let (class, line) = whole.strip_suffix(b"\n")?.split_first()?;
            let class = Class::from_byte(*class)?;
            Some((class, line, HashLine::parse(class.kind(), line)?))
        };
        let (class, line, read) = read().ok_or(ShardError::Line(number + 1))?;
        see(class, line, &read);
    }
    Ok(())
}
