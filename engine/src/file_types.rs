//! File types of ours: what libclamav ignores by its type has its matchers run on it.
//!
//! libclamav ends the scan of a database of `SQLite`, or of sound, before any matcher: its types are made to say that these are any other data. Its
//! built-in types hold only until a first type is loaded, so ours are added only where the definitions bring types themselves, as
//! ClamAV's `daily` does. Types that are loaded later come first.
//!
//! Sources: ClamAV's manual on file types, and on the members of a database.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::bufread::GzDecoder;

/// Each type that libclamav ignores, with its first bytes, in the words of an `.ftm` file.
pub(crate) const TYPES: &str = "\
0:0:53514c69746520666f726d6174203300:SQLite database:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:377f0682002de218:SQLite WAL:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:377f0683002de218:SQLite WAL:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:d9d505f920a163d7:SQLite journal:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:494433:MP3:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:fffb90:MP3:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:4f676753:Ogg:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:2e524d46:RealMedia:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:53594d430100:SYM:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
0:0:5349502d48495420285349502f48:SIP log:CL_TYPE_ANY:CL_TYPE_BINARY_DATA
";

/// Length of the header of a CVD, CLD or CUD.
const HEADER: u64 = 512;
/// Bytes of a database in which its list of members must be; it is the second member, after the licence.
const MAX_LIST: u64 = 4 << 20;

/// Whether a file of the directory brings file types.
///
/// # Errors
/// When the directory or a database cannot be read.
pub(crate) fn brings_types(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let brings = match path.extension().and_then(|extension| extension.to_str()) {
            Some("ftm") => true,
            Some("cvd" | "cld" | "cud") => lists_types(File::open(&path)?)?,
            _ => false,
        };
        if brings {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the list of a database's members (`.info`) names one with file types.
fn lists_types(mut file: File) -> io::Result<bool> {
    file.seek(SeekFrom::Start(HEADER))?;
    let mut start = [0; 2];
    let packed = file.read(&mut start)? == 2 && start == [0x1F, 0x8B];
    file.seek(SeekFrom::Start(HEADER))?;
    let file = BufReader::new(file);
    let mut members: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut read = Vec::new();
    // A database that cannot be unpacked is refused when it is loaded.
    if members.by_ref().take(MAX_LIST).read_to_end(&mut read).is_err() && read.is_empty() {
        return Ok(false);
    }
    Ok(list_of_members(&read).is_some_and(|list| list.split(|byte| *byte == b'\n').any(names_types)))
}

/// The content of the member `.info` of a tar.
fn list_of_members(mut tar: &[u8]) -> Option<&[u8]> {
    loop {
        let (header, rest) = tar.split_first_chunk::<512>()?;
        let name = header.get(..100)?.split(|byte| *byte == 0).next()?;
        let size = std::str::from_utf8(header.get(124..135)?).ok()?;
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).ok()?;
        if name.ends_with(b".info") {
            return rest.get(..size.min(rest.len()));
        }
        tar = rest.get(size.checked_next_multiple_of(512)?..)?;
    }
}

/// Whether a line of the list is `<name>.ftm:<size>:<digest>`.
fn names_types(line: &[u8]) -> bool {
    line.split(|byte| *byte == b':').next().is_some_and(|name| name.ends_with(b".ftm"))
}
