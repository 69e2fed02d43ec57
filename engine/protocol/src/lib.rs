//! The protocol between Nacre and its scanning engine: one JSON object a line, over the child's stdin and stdout.
//!
//! Every [`Request`] has an id and gets exactly one [`Response`] with that id. Scans run in parallel, and their responses come in the
//! order in which they end; other commands wait until no scan runs. The engine reports facts; the client decides what they mean for an
//! object. Both sides bound every line by [`MAX_LINE_BYTES`].

mod report;
mod sandbox;

use std::io::{self, BufRead, Read, Write};

pub use report::{Digests, Layer, MAX_LAYERS, MAX_NAMES, MAX_PROPOSALS, Message, Proposal, Proposed, Report, Severity};
pub use sandbox::{Landlock, Sandbox};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of this protocol; the two sides must agree exactly.
pub const PROTOCOL_VERSION: u32 = 4;

/// Longest accepted line, in bytes, its line feed included. Stops a compromised worker from filling its reader's memory.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// Extension of the files beside databases that are filters of scan sets. libclamav does not load them.
pub const FILTER_EXTENSION: &str = "nacre-filter";

/// Most scans that the engine runs at once; it reads no further request until one of them has ended.
pub const MAX_SCANS: usize = 64;

/// One request to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client; copied to the response.
    pub id: u64,
    /// The command and its parameters.
    #[serde(flatten)]
    pub command: Command,
}

/// The commands of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Requests the engine's version; must come first.
    Hello {
        /// The client's [`PROTOCOL_VERSION`].
        protocol: u32,
    },
    /// Loads every database of a directory into a new engine, compiles it and tests it with a canary. Contents are looked up in the
    /// filters of the directory, which are files with [`FILTER_EXTENSION`].
    Load {
        /// Absolute path of the directory.
        directory: String,
    },
    /// Scans one file in a worker process of its own.
    Scan {
        /// The id that [`Loaded::engine`] gave.
        engine: u32,
        /// Plain file name inside the engine's private directory: no separator, not `.` or `..`.
        file: String,
        /// Bounds of this scan.
        limits: Limits,
        /// The worker is killed after this many milliseconds.
        deadline_ms: u64,
    },
    /// Aborts a scan, which then fails with [`FailureCode::Cancelled`].
    Cancel {
        /// The scan's request id. An unknown id or that of a finished scan is not an error.
        scan: u64,
    },
    /// Frees a loaded engine.
    Unload {
        /// The id that [`Loaded::engine`] gave.
        engine: u32,
    },
}

/// Bounds within which libclamav must finish one object; an exceeded limit is always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes scanned over all layers of the object.
    pub max_scan_size: u64,
    /// Bytes of one layer. libclamav itself stops at 2,147,483,645.
    pub max_file_size: u64,
    /// Files unpacked from the object.
    pub max_files: u32,
    /// Depth of nesting.
    pub max_recursion: u32,
    /// Milliseconds that libclamav allows itself.
    pub max_scan_time_ms: u32,
    /// Bytes of address space that a worker may take beyond the loaded engine's and the object's own. libclamav allocates at most a
    /// gigabyte at once.
    pub max_memory: u64,
}

impl Default for Limits {
    /// ClamAV's own depth, number and time (`libclamav/default.h`), with sizes raised to what an uploaded object may need.
    fn default() -> Self {
        Self {
            max_scan_size: 4 << 30,
            max_file_size: 2_147_483_645,
            max_files: 10_000,
            max_recursion: 17,
            max_scan_time_ms: 120_000,
            max_memory: 2 << 30,
        }
    }
}

/// One response of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// The result.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always the largest")]
pub enum Outcome {
    /// Result of [`Command::Hello`].
    Hello(Hello),
    /// Result of [`Command::Load`].
    Loaded(Loaded),
    /// Result of [`Command::Scan`].
    Scanned(Report),
    /// Result of [`Command::Cancel`].
    Cancelled,
    /// Result of [`Command::Unload`].
    Unloaded,
    /// The request failed; the engine continues.
    Failed(Failure),
}

/// Versions and capabilities of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The engine's [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// libclamav's version, such as `1.4.6`.
    pub clamav_version: String,
    /// libclamav's functionality level.
    pub functionality_level: u32,
    /// Whether libclamunrar is installed; without it the content of RAR archives is not scanned.
    pub unrar: bool,
    /// The sandbox of the engine's processes.
    pub sandbox: Sandbox,
}

/// A loaded and compiled engine that found the canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Id to scan with; unique in the life of the child.
    pub engine: u32,
    /// Signatures loaded from the directory, the engine's own probes not counted.
    pub signatures: u64,
    /// What the definitions themselves found in the canary's EICAR file; empty when they have no signature for EICAR.
    pub eicar: Vec<String>,
    /// Milliseconds to load the signatures.
    pub load_ms: u64,
    /// Milliseconds to compile them.
    pub compile_ms: u64,
    /// Milliseconds to scan the canary.
    pub canary_ms: u64,
    /// libclamav's messages of severity warning and above while it loaded the signatures, at most 100: it passes over what it cannot
    /// read, and loads the rest.
    #[serde(default)]
    pub messages: Vec<Message>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure, for the client to act on.
    pub code: FailureCode,
    /// Text for the operator.
    pub message: String,
}

/// Kinds of failure, by what the client can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The line was no valid request at this point: the client has a defect.
    BadRequest,
    /// Client and engine have different protocol versions.
    ProtocolMismatch,
    /// No engine has that id.
    NoSuchEngine,
    /// The definitions could not be loaded or compiled: they must not be used.
    LoadFailed,
    /// The definitions loaded, but the engine did not find the canary: it must not be used.
    CanaryFailed,
    /// The worker exceeded its deadline and was killed.
    DeadlineExceeded,
    /// The client cancelled the scan.
    Cancelled,
    /// The worker crashed or sent an invalid response; a new one may succeed.
    WorkerDied,
    /// The engine itself failed (no process, no private directory).
    Internal,
}

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other side closed the pipe.
    #[error("the other side closed the pipe")]
    Closed,
    /// Longer than [`MAX_LINE_BYTES`], or cut short by the end of the stream.
    #[error("the line is longer than {MAX_LINE_BYTES} bytes or incomplete")]
    Unbounded,
    /// Not the JSON of a message.
    #[error("the line is not a message of this protocol")]
    Malformed(#[source] serde_json::Error),
    /// The pipe broke.
    #[error("the pipe failed")]
    Io(#[from] io::Error),
}

/// Reads one message.
///
/// # Errors
/// [`LineError::Closed`] at the end of the stream; another [`LineError`] otherwise.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl BufRead) -> Result<T, LineError> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    parse_line(&line)
}

/// Parses one line, its line feed included.
pub fn parse_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    match line.split_last() {
        None => Err(LineError::Closed),
        Some((b'\n', message)) => serde_json::from_slice(message).map_err(LineError::Malformed),
        Some(_) => Err(LineError::Unbounded),
    }
}

/// Writes one message as a line and flushes it.
pub fn write_message(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(id: u64, engine: u32, file: String, deadline_ms: u64) -> Request {
        Request { id, command: Command::Scan { engine, file, limits: Limits::default(), deadline_ms } }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u64, engine: u32, file in ".*", deadline_ms: u64) {
            let request = scan(id, engine, file, deadline_ms);
            let mut line = Vec::new();
            write_message(&mut line, &request).unwrap();
            prop_assert_eq!(read_message::<Request>(&mut line.as_slice()).unwrap(), request);
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes: Vec<u8>) {
            let _: Result<Request, _> = read_message(&mut bytes.as_slice());
            let _: Result<Response, _> = parse_line(&bytes);
        }
    }

    #[test]
    fn an_endless_line_is_refused_early() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(read_message::<Request>(&mut endless), Err(LineError::Unbounded)));
    }

    #[test]
    fn the_end_of_the_stream_differs_from_a_truncated_line() {
        assert!(matches!(read_message::<Request>(&mut &b""[..]), Err(LineError::Closed)));
        assert!(matches!(read_message::<Request>(&mut &b"{\"id\":1"[..]), Err(LineError::Unbounded)));
    }

    #[test]
    fn the_wire_is_readable() {
        let line = serde_json::to_string(&scan(7, 1, "object".into(), 1000)).unwrap();
        assert!(line.starts_with(r#"{"id":7,"command":"scan","engine":1,"file":"object","limits":{"#), "{line}");
        let failed = Failure { code: FailureCode::WorkerDied, message: "signal 11".into() };
        let line = serde_json::to_string(&Response { id: 7, outcome: Outcome::Failed(failed) }).unwrap();
        assert_eq!(line, r#"{"id":7,"outcome":"failed","code":"worker_died","message":"signal 11"}"#);
    }
}
