//! libarchive's reader over bytes in memory.
//!
//! It has one filter or one format at a time, never a list of its own: which, our own marks say. Declarations: `archive.h` and
//! `archive_entry.h` of libarchive 3 (soname 13).

#![expect(unsafe_code, reason = "calls into libarchive")]

use std::{
    ffi::{c_char, c_int, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
};

type RawArchive = c_void;
type RawEntry = c_void;

#[link(name = "archive")]
unsafe extern "C" {
    fn archive_read_new() -> *mut RawArchive;
    fn archive_read_free(archive: *mut RawArchive) -> c_int;
    fn archive_read_open_memory(archive: *mut RawArchive, content: *const c_void, size: usize) -> c_int;
    fn archive_read_set_options(archive: *mut RawArchive, options: *const c_char) -> c_int;
    fn archive_read_next_header(archive: *mut RawArchive, entry: *mut *mut RawEntry) -> c_int;
    fn archive_read_data_block(
        archive: *mut RawArchive,
        block: *mut *const c_void,
        size: *mut usize,
        offset: *mut i64,
    ) -> c_int;
    fn archive_filter_count(archive: *mut RawArchive) -> c_int;
    fn archive_filter_bytes(archive: *mut RawArchive, filter: c_int) -> i64;
    fn archive_read_header_position(archive: *mut RawArchive) -> i64;
    fn archive_read_has_encrypted_entries(archive: *mut RawArchive) -> c_int;
    fn archive_entry_size(entry: *mut RawEntry) -> i64;
    fn archive_entry_size_is_set(entry: *mut RawEntry) -> c_int;
    fn archive_entry_is_encrypted(entry: *mut RawEntry) -> c_int;
    fn archive_entry_filetype(entry: *mut RawEntry) -> u32;
    fn archive_entry_hardlink(entry: *mut RawEntry) -> *const c_char;
    fn archive_read_support_filter_bzip2(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_compress(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_gzip(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_lz4(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_lzip(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_lzma(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_rpm(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_xz(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_filter_zstd(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_7zip(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_ar(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_cab(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_cpio(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_empty(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_iso9660(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_lha(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_rar(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_rar5(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_raw(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_tar(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_warc(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_xar(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_zip_seekable(archive: *mut RawArchive) -> c_int;
    fn archive_read_support_format_zip_streamable(archive: *mut RawArchive) -> c_int;
}

/// `ARCHIVE_EOF`.
const END: c_int = 1;
/// `ARCHIVE_WARN`: what follows the call is usable. Lesser codes are failures.
const WARNING: c_int = -20;
/// `AE_IFREG`.
const REGULAR: u32 = 0o100_000;
/// `ARCHIVE_FAILED`: this entry is lost, and the next may not be.
const FAILED: c_int = -25;

/// What content is packed as: a stream, or an archive of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Packing {
    Bzip2,
    Compress,
    Gzip,
    Lz4,
    Lzip,
    Lzma,
    /// The package's payload, without its headers.
    Rpm,
    Xz,
    Zstd,
    SevenZip,
    Ar,
    Cab,
    Cpio,
    /// By its Joliet or Rock Ridge tree, whichever libarchive prefers.
    Iso,
    /// Without its Joliet tree.
    IsoPlain,
    Lha,
    Rar4,
    Rar5,
    Tar,
    Warc,
    Xar,
    /// By its directory.
    ZipDirectory,
    /// By its local headers.
    ZipStream,
}

impl Packing {
    /// Whether it is one packed stream without entries.
    pub(crate) fn is_stream(self) -> bool {
        self <= Self::Zstd
    }

    fn support(self) -> unsafe extern "C" fn(*mut RawArchive) -> c_int {
        match self {
            Self::Bzip2 => archive_read_support_filter_bzip2,
            Self::Compress => archive_read_support_filter_compress,
            Self::Gzip => archive_read_support_filter_gzip,
            Self::Lz4 => archive_read_support_filter_lz4,
            Self::Lzip => archive_read_support_filter_lzip,
            Self::Lzma => archive_read_support_filter_lzma,
            Self::Rpm => archive_read_support_filter_rpm,
            Self::Xz => archive_read_support_filter_xz,
            Self::Zstd => archive_read_support_filter_zstd,
            Self::SevenZip => archive_read_support_format_7zip,
            Self::Ar => archive_read_support_format_ar,
            Self::Cab => archive_read_support_format_cab,
            Self::Cpio => archive_read_support_format_cpio,
            Self::Iso | Self::IsoPlain => archive_read_support_format_iso9660,
            Self::Lha => archive_read_support_format_lha,
            Self::Rar4 => archive_read_support_format_rar,
            Self::Rar5 => archive_read_support_format_rar5,
            Self::Tar => archive_read_support_format_tar,
            Self::Warc => archive_read_support_format_warc,
            Self::Xar => archive_read_support_format_xar,
            Self::ZipDirectory => archive_read_support_format_zip_seekable,
            Self::ZipStream => archive_read_support_format_zip_streamable,
        }
    }
}

/// A call failed: the content is damaged, or packed in a way that libarchive does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Whether entries after this one may still be read.
    pub(crate) goes_on: bool,
}

/// What a header says of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Bytes unpacked, where the header says so.
    pub(crate) size: Option<u64>,
    pub(crate) is_encrypted: bool,
    /// A regular file, and no link to another one.
    pub(crate) is_file: bool,
}

/// An archive in memory, read from its first entry to its last.
#[derive(Debug)]
pub(crate) struct Reader<'c> {
    raw: NonNull<RawArchive>,
    content: PhantomData<&'c [u8]>,
}

impl<'c> Reader<'c> {
    /// Opens content as what it is packed as; `None` when libarchive does not take it for that.
    pub(crate) fn open(content: &'c [u8], packing: Packing) -> Option<Self> {
        // SAFETY: takes nothing and returns null or a new reader.
        let raw = NonNull::new(unsafe { archive_read_new() })?;
        let reader = Self { raw, content: PhantomData };
        // SAFETY: the reader is live and not yet open.
        let mut ready = unsafe { packing.support()(raw.as_ptr()) } >= WARNING;
        if packing.is_stream() {
            // SAFETY: as above.
            ready &= unsafe { archive_read_support_format_raw(raw.as_ptr()) } >= WARNING;
            // SAFETY: as above. What is packed may be nothing.
            ready &= unsafe { archive_read_support_format_empty(raw.as_ptr()) } >= WARNING;
        }
        if packing == Packing::IsoPlain {
            // SAFETY: as above; the text is terminated and is copied.
            ready &= unsafe { archive_read_set_options(raw.as_ptr(), c"!joliet".as_ptr()) } >= WARNING;
        }
        // SAFETY: the content outlives the reader, which only reads it.
        ready &= unsafe { archive_read_open_memory(raw.as_ptr(), content.as_ptr().cast(), content.len()) } >= WARNING;
        // Of a stream, the filter is chosen by now.
        // SAFETY: the reader is live.
        ready &= !packing.is_stream() || unsafe { archive_filter_count(raw.as_ptr()) } > 1;
        ready.then_some(reader)
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Broken> {
        let mut entry = ptr::null_mut();
        // SAFETY: the reader is open, the out-pointer valid.
        match unsafe { archive_read_next_header(self.raw.as_ptr(), &raw mut entry) } {
            END => Ok(None),
            code if code < WARNING || entry.is_null() => Err(broken(code)),
            _ => {
                // SAFETY: the entry is the reader's, which is borrowed until this block ends.
                let (has_size, size, is_encrypted, is_file) = unsafe {
                    (
                        archive_entry_size_is_set(entry) != 0,
                        archive_entry_size(entry),
                        archive_entry_is_encrypted(entry) != 0,
                        archive_entry_filetype(entry) == REGULAR && archive_entry_hardlink(entry).is_null(),
                    )
                };
                Ok(Some(Entry { size: u64::try_from(size).ok().filter(|_| has_size), is_encrypted, is_file }))
            }
        }
    }

    /// The next piece of the entry's content, and where it is in it: between pieces may be holes. What is stored as it is is no copy, but
    /// stands in the content that is read. `None` at the end.
    pub(crate) fn read(&mut self) -> Result<Option<(u64, &[u8])>, Broken> {
        let (mut block, mut size, mut offset) = (ptr::null(), 0, 0);
        // SAFETY: the reader is open, the out-pointers valid.
        let code =
            unsafe { archive_read_data_block(self.raw.as_ptr(), &raw mut block, &raw mut size, &raw mut offset) };
        if code == END {
            return Ok(None);
        }
        if code < WARNING {
            return Err(broken(code));
        }
        let bytes = if block.is_null() || size == 0 {
            &[]
        } else {
            // SAFETY: the block is the reader's until its next call, which needs this borrow to have ended.
            unsafe { slice::from_raw_parts(block.cast::<u8>(), size) }
        };
        Ok(Some((u64::try_from(offset).unwrap_or_default(), bytes)))
    }

    /// Where the headers of the entry begin, in an archive that is read from front to back.
    pub(crate) fn header_position(&self) -> usize {
        // SAFETY: the reader is live.
        usize::try_from(unsafe { archive_read_header_position(self.raw.as_ptr()) }).unwrap_or_default()
    }

    /// Whether some header said so of an entry, or of the headers themselves.
    pub(crate) fn met_encryption(&self) -> bool {
        // SAFETY: the reader is live. Negative numbers mean that it is not known.
        unsafe { archive_read_has_encrypted_entries(self.raw.as_ptr()) > 0 }
    }

    /// Bytes of the content that were consumed.
    pub(crate) fn consumed(&self) -> usize {
        // SAFETY: the reader is live; -1 is the filter nearest to the content.
        usize::try_from(unsafe { archive_filter_bytes(self.raw.as_ptr(), -1) }).unwrap_or_default()
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // SAFETY: the reader is live and this is its only owner.
        unsafe { archive_read_free(self.raw.as_ptr()) };
    }
}

fn broken(code: c_int) -> Broken {
    Broken { goes_on: code >= FAILED }
}
