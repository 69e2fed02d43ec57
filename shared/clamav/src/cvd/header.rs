//! The 512 bytes that every container begins with.

use chrono::{DateTime, Utc};

use crate::database::{DatabaseVersion, FunctionalityLevel};

/// Bytes of a container's header.
pub const HEADER_BYTES: usize = 512;

/// Header of a container.
///
/// Shape: 512 bytes, padded with spaces, nine fields:
/// `ClamAV-VDB:<time>:<version>:<signatures>:<flevel>:<md5>:<dsig>:<builder>:<stime>`. In a CLD, and in the header line of
/// an `.info`, MD5 and dsig are `X`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CvdHeader {
    /// Build time as text, such as `22 Jun 2021 14-58 -0400`.
    pub time: String,
    /// Version of the database.
    pub version: DatabaseVersion,
    /// Number of signatures.
    pub signatures: u32,
    /// Functionality level for which it was made. Engines of a lower one load it all the same.
    pub functionality_level: FunctionalityLevel,
    /// MD5 of the payload, lower-case hexadecimal; `None` for `X`.
    pub md5: Option<String>,
    /// Legacy signature of that MD5; `None` for `X`.
    pub dsig: Option<String>,
    /// Who built it.
    pub builder: String,
    /// Build time in seconds since the Unix epoch.
    pub stime: u64,
}

/// Why 512 bytes are no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than 512 bytes.
    #[error("the file has {0} bytes, fewer than a header's 512")]
    Truncated(usize),
    /// Control characters or bytes beyond ASCII.
    #[error("the header is not printable text")]
    NotPrintable,
    /// The first field is not `ClamAV-VDB`.
    #[error("the header does not begin with ClamAV-VDB")]
    Magic,
    /// Not nine fields.
    #[error("the header has {0} fields instead of 9")]
    Fields(usize),
    /// A field is not what it should be.
    #[error("the header's {0} is not valid")]
    Field(&'static str),
}

impl CvdHeader {
    /// Makes the header of a database that is built at this time, not signed yet.
    pub fn new(
        version: DatabaseVersion,
        signatures: usize,
        functionality_level: FunctionalityLevel,
        builder: impl Into<String>,
        built: DateTime<Utc>,
    ) -> Self {
        Self {
            // The colon of the hour would end the field.
            time: built.format("%d %b %Y %H-%M +0000").to_string(),
            version,
            signatures: u32::try_from(signatures).unwrap_or(u32::MAX),
            functionality_level,
            md5: None,
            dsig: None,
            builder: builder.into(),
            stime: u64::try_from(built.timestamp()).unwrap_or_default(),
        }
    }

    /// Reads the header at the beginning of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Truncated(bytes.len()))?;
        if !header.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(HeaderError::NotPrintable);
        }
        let text = std::str::from_utf8(header).map_err(|_| HeaderError::NotPrintable)?;
        Self::parse_line(text.trim_end_matches(' '))
    }

    /// Reads a header without its padding.
    pub fn parse_line(line: &str) -> Result<Self, HeaderError> {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.first() != Some(&"ClamAV-VDB") {
            return Err(HeaderError::Magic);
        }
        let [_, time, version, signatures, level, md5, dsig, builder, stime] = fields[..] else {
            return Err(HeaderError::Fields(fields.len()));
        };
        let is_md5 =
            |text: &str| text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if md5 != "X" && !is_md5(md5) {
            return Err(HeaderError::Field("MD5"));
        }
        let given = |text: &str| (text != "X").then(|| text.to_owned());
        Ok(Self {
            time: time.to_owned(),
            version: DatabaseVersion(number(version, "version")?),
            signatures: number(signatures, "number of signatures")?,
            functionality_level: FunctionalityLevel(number(level, "functionality level")?),
            md5: given(md5),
            dsig: given(dsig),
            builder: builder.to_owned(),
            stime: number(stime, "build time")?,
        })
    }

    /// Writes the header without its padding.
    pub fn to_line(&self) -> String {
        let Self { time, version, signatures, functionality_level, md5, dsig, builder, stime } = self;
        let given = |text: &Option<String>| text.clone().unwrap_or_else(|| "X".into());
        let (md5, dsig) = (given(md5), given(dsig));
        format!("ClamAV-VDB:{time}:{}:{signatures}:{}:{md5}:{dsig}:{builder}:{stime}", version.0, functionality_level.0)
    }

    /// Writes the header with its padding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.to_line().into_bytes();
        bytes.resize(HEADER_BYTES, b' ');
        bytes
    }

    /// Whether an `.info` has the same header.
    pub(super) fn agrees_with(&self, info: &Self) -> bool {
        let compared = |header: &Self| (header.version, header.signatures, header.functionality_level, header.stime);
        compared(self) == compared(info)
    }
}

fn number<Number: std::str::FromStr>(text: &str, name: &'static str) -> Result<Number, HeaderError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(HeaderError::Field(name))
}
