//! CVD, CLD and CUD: a database's container, and what must hold before anyone may use it.
//!
//! Source: clamav.md §1, after libclamav `cvd.c` (`cl_cvdparse`, `cli_cvdload`) and `readdb.c`.

mod header;

use std::collections::BTreeSet;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

pub use header::{CvdHeader, HEADER_BYTES, HeaderError};

use crate::{
    archive::{self, ArchiveError, ArchiveLimits},
    database::{ContainerKind, DatabaseName},
    digest::Sha256Digest,
    digital_signature::SignatureError,
    info::{Info, InfoError},
    trust_anchor::TrustAnchors,
    unpacked::{UnpackError, Unpacked},
};

/// The member that is in every container and in no `.info`.
pub const COPYING: &str = "COPYING";

/// Counts the signatures of a member, as headers count them: its lines, but empty ones and comments.
pub fn count_signatures(member: &[u8]) -> usize {
    let bare = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace) || line.starts_with(b"#");
    member.split(|byte| *byte == b'\n').filter(|line| !bare(line)).count()
}

/// A container that was read, and is not trusted yet.
#[derive(Clone, Debug)]
pub struct Cvd<'a> {
    kind: ContainerKind,
    header: CvdHeader,
    file: &'a [u8],
    payload: &'a [u8],
}

/// Why a container is not what its makers signed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The header is not one.
    #[error("the header is not valid")]
    Header(#[from] HeaderError),
    /// The header has no MD5 or no signature.
    #[error("the file is not signed")]
    Unsigned,
    /// The payload is not the one that the header was made for: damaged or truncated.
    #[error("the MD5 of the content is {actual}, and {expected} in the header: the file is damaged or truncated")]
    Md5 {
        /// In the header.
        expected: String,
        /// Of the payload.
        actual: String,
    },
    /// The header's signature does not hold.
    #[error("the header's signature does not hold under the keys of {anchor}")]
    Dsig {
        anchor: String,
        #[source]
        source: SignatureError,
    },
    /// The payload cannot be unpacked.
    #[error("the content cannot be unpacked")]
    Archive(#[from] ArchiveError),
    /// No `.info` of the database's own name: it is another database under this name.
    #[error("there is no {0}: the file is not this database")]
    NoInfo(String),
    /// The `.info` is not one.
    #[error("the .info is not valid")]
    Info(#[from] InfoError),
    /// The `.info`'s signature does not hold.
    #[error("the .info's signature does not hold under the keys of {anchor}")]
    InfoDsig {
        anchor: String,
        #[source]
        source: SignatureError,
    },
    /// Header and `.info` have different versions, times or numbers of signatures.
    #[error("header and .info disagree")]
    Disagreement,
    /// A member is not the one that the `.info` lists.
    #[error("member {0} differs from the one that was signed")]
    Member(String),
    /// Members that the `.info` does not list.
    #[error("members that were not signed: {0}")]
    Unlisted(String),
    /// Members that the `.info` lists and that are not there.
    #[error("members that are missing: {0}")]
    Missing(String),
    /// Two members of the same name.
    #[error("member {0} is there twice")]
    Twice(String),
}

impl From<UnpackError> for VerifyError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Archive(error) => Self::Archive(error),
            UnpackError::Twice(name) => Self::Twice(name),
        }
    }
}

impl<'a> Cvd<'a> {
    /// Reads a CVD's header.
    pub fn parse(file: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parse_as(ContainerKind::Cvd, file)
    }

    /// Reads the header of a container of this kind, which only its file name shows.
    pub fn parse_as(kind: ContainerKind, file: &'a [u8]) -> Result<Self, HeaderError> {
        let header = CvdHeader::parse(file)?;
        Ok(Self { kind, header, file, payload: file.get(HEADER_BYTES..).unwrap_or_default() })
    }

    /// The header, which proves nothing yet.
    pub fn header(&self) -> &CvdHeader {
        &self.header
    }

    /// The compressed members, which prove nothing yet.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Unpacks the members, which prove nothing yet.
    pub fn unpack(&self, limits: ArchiveLimits) -> Result<Unpacked<'a>, UnpackError> {
        Unpacked::of(self.payload, limits)
    }

    /// Checks everything that the makers vouch for: of a CVD its MD5 and both signatures, of a CLD the signature in its
    /// `.info`, of both every member. A CUD has no signature.
    ///
    /// Off-spec: libclamav loads a container of which members are missing, and so loses detections in silence. Here the
    /// set of members must be exactly what `.info` lists, with `COPYING` and the `.info` itself.
    pub fn verify(
        self,
        name: &DatabaseName,
        anchors: &TrustAnchors,
        limits: ArchiveLimits,
    ) -> Result<VerifiedCvd, VerifyError> {
        match self.kind {
            ContainerKind::Cvd => self.verify_container(anchors)?,
            ContainerKind::Cld => {}
            ContainerKind::Cud => return Err(VerifyError::Unsigned),
        }
        let members = self.verify_members(name, anchors, limits)?;
        Ok(VerifiedCvd {
            name: name.clone(),
            kind: self.kind,
            size: self.file.len() as u64,
            md5: hex::encode(Md5::digest(self.file)),
            sha256: Sha256Digest::of(self.file),
            header: self.header,
            members,
        })
    }

    /// The legacy signature: over the MD5 of the payload.
    fn verify_container(&self, anchors: &TrustAnchors) -> Result<(), VerifyError> {
        let (Some(expected), Some(dsig)) = (&self.header.md5, &self.header.dsig) else {
            return Err(VerifyError::Unsigned);
        };
        let digest: [u8; 16] = Md5::digest(self.payload).into();
        let actual = hex::encode(digest);
        if actual != *expected {
            return Err(VerifyError::Md5 { expected: expected.clone(), actual });
        }
        let failed = |source| VerifyError::Dsig { anchor: anchors.identity(), source };
        anchors.container.verify_legacy(&digest, dsig).map_err(failed)
    }

    /// The newer signature: over the digests of all members.
    fn verify_members(
        &self,
        name: &DatabaseName,
        anchors: &TrustAnchors,
        limits: ArchiveLimits,
    ) -> Result<Vec<VerifiedMember>, VerifyError> {
        let info_name = format!("{name}.info");
        let (mut members, mut info) = (Vec::new(), None);
        let mut archive = archive::members(self.payload, limits);
        loop {
            // Seen once, in pieces: a member may be larger than all the rest of what we do.
            let (mut digest, mut kept) = (Sha256::new(), Vec::new());
            let seen = archive.next_in_pieces(|name, piece| {
                digest.update(piece);
                if name == info_name {
                    kept.extend_from_slice(piece);
                }
            });
            let Some((name, size)) = seen? else { break };
            if name == info_name {
                info = Some(kept);
            }
            members.push(VerifiedMember { name, size, sha256: <[u8; 32]>::from(digest.finalize()).into() });
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([twice, _]) = members.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(VerifyError::Twice(twice.name.clone()));
        }
        let info = info.ok_or_else(|| VerifyError::NoInfo(info_name.clone()))?;
        let info = Info::parse(&info)?;
        let failed = |source| VerifyError::InfoDsig { anchor: anchors.identity(), source };
        info.verify(&anchors.info).map_err(failed)?;
        if !self.header.agrees_with(&info.header) {
            return Err(VerifyError::Disagreement);
        }
        if !members.iter().any(|member| member.name == COPYING) {
            return Err(VerifyError::Missing(COPYING.into()));
        }
        members.retain(|member| member.name != COPYING && member.name != info_name);
        compare(&members, &info)?;
        Ok(members)
    }
}

/// Compares what is there with what was signed.
fn compare(members: &[VerifiedMember], info: &Info<'_>) -> Result<(), VerifyError> {
    let present: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let listed: BTreeSet<&str> = info.members.keys().copied().collect();
    let names = |names: &BTreeSet<&str>, others: &BTreeSet<&str>| {
        let only: Vec<&str> = names.difference(others).copied().collect();
        (!only.is_empty()).then(|| only.join(", "))
    };
    if let Some(unlisted) = names(&present, &listed) {
        return Err(VerifyError::Unlisted(unlisted));
    }
    if let Some(missing) = names(&listed, &present) {
        return Err(VerifyError::Missing(missing));
    }
    let differs = |member: &&VerifiedMember| {
        let signed = info.members.get(member.name.as_str());
        signed.is_none_or(|signed| signed.size != member.size || signed.sha256 != member.sha256)
    };
    members.iter().find(differs).map_or(Ok(()), |member| Err(VerifyError::Member(member.name.clone())))
}

/// A container that is what its makers signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCvd {
    /// The database.
    pub name: DatabaseName,
    /// How it is packed.
    pub kind: ContainerKind,
    /// The header.
    pub header: CvdHeader,
    /// Bytes of the whole file.
    pub size: u64,
    /// MD5 of the whole file, lower-case hexadecimal.
    pub md5: String,
    /// SHA-256 of the whole file.
    pub sha256: Sha256Digest,
    /// The signed members, by name; without `COPYING` and `.info`.
    pub members: Vec<VerifiedMember>,
}

/// A member that is what the makers signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedMember {
    /// File name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
}

#[cfg(test)]
mod tests;
