//! The payload of a container: a V7 tar without end blocks, gzipped or plain, read within limits.
//!
//! Source: clamav.md §1.2, after libclamav `cvd.c` (`cli_tgzload`) and `common/tar.c`.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// Bytes of a piece of a compressed member: few enough for a processor's cache.
const PIECE: usize = 64 << 10;

/// What every payload that is not gzipped begins with.
const PLAIN_START: &[u8] = b"COPYING";

/// Bounds of what is unpacked: they stop a small file that inflates without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of the whole archive, unpacked; default 1 GiB. `main` had 443 MB at its largest.
    pub unpacked_bytes: u64,
    /// Bytes of one member; default 512 MiB.
    pub member_bytes: u64,
    /// Number of members; default 128. `daily` has 24.
    pub members: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { unpacked_bytes: 1 << 30, member_bytes: 512 << 20, members: 128 }
    }
}

/// Why an archive is not read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The compressed data is broken.
    #[error("the archive cannot be unpacked")]
    Broken(#[source] io::Error),
    /// It ends in the middle of a header or a member.
    #[error("the archive is truncated")]
    Truncated,
    /// More than [`ArchiveLimits::unpacked_bytes`].
    #[error("the archive unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// More than [`ArchiveLimits::members`].
    #[error("the archive has more than {0} members")]
    TooMany(usize),
    /// A member has more than [`ArchiveLimits::member_bytes`].
    #[error("member {name} has {size} bytes, more than {limit}")]
    MemberTooLarge {
        /// The member.
        name: String,
        /// The size in its header.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A header's checksum is wrong.
    #[error("a member's header is damaged")]
    Checksum,
    /// A number in a header is not octal.
    #[error("a number in a member's header is not octal")]
    Number,
    /// A name that is empty, no text, or could lead out of a directory.
    #[error("{0:?} is not a valid name of a member")]
    Name(String),
    /// A link, a directory, or something else that is not a file.
    #[error("member {0} is not a regular file")]
    NotAFile(String),
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// A plain file name.
    pub name: String,
    /// Its content: a part of the payload where that is not compressed.
    pub bytes: Cow<'a, [u8]>,
}

/// Reads a payload member by member; holds one at a time.
pub struct Members<'a> {
    source: Source<'a>,
    limits: ArchiveLimits,
    read: usize,
    done: bool,
}

/// Where members are read from.
enum Source<'a> {
    Plain(&'a [u8]),
    Gzip(Box<Counted<MultiGzDecoder<&'a [u8]>>>),
}

/// Reads the members of a container's payload. All parts of a gzip file count, as they do for libclamav: a second one must
/// not add members that were not verified.
pub fn members(payload: &[u8], limits: ArchiveLimits) -> Members<'_> {
    let source = if payload.starts_with(PLAIN_START) {
        Source::Plain(payload)
    } else {
        Source::Gzip(Box::new(Counted { inner: MultiGzDecoder::new(payload), left: limits.unpacked_bytes }))
    };
    Members { source, limits, read: 0, done: false }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let member = self.member().transpose();
        self.done = !matches!(member, Some(Ok(_)));
        member
    }
}

impl<'a> Members<'a> {
    /// Reads the next member piece by piece, for a caller that reads it once and does not keep it. Returns its name and size when
    /// all of it was read.
    ///
    /// # Errors
    /// [`ArchiveError`], after which nothing more is read.
    pub fn next_in_pieces(&mut self, see: impl FnMut(&str, &[u8])) -> Result<Option<(String, u64)>, ArchiveError> {
        if self.done {
            return Ok(None);
        }
        let seen = self.in_pieces(see);
        self.done = !matches!(seen, Ok(Some(_)));
        seen
    }

    fn in_pieces(&mut self, mut see: impl FnMut(&str, &[u8])) -> Result<Option<(String, u64)>, ArchiveError> {
        let Some((name, size)) = self.head()? else { return Ok(None) };
        match &mut self.source {
            Source::Plain(_) => {
                let bytes = self.take(size)?;
                see(&name, &bytes);
                self.end(size, bytes.len())?;
            }
            Source::Gzip(reader) => {
                let (mut piece, mut left) = (vec![0; PIECE.min(size)], size);
                while left > 0 {
                    let room = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
                    let read = reader.read(room).map_err(|error| unreadable(error, self.limits))?;
                    if read == 0 {
                        break;
                    }
                    see(&name, room.get(..read).unwrap_or_default());
                    left -= read;
                }
                self.end(size, size - left)?;
            }
        }
        Ok(Some((name, size as u64)))
    }

    fn member(&mut self) -> Result<Option<Member<'a>>, ArchiveError> {
        let Some((name, size)) = self.head()? else { return Ok(None) };
        let bytes = self.take(size)?;
        self.end(size, bytes.len())?;
        Ok(Some(Member { name, bytes }))
    }

    /// Reads a member's header: its name and size, within the limits.
    fn head(&mut self) -> Result<Option<(String, usize)>, ArchiveError> {
        if let Source::Plain(payload) = self.source
            && payload.len() as u64 > self.limits.unpacked_bytes
        {
            return Err(ArchiveError::TooLarge(self.limits.unpacked_bytes));
        }
        let header = self.take(BLOCK)?;
        if header.is_empty() {
            return Ok(None);
        }
        let header: &[u8; BLOCK] = (&*header).try_into().map_err(|_| ArchiveError::Truncated)?;
        // A block of zeros ends a tar that has an end, which ClamAV's have not.
        if header.first() == Some(&0) {
            return Ok(None);
        }
        if self.read == self.limits.members {
            return Err(ArchiveError::TooMany(self.limits.members));
        }
        self.read += 1;
        let (name, size) = parse_header(header)?;
        if size > self.limits.member_bytes {
            return Err(ArchiveError::MemberTooLarge { name, size, limit: self.limits.member_bytes });
        }
        Ok(Some((name, usize::try_from(size).unwrap_or(usize::MAX))))
    }

    /// Takes the padding after a member, of which all must have been there.
    fn end(&mut self, size: usize, read: usize) -> Result<(), ArchiveError> {
        let padding = size.next_multiple_of(BLOCK) - size;
        if read == size && self.take(padding)?.len() == padding { Ok(()) } else { Err(ArchiveError::Truncated) }
    }

    /// Takes this many bytes, or as many as there are.
    fn take(&mut self, size: usize) -> Result<Cow<'a, [u8]>, ArchiveError> {
        match &mut self.source {
            Source::Plain(payload) => {
                let (taken, rest) = payload.split_at(size.min(payload.len()));
                *payload = rest;
                Ok(Cow::Borrowed(taken))
            }
            Source::Gzip(reader) => {
                // Grows with what is really there: a header's size must not reserve memory by itself.
                let mut bytes = Vec::new();
                let read = reader.take(size as u64).read_to_end(&mut bytes);
                read.map(|_| Cow::Owned(bytes)).map_err(|error| unreadable(error, self.limits))
            }
        }
    }
}

fn unreadable(error: io::Error, limits: ArchiveLimits) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::QuotaExceeded => ArchiveError::TooLarge(limits.unpacked_bytes),
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
        _ => ArchiveError::Broken(error),
    }
}

/// Stops a gzip bomb *while* it inflates.
struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::QuotaExceeded)?;
        Ok(read)
    }
}

/// Name and size of a member.
fn parse_header(header: &[u8; BLOCK]) -> Result<(String, u64), ArchiveError> {
    let field = |from: usize, to: usize| header.get(from..to).unwrap_or_default();
    let checksum = |sum: u64, (at, byte): (usize, &u8)| {
        // The checksum's own field counts as spaces.
        sum + u64::from(if (148..156).contains(&at) { b' ' } else { *byte })
    };
    if header.iter().enumerate().fold(0, checksum) != octal(field(148, 156))? {
        return Err(ArchiveError::Checksum);
    }
    let name = text_of(field(0, 100));
    let name = std::str::from_utf8(name).map_err(|_| ArchiveError::Name(String::from_utf8_lossy(name).into()))?;
    if !is_member_name(name) {
        return Err(ArchiveError::Name(name.to_owned()));
    }
    if !matches!(field(156, 157), [0 | b'0']) {
        return Err(ArchiveError::NotAFile(name.to_owned()));
    }
    Ok((name.to_owned(), octal(field(124, 136))?))
}

/// Whether a name is a plain file name that fits a header and leads nowhere else.
pub fn is_member_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\');
    (1..=100).contains(&name.len()) && plain && !name.starts_with('.')
}

/// The bytes before the first NUL.
fn text_of(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn octal(field: &[u8]) -> Result<u64, ArchiveError> {
    let digits = text_of(field).trim_ascii();
    let number = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 8).ok());
    number.filter(|_| digits.iter().all(u8::is_ascii_digit)).ok_or(ArchiveError::Number)
}

/// Writes a V7 tar as ClamAV's are: no owner, no time, no end blocks.
pub fn to_tar<'a>(members: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Vec<u8> {
    after(&[], members)
}

/// The same, compressed by `level` from 0 to 9: what a container carries.
pub fn to_tar_gz<'a>(members: impl Iterator<Item = (&'a str, &'a [u8])> + Clone, level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    // Compressing to memory cannot fail; if it did, nothing would be read back.
    encoder.write_all(&to_tar(members)).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Writes a V7 tar after what stands before it in a file; a tar may be as large as memory, and is written once.
pub(crate) fn after<'a>(start: &[u8], members: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Vec<u8> {
    let size: usize = members.clone().map(|(_, bytes)| BLOCK + bytes.len().next_multiple_of(BLOCK)).sum();
    let mut file = Vec::with_capacity(start.len() + size);
    file.extend_from_slice(start);
    for piece in pieces(members) {
        file.extend_from_slice(&piece);
    }
    file
}

/// The pieces of a V7 tar, one behind the other; the members' bytes are not copied.
pub(crate) fn pieces<'a>(members: impl Iterator<Item = (&'a str, &'a [u8])>) -> impl Iterator<Item = Cow<'a, [u8]>> {
    members.flat_map(|(name, bytes)| {
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        [Cow::Owned(header_of(name, bytes.len())), Cow::Borrowed(bytes), Cow::Owned(vec![0; padding])]
    })
}

fn header_of(name: &str, size: usize) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header.splice(at..at + text.len(), text.iter().copied()).for_each(drop);
    put(0, name.as_bytes());
    put(124, format!("{size:o}").as_bytes());
    put(148, b"        ");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header.splice(148..155, format!("{sum:06o}\0").bytes()).for_each(drop);
    header
}

#[cfg(test)]
mod tests;
