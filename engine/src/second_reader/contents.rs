//! What came out of archives and waits to be shown by libclamav, or scanned.
//!
//! Small contents wait in memory, others in files with names of our own making: nothing here has a name from an archive.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use nacre_engine_protocol::Limits;
use sha2::{Digest, Sha256};

use crate::{archive::NEVER_SHOWN_BYTES, ffi::libarchive::Reader};

/// Greatest content that waits in memory, and all of them together.
const SMALL: u64 = 256 << 10;
const MEMORY: u64 = 64 << 20;
/// Longest header of a block of a cabinet, with the bytes reserved in it.
const MAX_BLOCK_HEADER: usize = 8 + 255;
/// Zeros for holes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Content that libclamav did not show.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sha256: [u8; 32],
    /// The layer that it came out of, and that layer's depth.
    pub(crate) parent: (usize, u32),
    pub(crate) size: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(PathBuf),
}

/// What became of an entry's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it came out, of this size.
    Whole(u64),
    /// What came out before an error is kept.
    Part,
    /// It could not be kept: the disk is full.
    NoRoom,
    /// A limit was exceeded.
    Limit(&'static str),
}

/// What became of an entry's content, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) taken: Taken,
    /// The addresses of its bytes, where it is a layer that stands as it is in what is read; in a cabinet, block by block.
    pub(super) stored: Vec<Range<usize>>,
    /// Bytes of the archive that were consumed before its second piece.
    pub(super) first: Option<usize>,
}

/// All contents of one object.
#[derive(Debug)]
pub(super) struct Contents {
    scratch: PathBuf,
    limits: Limits,
    /// The layer that is being read, and its depth.
    pub(super) parent: (usize, u32),
    shown: HashSet<[u8; 32]>,
    /// By the number of the content, which is its place in the queue.
    waiting: HashMap<u64, Found>,
    numbers: HashMap<[u8; 32], u64>,
    queue: VecDeque<u64>,
    last: u64,
    in_memory: u64,
    bytes: u64,
}

impl Contents {
    pub(super) fn new(scratch: &Path, limits: &Limits) -> Self {
        Self {
            scratch: scratch.to_owned(),
            limits: *limits,
            parent: (0, 0),
            shown: HashSet::new(),
            waiting: HashMap::new(),
            numbers: HashMap::new(),
            queue: VecDeque::new(),
            last: 0,
            in_memory: 0,
            bytes: 0,
        }
    }

    /// Drops content that libclamav has shown.
    pub(super) fn is_shown(&mut self, sha256: [u8; 32]) {
        self.shown.insert(sha256);
        if let Some(found) = self.numbers.remove(&sha256).and_then(|number| self.waiting.remove(&number)) {
            self.forget(&found);
        }
    }

    /// The oldest content that waits.
    pub(super) fn take(&mut self) -> Option<Found> {
        while let Some(number) = self.queue.pop_front() {
            if let Some(found) = self.waiting.remove(&number) {
                self.numbers.remove(&found.sha256);
                self.shown.insert(found.sha256);
                return Some(found);
            }
        }
        None
    }

    fn forget(&mut self, found: &Found) {
        match &found.place {
            Place::Memory(_) => self.in_memory = self.in_memory.saturating_sub(found.size),
            // Its directory is removed with the scan.
            Place::File(path) => drop(fs::remove_file(path)),
        }
    }

    /// Takes the content of the reader's entry.
    pub(super) fn receive(&mut self, reader: &mut Reader<'_>, deadline: Instant) -> Received {
        let (mut writing, mut stored, mut first) = (self.begin(), Some(Vec::new()), None);
        let taken = loop {
            let (at, piece) = match reader.read() {
                Ok(Some(piece)) => piece,
                Ok(None) => break Taken::Whole(writing.size),
                Err(_) => break Taken::Part,
            };
            stored = stored.and_then(|stored| in_a_row(stored, at == writing.size, piece));
            if let Some(stop) = self.take_piece(&mut writing, at, piece, deadline) {
                break stop;
            }
            first.get_or_insert_with(|| reader.consumed());
        };
        let is_layer = taken == Taken::Whole(writing.size) && writing.size > NEVER_SHOWN_BYTES;
        let stored = stored.filter(|_| is_layer).unwrap_or_default();
        Received { taken: self.end(writing, taken), stored, first }
    }

    /// Takes all that a stream gives.
    pub(super) fn receive_stream(&mut self, stream: &mut impl Read, deadline: Instant) -> Taken {
        let mut writing = self.begin();
        let mut buffer = vec![0; ZEROS.len()];
        let taken = loop {
            let at = writing.size;
            let piece = match stream.read(&mut buffer) {
                Ok(0) => break Taken::Whole(at),
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(_) => break Taken::Part,
            };
            if let Some(stop) = self.take_piece(&mut writing, at, piece, deadline) {
                break stop;
            }
        };
        self.end(writing, taken)
    }

    fn begin(&mut self) -> Writing {
        self.last += 1;
        Writing {
            path: self.scratch.join(format!("second-{}", self.last)),
            memory: Vec::new(),
            room: SMALL.min(MEMORY.saturating_sub(self.in_memory)),
            file: None,
            sha256: Sha256::new(),
            size: 0,
        }
    }

    /// Takes a piece that belongs at `at`; says why no more may be taken.
    fn take_piece(&mut self, writing: &mut Writing, at: u64, piece: &[u8], deadline: Instant) -> Option<Taken> {
        let end = at.saturating_add(piece.len() as u64).max(writing.size);
        if end > self.limits.max_file_size {
            return Some(Taken::Limit("Heuristics.Limits.Exceeded.MaxFileSize"));
        }
        self.bytes += end - writing.size;
        if self.bytes > self.limits.max_scan_size {
            return Some(Taken::Limit("Heuristics.Limits.Exceeded.MaxScanSize"));
        }
        if Instant::now() > deadline {
            return Some(Taken::Limit("Heuristics.Limits.Exceeded.MaxScanTime"));
        }
        writing.take(at, piece).is_err().then_some(Taken::NoRoom)
    }

    fn end(&mut self, writing: Writing, taken: Taken) -> Taken {
        match self.keep(writing) {
            Ok(()) => taken,
            Err(name) => Taken::Limit(name),
        }
    }

    /// Keeps what came out, unless libclamav never shows such, or has shown it.
    fn keep(&mut self, writing: Writing) -> Result<(), &'static str> {
        let sha256 = writing.sha256.finalize().into();
        let place = if writing.file.is_some() { Place::File(writing.path) } else { Place::Memory(writing.memory) };
        let found = Found { sha256, parent: self.parent, size: writing.size, place };
        if matches!(found.place, Place::Memory(_)) {
            self.in_memory += found.size;
        }
        if found.size <= NEVER_SHOWN_BYTES || self.shown.contains(&sha256) || self.numbers.contains_key(&sha256) {
            self.forget(&found);
            return Ok(());
        }
        if self.waiting.len() >= self.limits.max_files as usize {
            self.forget(&found);
            return Err("Heuristics.Limits.Exceeded.MaxFiles");
        }
        self.numbers.insert(sha256, self.last);
        self.waiting.insert(self.last, found);
        self.queue.push_back(self.last);
        Ok(())
    }
}

impl Found {
    /// Opens it as a file in `scratch`.
    ///
    /// # Errors
    /// The system's: it then cannot be scanned.
    pub(crate) fn open(self, scratch: &Path) -> io::Result<File> {
        let (path, file) = match self.place {
            Place::Memory(content) => {
                let path = scratch.join("second");
                let mut file = create(&path)?;
                file.write_all(&content)?;
                (path, file)
            }
            Place::File(path) => {
                let file = File::open(&path)?;
                (path, file)
            }
        };
        fs::remove_file(&path)?;
        Ok(file)
    }
}

/// Content that is coming out.
struct Writing {
    path: PathBuf,
    memory: Vec<u8>,
    /// Bytes that may wait in memory.
    room: u64,
    file: Option<File>,
    sha256: Sha256,
    size: u64,
}

impl Writing {
    /// Takes a piece that belongs at `at`. Holes are zeros; what is behind already is not written again.
    fn take(&mut self, at: u64, piece: &[u8]) -> io::Result<()> {
        let mut hole = at.saturating_sub(self.size);
        while hole > 0 {
            let zeros = usize::try_from(hole).map_or(ZEROS.len(), |hole| hole.min(ZEROS.len()));
            self.append(ZEROS.get(..zeros).unwrap_or_default())?;
            hole -= zeros as u64;
        }
        let behind = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        self.append(piece.get(behind..).unwrap_or_default())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        if self.file.is_none() && self.size <= self.room {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let mut file = create(&self.path)?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file.insert(file)
        };
        file.write_all(bytes)
    }
}

/// Adds a piece's addresses to those before it; `None` where it does not follow them as it does in the content, but for the header of a
/// block. Attack: pieces of a sparse file, whose bytes are another file without the holes.
fn in_a_row(mut before: Vec<Range<usize>>, follows: bool, piece: &[u8]) -> Option<Vec<Range<usize>>> {
    let start = piece.as_ptr().addr();
    let end = start + piece.len();
    match before.last_mut() {
        _ if piece.is_empty() => {}
        _ if !follows => return None,
        Some(last) if last.end == start => last.end = end,
        Some(last) if !(last.end..last.end + MAX_BLOCK_HEADER).contains(&start) => return None,
        _ => before.push(start..end),
    }
    Some(before)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(scratch: &Path, length: usize) -> Taken {
        let mut contents = Contents::new(scratch, &Limits::default());
        contents.receive_stream(&mut vec![0; length].as_slice(), Instant::now() + std::time::Duration::from_hours(1))
    }

    #[test]
    fn what_cannot_be_kept_is_not_taken_for_damaged() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(taken(directory.path(), 300 << 10), Taken::Whole(300 << 10));
        assert_eq!(taken(&directory.path().join("absent"), 300 << 10), Taken::NoRoom);
        assert_eq!(taken(&directory.path().join("absent"), 1000), Taken::Whole(1000), "small content is in memory");
    }
}
