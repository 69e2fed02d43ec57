//! What is in a container: header, members, and what the `.info` says of them.

use nacre_clamav::{
    archive::ArchiveLimits,
    cvd::{COPYING, Cvd, CvdHeader, VerifyError},
    database::ContainerKind,
    digest::Sha256Digest,
    info::Listing,
    trust_anchor::TrustAnchors,
    unpacked::Unpacked,
};
use nacre_core::{scan_record::FunctionalityLevel, telemetry::error_chain};
use serde::Serialize;

use super::{
    super::{
        build_time,
        file_kind::{database_of, extension},
    },
    Verification, lines,
};

/// What was found in a container.
#[derive(Debug, Serialize)]
pub(super) struct Container {
    // Not under its own name: the report's `kind` is beside it.
    #[serde(rename = "container")]
    pub(super) kind: ContainerKind,
    header: Option<Header>,
    payload: Payload,
    members: Vec<Member>,
    /// Members that the `.info` lists and that are not there.
    missing: Vec<String>,
    /// Why the members, or the `.info`, cannot be read.
    unreadable: Option<String>,
    verification: Verification,
}

#[derive(Debug, Serialize)]
struct Header {
    time: String,
    version: u32,
    signatures: u32,
    functionality_level: FunctionalityLevel,
    md5: Option<String>,
    dsig: Option<String>,
    builder: String,
    stime: u64,
    built: String,
}

#[derive(Debug, Serialize)]
struct Payload {
    form: &'static str,
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Member {
    name: String,
    size: usize,
    lines: usize,
    sha256: Sha256Digest,
    info: Listed,
}

/// What the `.info` says of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Listed {
    Matches,
    Differs,
    Absent,
    /// `COPYING` and the `.info` itself are in no `.info`.
    NotNeeded,
}

impl Listed {
    fn phrase(self) -> &'static str {
        match self {
            Self::Matches => ", as .info lists it",
            Self::Differs => ", OTHER than .info lists it",
            Self::Absent => ", NOT LISTED in .info",
            Self::NotNeeded => "",
        }
    }
}

impl Container {
    pub(super) fn of(kind: ContainerKind, name: &str, file: &[u8]) -> Self {
        let anchors = TrustAnchors::clamav();
        let limits = ArchiveLimits::default();
        let header = CvdHeader::parse(file).ok();
        let cvd = Cvd::parse_as(kind, file);
        let payload = cvd.as_ref().map(Cvd::payload).unwrap_or_default();
        let form = if payload.starts_with(COPYING.as_bytes()) { "plain" } else { "gzip" };
        let unpacked = cvd.as_ref().map(|cvd| cvd.unpack(limits).map_err(|error| error_chain(&error)));
        let (unpacked, unreadable) = match unpacked {
            Ok(Ok(unpacked)) => (unpacked, None),
            Ok(Err(unreadable)) => (Unpacked::default(), Some(unreadable)),
            // The verification reports it.
            Err(_) => (Unpacked::default(), None),
        };
        let listing = listing_of(&unpacked);
        let unlisted = listing.as_ref().and_then(|listing| listing.as_ref().err()).cloned();
        let listing = listing.and_then(Result::ok);
        let missing = listing.iter().flat_map(|listing| listing.members.keys());
        let missing = missing.filter(|name| !unpacked.members.contains_key(**name)).map(|&name| name.to_owned());
        let verified = match (cvd, database_of(name)) {
            (Err(error), _) => Err(VerifyError::from(error)),
            (Ok(cvd), Ok(name)) => cvd.verify(&name, &anchors, limits).map(drop),
            (Ok(_), Err(_)) => Err(VerifyError::NoInfo(format!("{name}.info"))),
        };
        Self {
            kind,
            header: header.map(Header::of),
            payload: Payload { form, bytes: payload.len() },
            members: unpacked.members.iter().map(|(name, bytes)| Member::of(name, bytes, listing.as_ref())).collect(),
            missing: missing.collect(),
            unreadable: unreadable.or(unlisted),
            verification: Verification::of(verified, &anchors),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Header { version, signatures, functionality_level: level, builder, built, time, .. }) = &self.header
        {
            lines.push(format!(
                "  header   version {version}, {signatures} signatures, functionality level {}",
                level.0
            ));
            lines.push(format!("  built    {built} ({time}) by {builder}"));
        }
        if let Some(Header { md5: Some(md5), .. }) = &self.header {
            lines.push(format!("  MD5      {md5}"));
        }
        lines.push(format!("  payload  {}, {} bytes", self.payload.form, self.payload.bytes));
        for Member { name, size, lines: count, sha256, info } in &self.members {
            lines.push(format!("  member   {name}, {size} bytes, {count} lines, SHA-256 {sha256}{}", info.phrase()));
        }
        lines.extend(self.missing.iter().map(|name| format!("  member   {name} is MISSING: .info lists it")));
        lines.extend(self.unreadable.iter().map(|reason| format!("  content  cannot be read: {reason}")));
        lines.push(self.verification.line());
        lines
    }
}

/// The listing of the only `.info`, or why it is invalid; `None` when there is no `.info`.
fn listing_of<'u>(unpacked: &'u Unpacked<'_>) -> Option<Result<Listing<'u>, String>> {
    let (name, bytes) = unpacked.members.iter().find(|(name, _)| extension(name) == "info")?;
    Some(Listing::parse(bytes).map_err(|error| format!("{name}: {}", error_chain(&error))))
}

impl Header {
    fn of(header: CvdHeader) -> Self {
        let built = build_time(&header);
        let CvdHeader { time, version, signatures, functionality_level, md5, dsig, builder, stime } = header;
        let (version, functionality_level) = (version.0, functionality_level);
        Self { time, version, signatures, functionality_level, md5, dsig, builder, stime, built }
    }
}

impl Member {
    fn of(name: &str, bytes: &[u8], listing: Option<&Listing<'_>>) -> Self {
        let sha256 = Sha256Digest::of(bytes);
        let listed = listing.and_then(|listing| listing.members.get(name));
        let info = match listed {
            _ if name == COPYING || extension(name) == "info" => Listed::NotNeeded,
            None => Listed::Absent,
            Some(listed) if listed.size == bytes.len() as u64 && listed.sha256 == sha256 => Listed::Matches,
            Some(_) => Listed::Differs,
        };
        Self { name: name.to_owned(), size: bytes.len(), lines: lines(bytes), sha256, info }
    }
}
