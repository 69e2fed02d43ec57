//! The synthetic databases: `main`, which stays, and `daily`, which has a new version each day.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::{
    builder::eicar_signature,
    cdiff::between,
    cvd::CvdHeader,
    database::{DatabaseName, DatabaseVersion, FunctionalityLevel},
    signing::SigningKeys,
    unpacked::Unpacked,
};

use crate::Random;

use super::{
    BenchError,
    signatures::{a_day_later, append, shares},
};

/// zlib's default, which costs and gives about what ClamAV's own packing does.
const COMPRESSION: u32 = 6;

/// One version of a database.
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// Its version.
    pub version: DatabaseVersion,
    /// Its members, unpacked.
    pub members: Unpacked<'static>,
    built: DateTime<Utc>,
    random: Random,
}

impl Database {
    /// Makes the first version, of so many signatures. `daily` knows EICAR, as every set must.
    pub fn first(
        name: &str,
        version: u32,
        signatures: u32,
        built: DateTime<Utc>,
        keys: &SigningKeys,
    ) -> Result<Self, BenchError> {
        let mut random = Random::new(name.bytes().map(u64::from).sum());
        let mut members = BTreeMap::from([("COPYING".to_owned(), b"Made for a benchmark.\n".to_vec().into())]);
        for (kind, count) in shares(signatures) {
            let eicar = (name == "daily" && kind == "ndb").then(eicar_signature);
            let mut lines = eicar.unwrap_or_default().into_bytes();
            for number in 0..u64::from(count) {
                append(kind, name, number, &mut random, &mut lines);
            }
            members.insert(format!("{name}.{kind}"), lines.into());
        }
        let (name, members) = (DatabaseName::new(name)?, Unpacked { members });
        let mut database = Self { name, version: DatabaseVersion(version), members, built, random };
        database.sign(keys);
        Ok(database)
    }

    /// Adds signature lines of a kind to the version.
    pub fn add(&mut self, kind: &str, lines: &[u8], keys: &SigningKeys) {
        let member = self.members.members.entry(format!("{}.{kind}", self.name)).or_default();
        member.to_mut().extend_from_slice(lines);
        self.sign(keys);
    }

    /// Makes the next day's version, which has these lines more, by the extension of their file, and the CDIFF that leads there.
    pub fn grown(&self, lines: &[(&str, Vec<u8>)], keys: &SigningKeys) -> Result<(Self, Vec<u8>), BenchError> {
        let mut members = self.members.members.clone();
        for (kind, more) in lines {
            members.entry(format!("{}.{kind}", self.name)).or_default().to_mut().extend_from_slice(more);
        }
        let (version, built) = (DatabaseVersion(self.version.0 + 1), self.built + TimeDelta::days(1));
        let random = self.random.clone();
        let mut next = Self { name: self.name.clone(), version, members: Unpacked { members }, built, random };
        next.sign(keys);
        let script = between(&self.members, &next.members)?;
        Ok((next, keys.cdiff(version, &script)))
    }

    /// Makes the next day's version, in which about so many lines are touched, and the CDIFF that leads there.
    pub fn next(&self, touched: usize, keys: &SigningKeys) -> Result<(Self, Vec<u8>), BenchError> {
        let all = self.signatures() as usize;
        let pace = (all / touched).max(2);
        let info = format!("{}.info", self.name);
        let mut random = Random::new(self.random.clone().next() ^ u64::from(self.version.0));
        let mut members = self.members.members.clone();
        for (member, bytes) in members.iter_mut().filter(|(member, _)| *member != "COPYING" && **member != info) {
            let kind = member.rsplit('.').next().unwrap_or_default().to_owned();
            *bytes = a_day_later(&kind, bytes, pace, self.name.as_str(), &mut random).into();
            if kind == "ndb" {
                // Whatever the day took, the file that proves the set stays known.
                bytes.to_mut().extend_from_slice(eicar_signature().as_bytes());
            }
        }
        let version = DatabaseVersion(self.version.0 + 1);
        let built = self.built + TimeDelta::days(1);
        let mut next = Self { name: self.name.clone(), version, members: Unpacked { members }, built, random };
        next.sign(keys);
        let script = between(&self.members, &next.members)?;
        Ok((next, keys.cdiff(version, &script)))
    }

    /// Packs the version as its makers do.
    pub fn cvd(&self, keys: &SigningKeys) -> Vec<u8> {
        keys.cvd(&self.header(), self.members.in_order(&self.name).into_iter(), COMPRESSION)
    }

    /// Number of signatures.
    pub fn signatures(&self) -> u32 {
        self.header().signatures
    }

    fn sign(&mut self, keys: &SigningKeys) {
        let info = keys.info(&self.header(), &self.name, &self.members);
        self.members.members.insert(format!("{}.info", self.name), info.into_bytes().into());
    }

    fn header(&self) -> CvdHeader {
        let info = format!("{}.info", self.name);
        let signed = self.members.members.iter().filter(|(name, _)| *name != "COPYING" && **name != info);
        let lines = signed.map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n').count()).sum::<usize>();
        CvdHeader {
            time: self.built.format("%d %b %Y %H-%M +0000").to_string(),
            version: self.version,
            signatures: u32::try_from(lines).unwrap_or(u32::MAX),
            functionality_level: FunctionalityLevel(90),
            md5: None,
            dsig: None,
            builder: "nacre".into(),
            stime: u64::try_from(self.built.timestamp()).unwrap_or_default(),
        }
    }
}
