//! What a mirror can do to its clients.

/// What a file's requests are answered with.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// The file, as a good mirror serves it: the part that `Range` asks for, nothing when a condition says that the client has it.
    Bytes(Vec<u8>),
    /// The file, whole, whatever `Range` and conditions say.
    WithoutRanges(Vec<u8>),
    /// One thing for those who ask for a part, another for those who ask for all: a cache that is behind, or worse.
    Advertised {
        /// What a part is taken from.
        header: Vec<u8>,
        /// What is served as the whole.
        served: Box<Behaviour>,
    },
    /// A 206 of these bytes, with this `Content-Range`, whatever was requested.
    Part {
        /// The body.
        bytes: Vec<u8>,
        /// `Content-Range`, such as `bytes 0-511/1000`.
        content_range: String,
    },
    /// A status without a body.
    Status {
        /// Such as 429.
        code: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
    },
    /// Half of the file under the length of all of it, then the end.
    Truncated(Vec<u8>),
    /// A file under another length than its own, then the end.
    LyingLength {
        /// The file.
        bytes: Vec<u8>,
        /// The announced length.
        announced: u64,
    },
    /// Zeros without a length (chunked) until the client leaves, at most 8 GiB.
    Endless,
    /// A zero every 200 ms, of a mebibyte that is promised.
    SlowLoris,
    /// A 302 to this address.
    Redirect(String),
    /// A 302 to itself.
    RedirectLoop,
    /// No answer, and no end either.
    Silence,
    /// A connection reset.
    Reset,
    /// One thing for clients whose `User-Agent` begins so, 403 for all others, as ClamAV's network does.
    ForAgent {
        /// How the agent begins, such as `ClamAV/`.
        prefix: String,
        /// What its requests are answered with.
        served: Box<Behaviour>,
    },
    /// The first for the first request for this file since it was put, the second for the second; the last repeats.
    Sequence(Vec<Behaviour>),
}

impl Behaviour {
    /// A status without a body and without headers of its own.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new() }
    }
}
