//! CDIFF: a signed script that turns one version of a database into the next.
//!
//! Source: clamav.md §3, after libclamav `cdiff.rs`.

mod apply;
mod between;
mod script;

use std::io::{self, Read};

use flate2::read::GzDecoder;

pub use self::{
    apply::{ApplyError, CommandError, apply},
    between::{NoScript, between},
    script::{Command, ScriptError, commands},
};
use crate::{database::DatabaseVersion, digital_signature::SignatureError, trust_anchor::TrustAnchors};

/// Most bytes of a script; a database that is halved at once takes about 80 MB.
pub const MAX_SCRIPT_BYTES: u64 = 256 << 20;

/// libclamav reads the signature from the file's last bytes, and refuses a file that has fewer.
const SIGNATURE_BYTES: usize = 350;

/// Longest header that is searched: the magic and two numbers.
const MAX_HEADER_BYTES: usize = 64;

/// A CDIFF that was read, and is not trusted yet.
///
/// Shape: `ClamAV-Diff:<version>:<bytes of the script>:`, the script as one gzip member, `:` and a PSS signature of every
/// byte before that colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cdiff<'a> {
    /// The version that a database has afterwards.
    pub version: DatabaseVersion,
    /// Bytes of the script, by the header.
    pub script_bytes: u64,
    packed: &'a [u8],
    signed: &'a [u8],
    signature: &'a str,
}

/// Why a CDIFF is invalid, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum CdiffError {
    /// No bytes at all, by which mirrors request that the whole database be fetched.
    #[error("the file is empty: the whole database must be fetched")]
    Empty,
    /// Too short to hold a signature, or cut off before it.
    #[error("the file is truncated")]
    Truncated,
    /// The header is not one.
    #[error("the file does not begin with ClamAV-Diff:<version>:<size>:")]
    Header,
    /// It leads to another version than its name says.
    #[error("the file leads to version {found}, not {expected}")]
    Version {
        /// The requested version.
        expected: u32,
        /// The version in its header.
        found: u32,
    },
    /// The signature does not hold.
    #[error("the signature does not hold under the keys of {anchor}")]
    Signature {
        anchor: String,
        #[source]
        source: SignatureError,
    },
    /// The script cannot be unpacked.
    #[error("the script cannot be unpacked")]
    Broken(#[source] io::Error),
    /// The script is larger than it may be, or than the header says.
    #[error("the script has not the {0} bytes that the header says, or more than {MAX_SCRIPT_BYTES}")]
    Size(u64),
}

impl<'a> Cdiff<'a> {
    /// Reads a CDIFF's header and signature.
    pub fn parse(file: &'a [u8]) -> Result<Self, CdiffError> {
        if file.is_empty() {
            return Err(CdiffError::Empty);
        }
        let (version, script_bytes, header) = header(file).ok_or(CdiffError::Header)?;
        let tail = file.len().checked_sub(SIGNATURE_BYTES).ok_or(CdiffError::Truncated)?;
        let colon = file.iter().rposition(|byte| *byte == b':').filter(|colon| *colon >= tail.max(header));
        let colon = colon.ok_or(CdiffError::Truncated)?;
        let (signed, signature) = file.split_at(colon);
        let signature = signature.get(1..).and_then(|text| std::str::from_utf8(text).ok());
        let packed = signed.get(header..).ok_or(CdiffError::Truncated)?;
        Ok(Self { version, script_bytes, packed, signed, signature: signature.ok_or(CdiffError::Truncated)? })
    }

    /// Checks the signature and the version that it must lead to, and unpacks the script.
    ///
    /// Off-spec: libclamav checks neither the version nor the size, and reads on after the gzip member.
    pub fn verify(&self, expected: DatabaseVersion, anchors: &TrustAnchors) -> Result<VerifiedCdiff, CdiffError> {
        let failed = |source| CdiffError::Signature { anchor: anchors.identity(), source };
        anchors.cdiff.verify_pss(self.signed, self.signature).map_err(failed)?;
        if self.version != expected {
            return Err(CdiffError::Version { expected: expected.0, found: self.version.0 });
        }
        Ok(VerifiedCdiff { version: self.version, script: self.script()? })
    }

    /// Unpacks the script, which proves nothing yet.
    ///
    /// # Errors
    /// [`CdiffError::Broken`], [`CdiffError::Size`].
    pub fn script(&self) -> Result<Vec<u8>, CdiffError> {
        if self.script_bytes > MAX_SCRIPT_BYTES {
            return Err(CdiffError::Size(self.script_bytes));
        }
        // One byte more than promised is enough to know, and the promise reserves no memory by itself.
        let (mut script, mut decoder) = (Vec::new(), GzDecoder::new(self.packed));
        let read = (&mut decoder).take(self.script_bytes + 1).read_to_end(&mut script).map_err(CdiffError::Broken)?;
        if read as u64 == self.script_bytes && decoder.into_inner().is_empty() {
            Ok(script)
        } else {
            Err(CdiffError::Size(self.script_bytes))
        }
    }
}

/// A script that the makers of the database signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCdiff {
    /// The version that a database has afterwards.
    pub version: DatabaseVersion,
    /// The script.
    pub script: Vec<u8>,
}

/// Writes the part of a CDIFF that is signed.
pub(super) fn to_signed_part(version: DatabaseVersion, script: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory cannot fail; if it did, the size would not fit and the file not verify.
    let packed = encoder.write_all(script).and_then(|()| encoder.finish()).unwrap_or_default();
    [format!("ClamAV-Diff:{}:{}:", version.0, script.len()).as_bytes(), &packed].concat()
}

/// Version, bytes of the script, and where the header ends.
fn header(file: &[u8]) -> Option<(DatabaseVersion, u64, usize)> {
    let end = file.iter().take(MAX_HEADER_BYTES).enumerate().filter(|(_, byte)| **byte == b':').nth(2)?.0;
    let text = std::str::from_utf8(file.get(..end)?).ok()?;
    let (version, size) = text.strip_prefix("ClamAV-Diff:")?.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = digits(version) && digits(size);
    Some((DatabaseVersion(version.parse().ok().filter(|_| numbers)?), size.parse().ok()?, end + 1))
}

#[cfg(test)]
mod tests;
