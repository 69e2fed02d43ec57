//! ClamAV's DNS record, which names the newest versions.

use chrono::{DateTime, TimeDelta, Utc};

use crate::database::{DatabaseName, DatabaseVersion, FunctionalityLevel};

/// Longest record, in bytes: a string of a TXT record has no more.
const MAX_BYTES: usize = 255;

/// Longest version of `ClamAV` that is taken, in bytes.
const MAX_CLAMAV_VERSION_BYTES: usize = 32;

/// How old a record may be; freshclam's `DNS_WARNING_THRESHOLD_HOURS`.
const MAX_AGE: TimeDelta = TimeDelta::hours(12);

/// What the record says.
///
/// Shape: `<clamav>:<main>:<daily>:<time>:<warn>:<flevel>:<safebrowsing>:<bytecode>`, such as
/// `0.103.1:59:26104:1615408140:0:63:49191:333`. The time is in seconds since the Unix epoch; `warn` is 0 when nobody need be informed of
/// the newer `ClamAV`. What follows is ignored.
///
/// Source: freshclam 1.4, `textrecordfield`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// The newest `ClamAV`; letters, digits, `.`, `+`, `-`, `_` and `~`, at most 32.
    pub clamav_version: String,
    /// When the record was made.
    pub recorded_at: DateTime<Utc>,
    /// Whether users of an older `ClamAV` are to be informed of the newer.
    pub warns_of_old_versions: bool,
    /// The functionality level of the newest `ClamAV`.
    pub functionality_level: Option<FunctionalityLevel>,
    main: Option<DatabaseVersion>,
    daily: Option<DatabaseVersion>,
    safebrowsing: Option<DatabaseVersion>,
    bytecode: Option<DatabaseVersion>,
}

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsRecordError {
    /// Longer than any string of a TXT record.
    #[error("it has {length} bytes, more than 255")]
    TooLong {
        /// Its bytes.
        length: usize,
    },
    /// The first field is no version of `ClamAV`.
    #[error("its field 0 is not a version of ClamAV")]
    ClamavVersion,
    /// The fourth field is no time.
    #[error("its field 3 is not a time in seconds since the Unix epoch")]
    Time,
}

impl DnsRecord {
    /// Reads a record.
    ///
    /// A version that is missing, zero or not a number only leaves that one database unknown.
    ///
    /// # Errors
    /// [`DnsRecordError`].
    pub fn parse(text: &str) -> Result<Self, DnsRecordError> {
        if text.len() > MAX_BYTES {
            return Err(DnsRecordError::TooLong { length: text.len() });
        }
        let field = |index: usize| text.split(':').nth(index);
        let clamav_version =
            field(0).filter(|version| is_clamav_version(version)).ok_or(DnsRecordError::ClamavVersion)?;
        let seconds = field(3).and_then(number::<i64>).ok_or(DnsRecordError::Time)?;
        let version = |index| field(index).and_then(number::<u32>).filter(|version| *version > 0).map(DatabaseVersion);
        Ok(Self {
            clamav_version: clamav_version.to_owned(),
            recorded_at: DateTime::from_timestamp(seconds, 0).ok_or(DnsRecordError::Time)?,
            warns_of_old_versions: field(4).is_some_and(|flag| flag != "0"),
            functionality_level: field(5).and_then(number).map(FunctionalityLevel),
            main: version(1),
            daily: version(2),
            safebrowsing: version(6),
            bytecode: version(7),
        })
    }

    /// The newest version of a database; none when the record does not say.
    pub fn version(&self, database: &DatabaseName) -> Option<DatabaseVersion> {
        match database.as_str() {
            "main" => self.main,
            "daily" => self.daily,
            "safebrowsing" => self.safebrowsing,
            "bytecode" => self.bytecode,
            _ => None,
        }
    }

    /// Whether the record may be relied on: made within 12 hours of now, before or after, since clocks differ.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        (now - self.recorded_at).abs() <= MAX_AGE
    }
}

fn is_clamav_version(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_~".contains(&byte);
    (1..=MAX_CLAMAV_VERSION_BYTES).contains(&text.len()) && text.bytes().all(is_part)
}

/// Reads decimal digits; `FromStr` would take a sign too.
fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "0.103.1:59:26104:1615408140:0:63:49191:333";

    fn version(record: &DnsRecord, name: &str) -> Option<u32> {
        record.version(&DatabaseName::new(name).unwrap()).map(|version| version.0)
    }

    #[test]
    fn the_record_has_each_databases_version() {
        let record = DnsRecord::parse(EXAMPLE).unwrap();
        assert_eq!(record.clamav_version, "0.103.1");
        assert_eq!(record.functionality_level, Some(FunctionalityLevel(63)));
        assert!(!record.warns_of_old_versions);
        let names = ["main", "daily", "safebrowsing", "bytecode", "valhalla"];
        let versions = names.map(|name| version(&record, name));
        assert_eq!(versions, [Some(59), Some(26104), Some(49191), Some(333), None]);
        assert_eq!(DnsRecord::parse(&format!("{EXAMPLE}:more:and:more")), Ok(record));
    }

    #[test]
    fn a_broken_version_leaves_only_its_own_database_unknown() {
        let record = DnsRecord::parse("1.4.6:0:27780:1615408140:1:+216::").unwrap();
        assert_eq!(["main", "daily", "bytecode"].map(|name| version(&record, name)), [None, Some(27780), None]);
        assert_eq!(record.functionality_level, None);
        assert!(record.warns_of_old_versions);
        let short = DnsRecord::parse("1.4.6:62:99999999999:1615408140").unwrap();
        assert_eq!(["main", "daily", "bytecode"].map(|name| version(&short, name)), [Some(62), None, None]);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for (text, error) in [
            ("", DnsRecordError::ClamavVersion),
            ("v=spf1 -all", DnsRecordError::ClamavVersion),
            (":62:27780:1615408140", DnsRecordError::ClamavVersion),
            ("1.4.6:62:27780", DnsRecordError::Time),
            ("1.4.6:62:27780:", DnsRecordError::Time),
            ("1.4.6:62:27780:-1", DnsRecordError::Time),
            ("1.4.6:62:27780:9223372036854775807", DnsRecordError::Time),
        ] {
            assert_eq!(DnsRecord::parse(text), Err(error), "{text}");
        }
        assert_eq!(DnsRecord::parse(&"1".repeat(256)), Err(DnsRecordError::TooLong { length: 256 }));
        assert_eq!(DnsRecord::parse(&"1".repeat(33)), Err(DnsRecordError::ClamavVersion));
    }

    #[test]
    fn a_record_is_fresh_for_twelve_hours_either_side() {
        let record = DnsRecord::parse(EXAMPLE).unwrap();
        let fresh = |seconds| record.is_fresh(record.recorded_at + TimeDelta::seconds(seconds));
        let half_day = 12 * 3600;
        assert!(fresh(0) && fresh(half_day) && fresh(-half_day));
        assert!(!fresh(half_day + 1) && !fresh(-half_day - 1));
        let farthest = DnsRecord::parse("1:1:1:8210266876799").unwrap();
        assert!(!farthest.is_fresh(DateTime::<Utc>::MIN_UTC));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,300}") {
            let _ = DnsRecord::parse(&text);
        }

        #[test]
        fn nothing_of_almost_the_form_panics(fields in prop::collection::vec("[-+0-9a-z.é]{0,24}", 0..12)) {
            let _ = DnsRecord::parse(&fields.join(":"));
        }

        #[test]
        fn what_is_written_is_read(
            main in 1_u32.., daily in 1_u32.., time in 0_i64..4_102_444_800, flevel: u32, bytecode in 1_u32..,
        ) {
            let record = DnsRecord::parse(&format!("1.4.6:{main}:{daily}:{time}:0:{flevel}:1:{bytecode}")).unwrap();
            let versions = ["main", "daily", "bytecode"].map(|name| version(&record, name));
            prop_assert_eq!(versions, [Some(main), Some(daily), Some(bytecode)]);
            prop_assert_eq!(record.recorded_at.timestamp(), time);
            prop_assert_eq!(record.functionality_level, Some(FunctionalityLevel(flevel)));
        }
    }
}
