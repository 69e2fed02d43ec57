//! The body of a database: everything that libclamav still loads at a cold start, compressed.
//!
//! Its files in the order in which they were put in, each as `name size` on a line and its bytes, and all of it compressed.

use std::io::{self, BufRead, BufReader, Read, Write};

/// How hard a body is compressed. Higher levels find short matches in hexadecimal digits, far apart: of a body of `main` in the proportions
/// of 2026 level 15 made 9.2 MB, which unpacked at 75 MB a second, level 1 makes 8.1 MB, at 960 MB a second.
const LEVEL: i32 = 1;

/// Longest name of a file.
const MAX_NAME_BYTES: usize = 100;

/// Most bytes of a body, unpacked.
pub const MAX_BODY_BYTES: u64 = 1 << 30;

/// Most bytes that are allotted to a file before it is read.
const ALLOTTED_BYTES: u64 = 64 << 20;

/// Why bytes are no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// They cannot be unpacked.
    #[error("it cannot be unpacked")]
    Unpack(#[from] io::Error),
    /// What should say how a file is called and how long it is.
    #[error("file {0} has no name and size")]
    Header(usize),
    /// Unpacked, they are too many.
    #[error("it is longer than {MAX_BODY_BYTES} bytes")]
    TooLong,
    /// It ends within a file.
    #[error("it ends within {0}")]
    Incomplete(String),
}

/// A file of signatures: its name and its bytes.
pub type NamedFile = (String, Vec<u8>);

/// Packs files into a body.
pub struct BodyWriter<W: Write>(zstd::Encoder<'static, W>);

impl<W: Write> BodyWriter<W> {
    /// Writes a body to `to`.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(to: W) -> io::Result<Self> {
        zstd::Encoder::new(to, LEVEL).map(Self)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// The writer's; [`io::ErrorKind::InvalidInput`] when the name is none for a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if !is_plain(name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name"));
        }
        writeln!(self.0, "{name} {}", bytes.len())?;
        self.0.write_all(bytes)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

/// Unpacks a body, a file at a time.
///
/// # Errors
/// [`BodyError`], or what `see` returns.
pub fn unpack<E: From<BodyError>>(
    body: &[u8],
    mut see: impl FnMut(&str, &mut io::Take<&mut dyn Read>) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |error| E::from(BodyError::Unpack(error));
    let decoder = zstd::Decoder::with_buffer(body).map_err(failed)?;
    let mut reader = BufReader::new(decoder.take(MAX_BODY_BYTES + 1));
    for number in 1.. {
        let mut header = Vec::new();
        let longest = MAX_NAME_BYTES as u64 + 22;
        if reader.by_ref().take(longest).read_until(b'\n', &mut header).map_err(failed)? == 0 {
            break;
        }
        let read = || {
            let header = std::str::from_utf8(header.strip_suffix(b"\n")?).ok()?;
            let (name, size) = header.rsplit_once(' ')?;
            Some((is_plain(name).then_some(name)?, size.parse::<u64>().ok()?))
        };
        let (name, size) = read().ok_or(BodyError::Header(number))?;
        if size > MAX_BODY_BYTES {
            return Err(BodyError::TooLong.into());
        }
        let mut content = (&mut reader as &mut dyn Read).take(size);
        see(name, &mut content)?;
        // Whatever was not read is passed over, and must be there.
        io::copy(&mut content, &mut io::sink()).map_err(failed)?;
        if content.limit() > 0 {
            return Err(BodyError::Incomplete(name.to_owned()).into());
        }
    }
    Ok(())
}

/// Unpacks a body into memory.
///
/// # Errors
/// [`BodyError`].
pub fn files(body: &[u8]) -> Result<Vec<NamedFile>, BodyError> {
    let mut files = Vec::new();
    unpack(body, |name, content| {
        // A size is only what the body says: as much as bodies have is allotted at once.
        let size = content.limit().min(ALLOTTED_BYTES);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        content.read_to_end(&mut bytes)?;
        files.push((name.to_owned(), bytes));
        Ok::<_, BodyError>(())
    })?;
    Ok(files)
}

/// Whether a name is safe to write a file by.
fn is_plain(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && plain && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(files: &[NamedFile]) -> Vec<u8> {
        let mut body = BodyWriter::new(Vec::new()).unwrap();
        for (name, bytes) in files {
            body.add(name, bytes).unwrap();
        }
        body.finish().unwrap()
    }

    #[test]
    fn a_name_that_is_a_path_is_neither_written_nor_read() {
        for name in ["", ".", "../x", "a/b", "a b", "a\nb", &"a".repeat(101)] {
            assert!(BodyWriter::new(Vec::new()).unwrap().add(name, b"").is_err(), "{name}");
            let forged = zstd::bulk::compress(format!("{name} 1\nx").as_bytes(), 1).unwrap();
            assert!(matches!(files(&forged), Err(BodyError::Header(1))), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_not_all_there_is_an_error() {
        let forged = zstd::bulk::compress(b"a.ndb 5\nfour", 1).unwrap();
        assert!(matches!(files(&forged), Err(BodyError::Incomplete(_))));
        let forged = zstd::bulk::compress(b"a.ndb 99999999999999\nfour", 1).unwrap();
        assert!(matches!(files(&forged), Err(BodyError::TooLong)));
    }

    proptest! {
        // Each case makes compressors of many megabytes.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_packed_is_unpacked(files in prop::collection::vec(("[a-z]{1,8}\\.[a-z]{2,4}", any::<Vec<u8>>()), 0..5)) {
            let body = packed(&files);
            prop_assert_eq!(super::files(&body).unwrap(), files.clone());
            prop_assert_eq!(packed(&files), body);
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes: Vec<u8>, cut in 0_usize..100) {
            let _ = files(&bytes);
            let body = packed(&[("a.ndb".to_owned(), bytes)]);
            prop_assert!(cut == 0 || cut > body.len() || files(&body[..body.len() - cut]).is_err());
        }
    }
}
