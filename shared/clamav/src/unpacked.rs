//! A database's members, unpacked: what scripts change and CLDs are made of.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    archive::{self, ArchiveError, ArchiveLimits},
    cvd::{COPYING, CvdHeader, HeaderError},
    database::DatabaseName,
    load_order::member_rank,
};

/// The members of one database by name, `COPYING` and `.info` among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked<'a> {
    /// The members.
    pub members: BTreeMap<String, Cow<'a, [u8]>>,
}

/// Why a payload cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is not an archive of a database.
    #[error("the content cannot be unpacked")]
    Archive(#[from] ArchiveError),
    /// Two members of the same name.
    #[error("member {0} is there twice")]
    Twice(String),
}

/// Why members make no CLD.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CldError {
    /// A member that every container has is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// The first line of the `.info` is not a header.
    #[error("the .info does not begin with a database header")]
    Header(#[from] HeaderError),
}

/// A member's name and content.
pub type NamedMember<'a> = (String, Cow<'a, [u8]>);

/// Unpacks a container's payload; its members keep their order.
pub fn members_in_order(payload: &[u8], limits: ArchiveLimits) -> Result<Vec<NamedMember<'_>>, UnpackError> {
    let (members, mut names) = (members_as_loaded(payload, limits)?, BTreeSet::new());
    match members.iter().find(|(name, _)| !names.insert(name)) {
        Some((name, _)) => Err(UnpackError::Twice(name.clone())),
        None => Ok(members),
    }
}

/// As [`members_in_order`], with each of several members of a name: libclamav loads one after the other, where they have the content that the
/// `.info` lists first for that name, and refuses the container where one has not (`cli_tgzload` of libclamav 1.4, `cvd.c`).
pub fn members_as_loaded(payload: &[u8], limits: ArchiveLimits) -> Result<Vec<NamedMember<'_>>, UnpackError> {
    let members = archive::members(payload, limits).map(|member| member.map(|member| (member.name, member.bytes)));
    Ok(members.collect::<Result<_, _>>()?)
}

impl<'a> Unpacked<'a> {
    /// Unpacks a container's payload.
    pub fn of(payload: &'a [u8], limits: ArchiveLimits) -> Result<Self, UnpackError> {
        Ok(Self { members: members_in_order(payload, limits)?.into_iter().collect() })
    }

    /// The members in the order of ClamAV's own containers: `COPYING`, `.info`, then by [`member_rank`], and by name.
    ///
    /// An `ign2` reaches only what is loaded after it: in another order it would not silence what it silences in ClamAV's CVD.
    pub fn in_order(&self, name: &DatabaseName) -> Vec<(&str, &[u8])> {
        let info = format!("{name}.info");
        let rank = |member: &str| match member {
            COPYING => 0,
            _ if member == info => 1,
            _ => 2 + member_rank(member),
        };
        let mut members: Vec<(&str, &[u8])> =
            self.members.iter().map(|(name, bytes)| (name.as_str(), &**bytes)).collect();
        members.sort_by_key(|(name, _)| rank(name));
        members
    }

    /// Writes the members, not compressed, after a header, in ClamAV's order.
    pub fn after(&self, header: &CvdHeader, name: &DatabaseName) -> Vec<u8> {
        archive::after(&header.to_bytes(), self.in_order(name).into_iter())
    }

    /// Writes the members as a CLD: the header is the first line of `.info`, the content not compressed. Nothing is verified
    /// by this; [`super::cvd::Cvd::verify`] does that.
    pub fn to_cld(&self, name: &DatabaseName) -> Result<Vec<u8>, CldError> {
        let info_name = format!("{name}.info");
        let info = self.members.get(&info_name).ok_or(CldError::Missing(info_name))?;
        // By its first bytes libclamav knows a payload that is not compressed.
        self.members.get(COPYING).ok_or_else(|| CldError::Missing(COPYING.into()))?;
        let first = info.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = std::str::from_utf8(first).map_err(|_| HeaderError::NotPrintable)?;
        let header = CvdHeader::parse_line(first)?;
        Ok(self.after(&header, name))
    }
}
