//! CVD, CLD and CUD: a database's container, and what must hold before anyone may use it.
//!
//! Source: clamav.md §1, after libclamav `cvd.c` (`cl_cvdparse`, `cli_cvdload`) and `readdb.c`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    archive::{self, ArchiveError, ArchiveLimits},
    database::{ContainerKind, DatabaseName, DatabaseVersion, FunctionalityLevel},
    digital_signature::SignatureError,
    info::{Info, InfoError},
    trust_anchor::TrustAnchors,
    unpacked::{UnpackError, Unpacked},
};

/// Bytes of a container's header.
pub const HEADER_BYTES: usize = 512;

/// The member that is in every container and in no `.info`.
pub const COPYING: &str = "COPYING";

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
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Truncated(bytes.len()))?;
        if !header.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(HeaderError::NotPrintable);
        }
        let text = std::str::from_utf8(header).map_err(|_| HeaderError::NotPrintable)?;
        Self::parse_line(text.trim_end_matches(' '))
    }

    /// Reads a header without its padding.
    ///
    /// # Errors
    /// [`HeaderError`].
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

    /// Whether an `.info` tells the same story.
    fn agrees_with(&self, info: &Self) -> bool {
        let told = |header: &Self| (header.version, header.signatures, header.functionality_level, header.stime);
        told(self) == told(info)
    }
}

/// Counts the signatures of a member, as headers count them: its lines, but empty ones and comments.
pub fn count_signatures(member: &[u8]) -> usize {
    let bare = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace) || line.starts_with(b"#");
    member.split(|byte| *byte == b'\n').filter(|line| !bare(line)).count()
}

fn number<Number: std::str::FromStr>(text: &str, name: &'static str) -> Result<Number, HeaderError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(HeaderError::Field(name))
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
        /// Whose keys.
        anchor: String,
        /// Why.
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
        /// Whose keys.
        anchor: String,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// Header and `.info` tell different versions, times or numbers of signatures.
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
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse(file: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parse_as(ContainerKind::Cvd, file)
    }

    /// Reads the header of a container of this kind, which only its file name tells.
    ///
    /// # Errors
    /// [`HeaderError`].
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
    ///
    /// # Errors
    /// [`UnpackError`].
    pub fn unpack(&self, limits: ArchiveLimits) -> Result<Unpacked<'a>, UnpackError> {
        Unpacked::of(self.payload, limits)
    }

    /// Checks everything that the makers vouch for: of a CVD its MD5 and both signatures, of a CLD the signature in its
    /// `.info`, of both every member. Nobody vouches for a CUD.
    ///
    /// Off-spec: libclamav loads a container of which members are missing, and so loses detections in silence. Here the
    /// set of members must be exactly what `.info` lists, with `COPYING` and the `.info` itself.
    ///
    /// # Errors
    /// [`VerifyError`].
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
            sha256: hex::encode(Sha256::digest(self.file)),
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
            members.push(VerifiedMember { name, size, sha256: hex::encode(digest.finalize()) });
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
    /// SHA-256 of the whole file, lower-case hexadecimal.
    pub sha256: String,
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
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests;
