//! `freshclam.dat`: who a freshclam is to its mirrors, and until when it leaves them alone. Pure.
//!
//! Shape: `FreshClamData`, then a C structure of 56 bytes: version 1 (`u32`), a UUID as text with its final zero (37 bytes), and a time in
//! seconds (`i64`, at 48); then the last `cf-ray`. Numbers are the machine's own, which on Lambda's are little-endian.
//! Source: libfreshclam `freshclam_dat_v1_t`, ClamAV 1.4.

use base64ct::{Base64, Encoding};
use chrono::{DateTime, Utc};

/// Most bytes of the file; real ones have 90.
pub(super) const MAX_BYTES: usize = 4096;

const MAGIC: &[u8] = b"FreshClamData";

/// Where the parts of version 1 are.
const VERSION: usize = MAGIC.len();
const UUID: usize = VERSION + 4;
const RETRY_AFTER: usize = VERSION + 48;

/// A data file. Of a version that is not known it is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile(Vec<u8>);

impl DataFile {
    /// Accepts a file that begins as one.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_BYTES && bytes.starts_with(MAGIC)).then_some(Self(bytes))
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::parse(Base64::decode_vec(text).ok()?)
    }

    /// The file in base 64, for the updater's state.
    pub fn to_text(&self) -> String {
        Base64::encode_string(&self.0)
    }

    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Who it is to the mirrors.
    pub fn uuid(&self) -> Option<&str> {
        let text = self.version_1()?.get(UUID..UUID + 36)?;
        let is_valid = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
        std::str::from_utf8(text).ok().filter(|_| text.iter().all(is_valid))
    }

    /// Until when it leaves all mirrors alone; it may be over.
    pub fn retry_after(&self) -> Option<DateTime<Utc>> {
        let seconds = self.version_1()?.get(RETRY_AFTER..)?.first_chunk()?;
        DateTime::from_timestamp(i64::from_le_bytes(*seconds), 0).filter(|time| *time > DateTime::UNIX_EPOCH)
    }

    /// The same, leaving mirrors alone no longer than until `latest`: freshclam does so for years if a mirror says so.
    #[must_use]
    pub fn until_at_most(mut self, latest: DateTime<Utc>) -> Self {
        let seconds = self.version_1().and_then(|bytes| bytes.get(RETRY_AFTER..)?.first_chunk());
        let seconds = seconds.map_or(i64::MIN, |seconds| i64::from_le_bytes(*seconds));
        if seconds > latest.timestamp()
            && let Some(place) = self.0.get_mut(RETRY_AFTER..RETRY_AFTER + 8)
        {
            place.copy_from_slice(&latest.timestamp().to_le_bytes());
        }
        self
    }

    fn version_1(&self) -> Option<&[u8]> {
        let version = self.0.get(VERSION..)?.first_chunk()?;
        (u32::from_le_bytes(*version) == 1).then_some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHO: &str = "bd801294-23e7-4849-a3c0-6f93a9de71f9";

    /// As freshclam 1.4.6 writes it.
    fn written(version: u32, retry_after: i64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(WHO.as_bytes());
        bytes.resize(RETRY_AFTER, 0);
        bytes.extend(retry_after.to_le_bytes());
        bytes.resize(90, 0);
        bytes
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn it_says_who_and_until_when() {
        let data = DataFile::parse(written(1, 1_795_854_914)).unwrap();
        assert_eq!((data.uuid(), data.retry_after()), (Some(WHO), Some(at(1_795_854_914))));
        assert_eq!(DataFile::parse(written(1, 0)).unwrap().retry_after(), None);
    }

    #[test]
    fn no_mirror_silences_it_for_longer_than_wanted() {
        let week = at(1_000_000);
        for (wait, kept) in [(999_999, Some(at(999_999))), (1_000_001, Some(week)), (i64::MAX, Some(week)), (0, None)] {
            let data = DataFile::parse(written(1, wait)).unwrap().until_at_most(week);
            assert_eq!((data.retry_after(), data.uuid(), data.as_bytes().len()), (kept, Some(WHO), 90), "{wait}");
        }
    }

    #[test]
    fn a_version_to_come_is_kept_and_not_read() {
        let data = DataFile::parse(written(2, i64::MAX)).unwrap();
        assert_eq!((data.uuid(), data.retry_after()), (None, None));
        assert_eq!(data.clone().until_at_most(at(0)), data);
        assert_eq!(DataFile::from_text(&data.to_text()), Some(data));
    }

    #[test]
    fn what_does_not_begin_as_one_is_none() {
        assert_eq!(DataFile::parse(b"FreshClamDat".to_vec()), None);
        assert_eq!(DataFile::parse([MAGIC, &[0; MAX_BYTES]].concat()), None);
        assert_eq!(DataFile::from_text("no base 64!"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_text_leads_back(tail in prop::collection::vec(any::<u8>(), 0..120), latest in 0_i64..4_000_000_000) {
            let data = DataFile::parse([MAGIC, &tail].concat()).unwrap();
            prop_assert_eq!(DataFile::from_text(&data.to_text()), Some(data.clone()));
            let _ = data.uuid();
            prop_assert!(data.until_at_most(at(latest)).retry_after().is_none_or(|until| until <= at(latest)));
        }
    }
}
