//! `.sign`: the detached signatures that ClamAV gives out beside its databases since 1.5.
//!
//! Source: clamav.md §2, after `libclamav_rust/src/codesign.rs` (`verify_signed_file`) of ClamAV 1.5.

mod algorithm;
mod certificate;
mod signed_data;

use base64ct::{Base64, Encoding};
use chrono::{DateTime, Utc};

use self::{algorithm::Hash, signed_data::SignedData};
pub use self::{
    certificate::{CertificateError, ChainError, RootCertificate},
    signed_data::SignedDataError,
};
use crate::database::FunctionalityLevel;

/// Functionality level of the ClamAV whose `.sign` format this is: 1.5.3.
pub const FUNCTIONALITY_LEVEL: FunctionalityLevel = FunctionalityLevel(233);

/// Most bytes of a `.sign` file that are read; ClamAV's have about 9 KiB.
const MAX_BYTES: usize = 64 << 10;

/// Most signatures in a `.sign` file; ClamAV's have one.
const MAX_SIGNATURES: usize = 4;

const FIRST_LINE: &str = "#clamsign-1.0";

/// The one format of a signature, which is base 64 without the lines around it that PEM would have.
const FORMAT: &str = "pkcs7-pem";

/// What a `.sign` file said of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detached {
    /// Signed by a certificate that chains to the root.
    Signed {
        /// Common name of the signer.
        signer: String,
    },
    /// No signature is for our functionality level: nothing was said.
    NotForUs,
}

/// Why a `.sign` file does not vouch for the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetachedError {
    /// More bytes than we read.
    #[error("the file has {0} bytes, more than 64 KiB")]
    TooLarge(usize),
    /// Bytes beyond ASCII.
    #[error("the file is not text")]
    NotText,
    /// Another format, or another version of it.
    #[error("the file does not begin with {FIRST_LINE}")]
    FirstLine,
    /// No signature at all.
    #[error("the file has no signature")]
    NoSignature,
    /// More signatures than we read.
    #[error("the file has {0} signatures, more than 4")]
    TooManySignatures(usize),
    /// An invalid line.
    #[error("line {0} is not level:level:format:signature")]
    Line(usize),
    /// A format of signature that we do not know, though it is said to be for us.
    #[error("the signature in line {0} is not in the format {FORMAT}")]
    Format(usize),
    /// A signature that is not base 64.
    #[error("the signature in line {0} is not base 64")]
    Base64(usize),
    /// A signature that does not hold.
    #[error("the signature in line {line} does not hold")]
    Signature {
        /// Which line, counted from 1.
        line: usize,
        #[source]
        source: SignedDataError,
    },
}

/// Checks what a `.sign` file says of the content.
///
/// Shape: `#clamsign-1.0`, then a line `<least level>:<greatest level or empty>:pkcs7-pem:<base 64 of PKCS#7>` for each
/// signature; empty lines and further lines with `#` are comments.
///
/// Off-spec: ClamAV falls back to the legacy signatures when a line is broken, and is content with one valid line of many.
/// Here a file that is there must be right: every line must be readable, and every signature for our level must hold.
pub fn verify(
    sign_file: &[u8],
    content: &[u8],
    root: &RootCertificate,
    level: FunctionalityLevel,
    at: DateTime<Utc>,
) -> Result<Detached, DetachedError> {
    verify_with(sign_file, &|hash| Some(hash.digest(content)), root, level, at)
}

/// As [`verify`], for content of which only the SHA-256 is at hand. Signatures of any other digest are refused.
pub fn verify_sha256(
    sign_file: &[u8],
    sha256: &[u8; 32],
    root: &RootCertificate,
    level: FunctionalityLevel,
    at: DateTime<Utc>,
) -> Result<Detached, DetachedError> {
    verify_with(sign_file, &|hash| (hash == Hash::Sha256).then(|| sha256.to_vec()), root, level, at)
}

fn verify_with(
    sign_file: &[u8],
    digest: &dyn Fn(Hash) -> Option<Vec<u8>>,
    root: &RootCertificate,
    level: FunctionalityLevel,
    at: DateTime<Utc>,
) -> Result<Detached, DetachedError> {
    let mut signers = Vec::new();
    for SignatureLine { number, text, .. } in parse(sign_file)?.into_iter().filter(|line| line.is_for(level)) {
        let text = text.strip_prefix(FORMAT).and_then(|text| text.strip_prefix(':'));
        let der = Base64::decode_vec(text.ok_or(DetachedError::Format(number))?);
        let der = der.map_err(|_| DetachedError::Base64(number))?;
        let signer = SignedData::parse(&der).and_then(|signed| signed.verify(root, at, digest));
        signers.push(signer.map_err(|source| DetachedError::Signature { line: number, source })?);
    }
    Ok(signers.into_iter().next().map_or(Detached::NotForUs, |signer| Detached::Signed { signer }))
}

/// A line of which only the levels were read, for what is not for us may be in a format of the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SignatureLine<'a> {
    number: usize,
    least: u32,
    greatest: Option<u32>,
    text: &'a str,
}

impl SignatureLine<'_> {
    fn is_for(&self, level: FunctionalityLevel) -> bool {
        self.least <= level.0 && self.greatest.is_none_or(|greatest| level.0 <= greatest)
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<SignatureLine<'_>>, DetachedError> {
    if bytes.len() > MAX_BYTES {
        return Err(DetachedError::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).ok_or(DetachedError::NotText)?;
    let mut lines = text.lines().zip(1..);
    if lines.next().is_none_or(|(first, _)| first != FIRST_LINE) {
        return Err(DetachedError::FirstLine);
    }
    let said = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let read = said.map(|(line, number)| parse_line(line, number).ok_or(DetachedError::Line(number)));
    let signatures = read.collect::<Result<Vec<_>, _>>()?;
    match signatures.len() {
        0 => Err(DetachedError::NoSignature),
        1..=MAX_SIGNATURES => Ok(signatures),
        many => Err(DetachedError::TooManySignatures(many)),
    }
}

fn parse_line(line: &str, number: usize) -> Option<SignatureLine<'_>> {
    let (least, rest) = line.split_once(':')?;
    let (greatest, text) = rest.split_once(':')?;
    let level = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let greatest = if greatest.is_empty() { None } else { Some(level(greatest)?) };
    Some(SignatureLine { number, least: level(least)?, greatest, text })
}

#[cfg(test)]
mod tests;
