//! Builds the scan set of a database, in bounded memory, file by file; the same bytes each time.
//!
//! Lines go to [`PARTITIONS`] scratch files by the first bits of their keys, so that one of these at a time is sorted in memory. What
//! stays in memory for the filter is 8 bytes a line.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
};

use sha2::{Digest as _, Sha256};
use xorf::BinaryFuse16;

use crate::{
    body::BodyWriter,
    filter::{Filter, FilterError, MAX_SHARD_BITS, Parts, shard_number},
    key::{Algorithms, Candidate},
    line::{Class, HashLine, Kind, chomped, is_comment},
    shard,
};

/// Scratch files, as a power of two.
const PARTITION_BITS: u32 = 6;
/// Number of scratch files.
pub const PARTITIONS: usize = 1 << PARTITION_BITS;
/// Lines of a shard, on average, where there are fewer than that many shards.
const SHARD_LINES: u64 = 512;
/// Buffer of a scratch file.
const BUFFER_BYTES: usize = 64 << 10;

/// Why no scan set could be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A scratch file or an output failed.
    #[error("a scan set could not be written: make room")]
    Io(#[from] io::Error),
    /// The filter could not be made of the keys.
    #[error("no filter of {0} keys could be made")]
    Construction(usize),
    /// A shard is larger than readers take.
    #[error("a shard has {0} bytes")]
    LargeShard(usize),
    /// What was built is not a filter.
    #[error("the filter that was built cannot be read")]
    Unreadable(#[from] FilterError),
    /// A key is missing.
    #[error("the filter that was built does not have all of its keys")]
    Unsound,
}

/// What was built, besides what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built<Body> {
    /// The writer that the body went to.
    pub body: Body,
    /// The filter.
    pub filter: Vec<u8>,
    /// Signatures behind the filter.
    pub lines: u64,
    /// Lines of hash signatures that stay in the body.
    pub left: u64,
}

/// Builds a scan set.
pub struct SetBuilder<Scratch: Write, Body: Write> {
    partitions: Vec<BufWriter<Scratch>>,
    body: BodyWriter<Body>,
    keys: Vec<u64>,
    section_sizes: BTreeMap<u32, Algorithms>,
    any_size: Algorithms,
    lines: u64,
    left: u64,
}

impl<Scratch: Read + Write + Seek, Body: Write> SetBuilder<Scratch, Body> {
    /// Begins a set whose body goes to `body`; `scratch` makes one of [`PARTITIONS`] empty files.
    ///
    /// # Errors
    /// Those of the files.
    pub fn new(mut scratch: impl FnMut() -> io::Result<Scratch>, body: Body) -> io::Result<Self> {
        let partition = |_| Ok(BufWriter::with_capacity(BUFFER_BYTES, scratch()?));
        Ok(Self {
            partitions: (0..PARTITIONS).map(partition).collect::<io::Result<_>>()?,
            body: BodyWriter::new(body)?,
            keys: Vec::new(),
            section_sizes: BTreeMap::new(),
            any_size: Algorithms::default(),
            lines: 0,
            left: 0,
        })
    }

    /// Adds a file of signatures.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        let Some(class) = Class::of_file(name) else { return Ok(self.body.add(name, bytes)?) };
        let mut left = Vec::new();
        for whole in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = chomped(whole);
            match HashLine::parse(class.kind(), line) {
                // Without a line feed a line may be half of one.
                Some(read) if whole.ends_with(b"\n") => self.take(class, line, &read.candidate)?,
                _ if is_comment(line) => {}
                _ => {
                    left.extend_from_slice(whole);
                    self.left += 1;
                }
            }
        }
        if left.is_empty() { Ok(()) } else { Ok(self.body.add(name, &left)?) }
    }

    fn take(&mut self, class: Class, line: &[u8], candidate: &Candidate) -> io::Result<()> {
        let key = candidate.key();
        self.keys.push(key);
        self.lines += 1;
        if candidate.kind == Kind::Section {
            let algorithm = candidate.digest.algorithm();
            let known = match candidate.size {
                Some(size) => self.section_sizes.entry(size).or_default(),
                None => &mut self.any_size,
            };
            *known = known.with(algorithm);
        }
        let partition = self.partitions.get_mut(shard_number(key, PARTITION_BITS));
        let Some(partition) = partition else { return Ok(()) };
        // A line that was read is never longer.
        let length = u16::try_from(line.len()).unwrap_or(u16::MAX);
        partition.write_all(&key.to_le_bytes())?;
        partition.write_all(&length.to_le_bytes())?;
        partition.write_all(&[class.to_byte()])?;
        partition.write_all(line)
    }

    /// Writes the shards, ends the body, and returns the filter.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn finish(self, shards: impl Write) -> Result<Built<Body>, BuildError> {
        let Self { partitions, body, mut keys, section_sizes, any_size, lines, left } = self;
        let body = body.finish()?;
        let bits = lines.div_ceil(SHARD_LINES).max(1).next_power_of_two().trailing_zeros().min(MAX_SHARD_BITS);
        let mut writer = ShardWriter { to: shards, bits, lines: Vec::new(), written: Vec::new() };
        for partition in partitions {
            writer.take(sorted(partition)?)?;
        }
        let shards = writer.finish()?;
        keys.sort_unstable();
        keys.dedup();
        let fuse = BinaryFuse16::try_from_iterator(keys.iter().copied());
        let fuse = fuse.map_err(|_| BuildError::Construction(keys.len()))?;
        let sizes: Vec<(u32, Algorithms)> = section_sizes.into_iter().collect();
        let filter = Parts { fuse: &fuse, lines, any_size, sizes: &sizes, shards: &shards }.to_bytes();
        drop(fuse);
        let read = Filter::parse(&filter)?;
        if !keys.iter().all(|key| read.has_key(*key)) {
            return Err(BuildError::Unsound);
        }
        Ok(Built { body, filter, lines, left })
    }
}

/// A line of a partition: its key, its class's byte, and itself.
type Entry = (u64, u8, Vec<u8>);

fn sorted<Scratch: Read + Write + Seek>(partition: BufWriter<Scratch>) -> io::Result<Vec<Entry>> {
    let mut file = partition.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut entries = Vec::new();
    let (mut key, mut length, mut class) = ([0; 8], [0; 2], [0]);
    loop {
        match reader.read_exact(&mut key) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        reader.read_exact(&mut length)?;
        reader.read_exact(&mut class)?;
        let mut line = vec![0; usize::from(u16::from_le_bytes(length))];
        reader.read_exact(&mut line)?;
        entries.push((u64::from_le_bytes(key), class[0], line));
    }
    entries.sort_unstable();
    entries.dedup();
    Ok(entries)
}

struct ShardWriter<To: Write> {
    to: To,
    bits: u32,
    /// Of the shard that is next.
    lines: Vec<u8>,
    written: Vec<(u32, [u8; 32])>,
}

impl<To: Write> ShardWriter<To> {
    fn take(&mut self, entries: Vec<Entry>) -> Result<(), BuildError> {
        for (key, class, line) in entries {
            while self.written.len() < shard_number(key, self.bits) {
                self.end_shard()?;
            }
            self.lines.push(class);
            self.lines.extend_from_slice(&line);
            self.lines.push(b'\n');
        }
        Ok(())
    }

    fn end_shard(&mut self) -> Result<(), BuildError> {
        if self.lines.len() as u64 > shard::MAX_SHARD_BYTES {
            return Err(BuildError::LargeShard(self.lines.len()));
        }
        let packed = shard::pack(&self.lines)?;
        self.lines.clear();
        self.to.write_all(&packed)?;
        let length = u32::try_from(packed.len()).map_err(|_| BuildError::LargeShard(packed.len()))?;
        self.written.push((length, Sha256::digest(&packed).into()));
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(u32, [u8; 32])>, BuildError> {
        while self.written.len() < 1 << self.bits {
            self.end_shard()?;
        }
        self.to.flush()?;
        Ok(self.written)
    }
}
