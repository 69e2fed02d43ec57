//! The only unsafe code of the workspace: the C interfaces of libclamav and, in its folder, libarchive, and the system calls that
//! std does not offer.
//!
//! Everything that leaves this file is safe to call. Declarations: `clamav.h` of ClamAV 1.4 (soname 12), whose numbers
//! 1.5 keeps. Callbacks find the running scan through [`observation`], never through libclamav's context
//! pointer: some messages arrive without one.

#![expect(unsafe_code, reason = "calls into libclamav")]

pub(crate) mod libarchive;
pub(crate) mod system;

use std::{
    ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_ulong, c_ulonglong, c_void},
    fmt,
    fs::File,
    mem::ManuallyDrop,
    os::fd::{AsRawFd, FromRawFd},
    ptr::{self, NonNull},
    slice,
};

use crate::observation;

/// `struct cl_scan_options`.
#[repr(C)]
struct ScanOptions {
    general: u32,
    parse: u32,
    heuristic: u32,
    mail: u32,
    dev: u32,
}

/// `CL_SCAN_GENERAL_ALLMATCHES | CL_SCAN_GENERAL_HEURISTICS`.
const GENERAL: u32 = 0x1 | 0x4;
/// Every `CL_SCAN_PARSE_*`, as clamscan does.
const PARSE: u32 = 0x1FFF;
/// `CL_SCAN_HEURISTIC_EXCEEDS_MAX | _ENCRYPTED_ARCHIVE | _ENCRYPTED_DOC`: content that cannot be scanned must be reported.
const HEURISTIC: u32 = 0x4 | 0x40 | 0x80;
/// `CL_DB_STDOPT`.
const DATABASE_OPTIONS: c_uint = 0x2 | 0x8 | 0x2000;
/// `CL_COUNT_PRECISION`: the unit of `scanned`, in bytes.
const COUNT_PRECISION: u64 = 4096;

type RawEngine = c_void;
type OnMessage = extern "C" fn(c_int, *const c_char, *const c_char, *mut c_void);
type OnAlert = extern "C" fn(c_int, *const c_char, *mut c_void);
type OnHash = extern "C" fn(c_int, c_ulonglong, *const c_char, *const c_char, *mut c_void);
type OnLayer = extern "C" fn(
    c_int,
    *const c_char,
    *const *const c_char,
    usize,
    *const c_char,
    usize,
    *const c_char,
    u32,
    u32,
    *mut c_void,
) -> c_uint;

#[link(name = "clamav")]
unsafe extern "C" {
    fn cl_init(options: c_uint) -> c_uint;
    fn cl_retver() -> *const c_char;
    fn cl_retflevel() -> c_uint;
    fn cl_strerror(code: c_uint) -> *const c_char;
    fn cl_set_clcb_msg(callback: OnMessage);
    fn cl_engine_new() -> *mut RawEngine;
    fn cl_engine_set_num(engine: *mut RawEngine, field: c_uint, number: c_longlong) -> c_uint;
    fn cl_engine_set_str(engine: *mut RawEngine, field: c_uint, text: *const c_char) -> c_uint;
    fn cl_engine_set_clcb_virus_found(engine: *mut RawEngine, callback: OnAlert);
    fn cl_engine_set_clcb_hash(engine: *mut RawEngine, callback: OnHash);
    fn cl_engine_set_clcb_file_inspection(engine: *mut RawEngine, callback: OnLayer);
    fn cl_load(path: *const c_char, engine: *mut RawEngine, signatures: *mut c_uint, options: c_uint) -> c_uint;
    fn cl_engine_compile(engine: *mut RawEngine) -> c_uint;
    fn cl_engine_free(engine: *mut RawEngine) -> c_uint;
    fn cl_engine_settings_copy(engine: *const RawEngine) -> *mut c_void;
    fn cl_engine_settings_apply(engine: *mut RawEngine, settings: *const c_void) -> c_uint;
    fn cl_engine_settings_free(settings: *mut c_void) -> c_uint;
    fn cl_hash_init(algorithm: *const c_char) -> *mut c_void;
    fn cl_hash_destroy(context: *mut c_void);
    fn cl_scandesc_callback(
        descriptor: c_int,
        file_name: *const c_char,
        virus_name: *mut *const c_char,
        scanned: *mut c_ulong,
        engine: *const RawEngine,
        options: *mut ScanOptions,
        context: *mut c_void,
    ) -> c_uint;
}

/// libclamav's return code (`cl_error_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    /// `CL_CLEAN`, which is `CL_SUCCESS`.
    pub(crate) const SUCCESS: Self = Self(0);
    /// `CL_VIRUS`.
    pub(crate) const VIRUS: Self = Self(1);
    /// `CL_EMEM`.
    const MEMORY: Self = Self(20);
    /// `CL_ECREAT`, `CL_EWRITE`, `CL_ETMPFILE`, `CL_ETMPDIR` and `CL_EMEM`: the disk or the memory was full.
    const NO_ROOM: [Self; 5] = [Self(9), Self(14), Self(17), Self(18), Self::MEMORY];

    /// Whether disk or memory was lacking. That says nothing of the file: a neighbour may have filled them.
    pub(crate) fn lacks_room(self) -> bool {
        Self::NO_ROOM.contains(&self)
    }

    fn checked(code: c_uint) -> Result<(), Self> {
        if code == Self::SUCCESS.0 { Ok(()) } else { Err(Self(code)) }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any number and returns a static, terminated string.
        let text = unsafe { cl_strerror(self.0) };
        // SAFETY: as above.
        write!(f, "{} ({})", String::from_utf8_lossy(unsafe { bytes(&text) }), self.0)
    }
}

/// Settings of an engine (`enum cl_engine_field`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Field {
    /// Bytes over all layers.
    MaxScanSize = 0,
    /// Bytes of one layer.
    MaxFileSize = 1,
    /// Depth of nesting.
    MaxRecursion = 2,
    /// Number of files unpacked.
    MaxFiles = 3,
    /// Where libclamav may write.
    TemporaryDirectory = 13,
    /// Bytes of a file searched for an embedded program.
    MaxEmbeddedProgram = 18,
    /// Bytes of HTML that are normalised.
    MaxHtmlNormalize = 19,
    /// Bytes of normalised HTML that are scanned for scripts.
    MaxHtmlNoTags = 20,
    /// Bytes of a script that are normalised.
    MaxScriptNormalize = 21,
    /// Bytes of a file whose type is checked again as an archive.
    MaxZipTypeAgain = 22,
    /// Whether the cache of clean files is off.
    DisableCache = 25,
    /// Milliseconds.
    MaxScanTime = 31,
    /// Bytes of a file searched by regular expressions.
    PcreMaxFileSize = 34,
}

/// libclamav, initialised.
#[derive(Debug)]
pub(crate) struct Library {
    /// Its version, such as `1.4.6`.
    pub(crate) version: String,
    /// Its functionality level.
    pub(crate) functionality_level: u32,
}

impl Library {
    /// Initialises libclamav and registers the message callback.
    pub(crate) fn start() -> Result<Self, Code> {
        // SAFETY: sets a global function pointer; the process has one thread.
        unsafe { cl_set_clcb_msg(on_message) };
        // SAFETY: takes no pointer; calling it again would do no harm.
        Code::checked(unsafe { cl_init(0) })?;
        set_up_digests();
        // SAFETY: returns a static, terminated string.
        let version = unsafe { cl_retver() };
        // SAFETY: as above.
        let version = String::from_utf8_lossy(unsafe { bytes(&version) }).into_owned();
        // SAFETY: reads a constant.
        Ok(Self { version, functionality_level: unsafe { cl_retflevel() } })
    }
}

/// Has OpenSSL set itself up, which it does when libclamav first hashes: for each object anew, if a worker were the first.
fn set_up_digests() {
    for algorithm in [c"md5", c"sha1", c"sha256"] {
        // SAFETY: libclamav is initialised, and the name is terminated.
        let context = unsafe { cl_hash_init(algorithm.as_ptr()) };
        if !context.is_null() {
            // SAFETY: it was made a moment ago, and this is its only owner.
            unsafe { cl_hash_destroy(context) };
        }
    }
}

/// One `cl_engine`; freed with its owner.
#[derive(Debug)]
pub(crate) struct Engine {
    raw: NonNull<RawEngine>,
    compiled: bool,
}

impl Engine {
    /// Makes an engine without signatures; `None` when memory is short.
    pub(crate) fn new(_initialised: &Library) -> Option<Self> {
        // SAFETY: libclamav is initialised, as the argument proves.
        let raw = NonNull::new(unsafe { cl_engine_new() })?;
        // SAFETY: the engine is live, and the functions are of the declared types and never unwind.
        unsafe {
            cl_engine_set_clcb_virus_found(raw.as_ptr(), on_alert);
            cl_engine_set_clcb_hash(raw.as_ptr(), on_hash);
            cl_engine_set_clcb_file_inspection(raw.as_ptr(), on_layer);
        }
        Some(Self { raw, compiled: false })
    }

    /// Sets a number. Values past `i64::MAX` become that.
    pub(crate) fn set_number(&mut self, field: Field, number: u64) -> Result<(), Code> {
        let number = c_longlong::try_from(number).unwrap_or(c_longlong::MAX);
        // SAFETY: the engine is live and borrowed exclusively.
        Code::checked(unsafe { cl_engine_set_num(self.raw.as_ptr(), field as c_uint, number) })
    }

    /// Sets a text, which libclamav copies.
    pub(crate) fn set_text(&mut self, field: Field, text: &CStr) -> Result<(), Code> {
        // SAFETY: the engine is live and borrowed exclusively; the text is terminated.
        Code::checked(unsafe { cl_engine_set_str(self.raw.as_ptr(), field as c_uint, text.as_ptr()) })
    }

    /// Loads a database file or a directory of them and returns the number of signatures added.
    ///
    /// In the engine, libclamav's cache of clean files is on by its setting, and does not exist.
    ///
    /// It must be on: only then does `cli_magic_scan` of 1.4 hash a layer before it is parsed. Without that hash a signature with
    /// `HandlerType` alerts on a layer instead of re-typing it (`lsig_eval`). And each alert makes `cli_check_fp` hash every layer
    /// around it that has no hash yet, in the middle of its parsing: of a map over 8 MiB `fmap_aging` then drops pages that its
    /// parser still points to, and the parser reads zeros and stops in silence. A probe alerts on every layer.
    ///
    /// It must not exist: content that raises no alert because an allow-list trusts the archive around it would be cached as clean,
    /// and skipped where it stands outside of that archive. `cl_load` makes the cache if the setting is on at that time;
    /// `cl_engine_settings_apply` changes the setting without making it.
    ///
    /// # Errors
    /// libclamav's; the engine is then only good for being dropped. `CL_EARG` once compiled.
    pub(crate) fn load(&mut self, path: &CStr) -> Result<u32, Code> {
        if self.compiled {
            return Err(Code(3));
        }
        let with_cache = Settings::of(self)?;
        self.set_number(Field::DisableCache, 1)?;
        let mut signatures = 0;
        // SAFETY: the engine is live, not yet compiled and borrowed exclusively; the path is terminated.
        let code = unsafe { cl_load(path.as_ptr(), self.raw.as_ptr(), &raw mut signatures, DATABASE_OPTIONS) };
        with_cache.apply(self)?;
        Code::checked(code).map(|()| signatures)
    }

    /// Prepares the loaded signatures for scanning.
    ///
    /// # Errors
    /// libclamav's; the engine is then only good for being dropped.
    pub(crate) fn compile(&mut self) -> Result<(), Code> {
        // SAFETY: the engine is live and borrowed exclusively.
        Code::checked(unsafe { cl_engine_compile(self.raw.as_ptr()) })?;
        self.compiled = true;
        Ok(())
    }

    /// Scans an open file in all-match mode; returns libclamav's code and the bytes scanned over all layers.
    ///
    /// Findings are recorded by [`observation`]. `CL_EARG` unless compiled: libclamav itself would return
    /// "clean".
    pub(crate) fn scan(&self, file: &File) -> (Code, u64) {
        if !self.compiled {
            return (Code(3), 0);
        }
        let mut options = ScanOptions { general: GENERAL, parse: PARSE, heuristic: HEURISTIC, mail: 0, dev: 0 };
        let mut virus_name = ptr::null();
        let mut scanned = 0;
        // SAFETY: the engine is live and compiled, the descriptor open for the length of the call, the out-pointers
        // valid. A missing file name and context are allowed. The virus name is not read.
        let code = unsafe {
            cl_scandesc_callback(
                file.as_raw_fd(),
                ptr::null(),
                &raw mut virus_name,
                &raw mut scanned,
                self.raw.as_ptr(),
                &raw mut options,
                ptr::null_mut(),
            )
        };
        (Code(code), scanned.saturating_mul(COUNT_PRECISION))
    }
}

/// All settings of an engine, as they were.
struct Settings(NonNull<c_void>);

impl Settings {
    fn of(engine: &Engine) -> Result<Self, Code> {
        // SAFETY: the engine is live.
        NonNull::new(unsafe { cl_engine_settings_copy(engine.raw.as_ptr()) }).map(Self).ok_or(Code::MEMORY)
    }

    fn apply(&self, engine: &mut Engine) -> Result<(), Code> {
        // SAFETY: both are live, the engine is borrowed exclusively and copies what the settings own.
        Code::checked(unsafe { cl_engine_settings_apply(engine.raw.as_ptr(), self.0.as_ptr()) })
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        // SAFETY: the settings are live and this is their only owner.
        unsafe { cl_engine_settings_free(self.0.as_ptr()) };
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: the engine is live and this is its only owner.
        unsafe { cl_engine_free(self.raw.as_ptr()) };
    }
}

/// Returns the text at `pointer` without its terminator; nothing for a null pointer.
///
/// # Safety
/// The pointer is null or points to a terminated string that outlives the borrow.
unsafe fn bytes(pointer: &*const c_char) -> &[u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(*pointer) }.to_bytes()
}

extern "C" fn on_message(severity: c_int, _full: *const c_char, text: *const c_char, _context: *mut c_void) {
    // SAFETY: libclamav passes null or a terminated string that outlives the call.
    let text = unsafe { bytes(&text) };
    observation::record(|observation| observation.message(severity, text));
}

extern "C" fn on_alert(descriptor: c_int, name: *const c_char, _context: *mut c_void) {
    // SAFETY: libclamav passes null or a terminated string that outlives the call.
    let name = unsafe { bytes(&name) };
    // SAFETY: a descriptor that libclamav passes is open during the call, and is not closed here.
    let matched = (descriptor >= 0).then(|| ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) }));
    observation::record(|observation| observation.alert(name, matched.as_deref()));
}

extern "C" fn on_hash(
    _descriptor: c_int,
    size: c_ulonglong,
    md5: *const c_char,
    _name: *const c_char,
    _context: *mut c_void,
) {
    // SAFETY: libclamav passes 32 digits and a terminator, which outlive the call.
    let md5 = unsafe { bytes(&md5) };
    observation::record(|observation| observation.derived.is_hashed(size, md5));
}

extern "C" fn on_layer(
    _descriptor: c_int,
    file_type: *const c_char,
    _ancestors: *const *const c_char,
    _parent_size: usize,
    _name: *const c_char,
    size: usize,
    content: *const c_char,
    depth: u32,
    _attributes: u32,
    _context: *mut c_void,
) -> c_uint {
    // SAFETY: libclamav passes null or a terminated string that outlives the call.
    let file_type = unsafe { bytes(&file_type) };
    let content = if size == 0 {
        Some(&[][..])
    } else if content.is_null() {
        None
    } else {
        // SAFETY: in 1.4 the buffer holds `size` bytes and is neither written nor freed during the call.
        Some(unsafe { slice::from_raw_parts(content.cast::<u8>(), size) })
    };
    observation::record(|observation| observation.layer(file_type, content, depth));
    Code::SUCCESS.0
}

#[cfg(test)]
mod tests;
