//! The `.info` member: what a database consists of, and the signature that vouches for it.
//!
//! Source: clamav.md §1.4, after libclamav `readdb.c` (`cli_loadinfo`).

use std::collections::BTreeMap;

use crate::{
    cvd::{CvdHeader, HeaderError},
    digest::Sha256Digest,
    digital_signature::{RsaPublicKey, SignatureError},
};

/// Most bytes of an `.info` that are read.
const MAX_BYTES: usize = 64 << 10;

/// A read, not yet trusted `.info`.
///
/// Shape: a header line, `name:size:sha256` for each member but `COPYING`, and `DSIG:` with a PSS signature of every byte
/// before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info<'a> {
    /// The header line; must agree with the container's own.
    pub header: CvdHeader,
    /// The members, by name.
    pub members: BTreeMap<&'a str, InfoMember>,
    signed: &'a [u8],
    signature: &'a str,
}

/// What an `.info` says of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoMember {
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
}

/// Why a member is no `.info`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// Too large, or not ASCII text.
    #[error("it is not a short text")]
    NotText,
    /// The header line is not one.
    #[error("its first line is not a database header")]
    Header(#[source] HeaderError),
    /// A line that says nothing of a member.
    #[error("line {0} is not name:size:sha256")]
    Line(usize),
    /// Two lines for the same member.
    #[error("it lists {0} twice")]
    Twice(String),
    /// No signature at its end.
    #[error("it is not signed")]
    Unsigned,
}

impl<'a> Info<'a> {
    /// Reads an `.info`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InfoError> {
        let text = text_of(bytes)?;
        let at = signature_at(text).ok_or(InfoError::Unsigned)?;
        let (signed, signature) = text.split_at(at);
        let signature = signature.trim_start_matches("DSIG:").trim_end_matches(['\r', '\n']);
        let Listing { header, members } = Listing::of(signed)?;
        Ok(Self { header, members, signed: signed.as_bytes(), signature })
    }

    /// Checks the signature.
    pub fn verify(&self, key: &RsaPublicKey) -> Result<(), SignatureError> {
        key.verify_pss(self.signed, self.signature)
    }
}

/// What an `.info` lists, whether it is signed or not: it proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// The header line.
    pub header: CvdHeader,
    /// The members, by name.
    pub members: BTreeMap<&'a str, InfoMember>,
}

impl<'a> Listing<'a> {
    /// Reads the lines before the signature, or all when there is none.
    ///
    /// # Errors
    /// [`InfoError`]; never [`InfoError::Unsigned`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InfoError> {
        let text = text_of(bytes)?;
        Self::of(signature_at(text).map_or(text, |at| text.split_at(at).0))
    }

    fn of(text: &'a str) -> Result<Self, InfoError> {
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().ok_or(InfoError::NotText)?;
        let header = CvdHeader::parse_line(first).map_err(InfoError::Header)?;
        let mut members = BTreeMap::new();
        for (number, line) in lines {
            let (name, member) = parse_line(line).ok_or(InfoError::Line(number + 1))?;
            if members.insert(name, member).is_some() {
                return Err(InfoError::Twice(name.to_owned()));
            }
        }
        Ok(Self { header, members })
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, InfoError> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii() && text.len() <= MAX_BYTES);
    text.ok_or(InfoError::NotText)
}

/// Where the line of the signature begins.
fn signature_at(text: &str) -> Option<usize> {
    text.find("\nDSIG:").map(|line_feed| line_feed + 1)
}

fn parse_line(line: &str) -> Option<(&str, InfoMember)> {
    let (rest, sha256) = line.rsplit_once(':')?;
    let (name, size) = rest.rsplit_once(':')?;
    let number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let size = size.parse().ok().filter(|_| number && !name.is_empty())?;
    Some((name, InfoMember { size, sha256: sha256.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "ClamAV-VDB:22 Jun 2021 21-34 -0400:6:14:81:X:X:builder:1624412045\n";

    fn with(lines: &str) -> String {
        format!("{HEADER}{lines}DSIG:abc\n")
    }

    #[test]
    fn members_are_read() {
        let digest = "a".repeat(64);
        let text = with(&format!("test.cfg:44:{digest}\ntest.hdb:113:{digest}\n"));
        let info = Info::parse(text.as_bytes()).unwrap();
        assert_eq!(info.members.keys().copied().collect::<Vec<_>>(), ["test.cfg", "test.hdb"]);
        assert_eq!(info.members["test.hdb"], InfoMember { size: 113, sha256: digest.parse().unwrap() });
        assert_eq!((info.signed, info.signature), (&text.as_bytes()[..text.len() - 9], "abc"));
    }

    #[test]
    fn a_listing_is_read_signed_or_not() {
        let signed = with(&format!("test.hdb:113:{}\n", "a".repeat(64)));
        let unsigned = signed.trim_end_matches("DSIG:abc\n");
        let listing = Listing::parse(unsigned.as_bytes()).unwrap();
        assert_eq!(Listing::parse(signed.as_bytes()), Ok(listing.clone()));
        assert_eq!(Info::parse(signed.as_bytes()).unwrap().members, listing.members);
    }

    #[test]
    fn what_is_no_info_is_refused() {
        let digest = "a".repeat(64);
        let twice = format!("a:1:{digest}\n").repeat(2);
        for (text, error) in [
            (HEADER.to_owned(), InfoError::Unsigned),
            (with("test.cfg:44\n"), InfoError::Line(2)),
            (with(&format!("test.cfg:+4:{digest}\n")), InfoError::Line(2)),
            (with(&format!("test.cfg:4:{}\n", digest.to_uppercase())), InfoError::Line(2)),
            (with(&twice), InfoError::Twice("a".into())),
            ("é\nDSIG:a".into(), InfoError::NotText),
        ] {
            assert_eq!(Info::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert!(matches!(Info::parse(b"ClamAV\nDSIG:a"), Err(InfoError::Header(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(bytes: Vec<u8>, lines in "[a-f0-9:.\n]{0,200}") {
            let _ = Info::parse(&bytes);
            let _ = Info::parse(with(&lines).as_bytes());
        }
    }
}
