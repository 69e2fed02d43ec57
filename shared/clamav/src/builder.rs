//! Builds databases and signs them with keys made for the occasion.

pub mod certificates;
mod shared_data;

use std::sync::OnceLock;

use chrono::DateTime;

pub use self::shared_data::shared_data;
pub use crate::signing::SigningKeys;
use crate::{
    cdiff::between,
    cvd::{COPYING, CvdHeader, count_signatures},
    database::{DatabaseName, DatabaseVersion, FunctionalityLevel},
    unpacked::Unpacked,
};

impl SigningKeys {
    /// Keys that are made once in a process: the same for all of its tests.
    ///
    /// # Panics
    /// Never: the name is not ClamAV's.
    #[expect(clippy::expect_used, reason = "the name is not ClamAV's")]
    pub fn fixed() -> &'static Self {
        static KEYS: OnceLock<SigningKeys> = OnceLock::new();
        KEYS.get_or_init(|| Self::generate("test").expect("a name other than clamav"))
    }
}

/// The EICAR test file, put together at run time so that nothing flags this repository.
pub fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}

/// A signature line of a `.ndb` that finds the EICAR test file at the beginning of any layer.
pub fn eicar_signature() -> String {
    format!("Eicar-Test-Signature:0:0:{}\n", hex::encode(eicar()))
}

/// Builds a CVD, right or wrong in one way.
#[derive(Clone, Debug)]
pub struct CvdBuilder {
    name: String,
    version: u32,
    header_version: Option<u32>,
    stime: u64,
    members: Vec<(String, String)>,
    dropped: Vec<String>,
    added: Vec<(String, String)>,
    signed: bool,
    info_signed: bool,
}

impl CvdBuilder {
    /// Begins version 1 of a database.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: 1,
            header_version: None,
            stime: 1_700_000_000,
            members: Vec::new(),
            dropped: Vec::new(),
            added: Vec::new(),
            signed: true,
            info_signed: true,
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Sets the build time, in seconds since the Unix epoch.
    #[must_use]
    pub fn built(self, stime: u64) -> Self {
        Self { stime, ..self }
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, name: &str, text: impl Into<String>) -> Self {
        self.members.push((name.to_owned(), text.into()));
        self
    }

    /// Writes this version into the header alone.
    #[must_use]
    pub fn header_version(self, version: u32) -> Self {
        Self { header_version: Some(version), ..self }
    }

    /// Leaves MD5 and signature out of the header.
    #[must_use]
    pub fn unsigned(self) -> Self {
        Self { signed: false, ..self }
    }

    /// Signs the `.info` over other content.
    #[must_use]
    pub fn wrong_info_signature(self) -> Self {
        Self { info_signed: false, ..self }
    }

    /// Leaves a member out after the `.info` was signed.
    #[must_use]
    pub fn drop_after_signing(mut self, name: &str) -> Self {
        self.dropped.push(name.to_owned());
        self
    }

    /// Adds a member after the `.info` was signed.
    #[must_use]
    pub fn add_after_signing(mut self, name: &str, text: &str) -> Self {
        self.added.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Builds and signs the file.
    pub fn build(&self, keys: &SigningKeys) -> Vec<u8> {
        let kept = self.contents(keys);
        let mut header = self.header();
        header.version = DatabaseVersion(self.header_version.unwrap_or(self.version));
        let members = kept.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
        let cvd = keys.cvd(&header, members, 1);
        if self.signed { cvd } else { [header.to_bytes().as_slice(), cvd.get(512..).unwrap_or_default()].concat() }
    }

    /// Builds the CLD of the same members, as a client has it after patching.
    ///
    /// # Panics
    /// When `COPYING` or the `.info` was dropped.
    #[expect(clippy::expect_used, reason = "a test kit may insist on its caller's members")]
    pub fn build_cld(&self, keys: &SigningKeys) -> Vec<u8> {
        let name = DatabaseName::new(self.name.clone()).expect("a database's name");
        self.unpacked(keys).to_cld(&name).expect("COPYING and .info")
    }

    /// Builds and signs the CDIFF that leads here from an older version.
    ///
    /// # Panics
    /// When a member does not end with a line feed.
    #[expect(clippy::expect_used, reason = "a test kit may insist on its caller's members")]
    pub fn cdiff_from(&self, older: &Self, keys: &SigningKeys) -> Vec<u8> {
        let script = between(&older.unpacked(keys), &self.unpacked(keys)).expect("lines");
        keys.cdiff(DatabaseVersion(self.version), &script)
    }

    /// The members as they will be packed.
    pub fn unpacked(&self, keys: &SigningKeys) -> Unpacked<'static> {
        let owned = |(name, text): (String, String)| (name, text.into_bytes().into());
        Unpacked { members: self.contents(keys).into_iter().map(owned).collect() }
    }

    fn contents(&self, keys: &SigningKeys) -> Vec<(String, String)> {
        let info = (format!("{}.info", self.name), self.info(keys));
        [(COPYING.to_owned(), "Made for a test.\n".to_owned()), info]
            .into_iter()
            .chain(self.members.iter().cloned())
            .filter(|(name, _)| !self.dropped.contains(name))
            .chain(self.added.iter().cloned())
            .collect()
    }

    #[expect(clippy::expect_used, reason = "a test kit may insist on its caller's name")]
    fn info(&self, keys: &SigningKeys) -> String {
        let name = DatabaseName::new(self.name.clone()).expect("a database's name");
        let owned = |(name, text): &(String, String)| (name.clone(), text.clone().into_bytes().into());
        let info = keys.info(&self.header(), &name, &Unpacked { members: self.members.iter().map(owned).collect() });
        if self.info_signed {
            return info;
        }
        let content = info.split("DSIG:").next().unwrap_or_default();
        format!("{content}DSIG:{}\n", keys.sign_info(b"other content", &[7; 32]))
    }

    fn header(&self) -> CvdHeader {
        let signatures = self.members.iter().map(|(_, text)| count_signatures(text.as_bytes())).sum();
        let built = DateTime::from_timestamp(i64::try_from(self.stime).unwrap_or_default(), 0).unwrap_or_default();
        CvdHeader::new(DatabaseVersion(self.version), signatures, FunctionalityLevel(90), "nacre", built)
    }
}
