//! The scanner's settings.

use std::{path::PathBuf, time::Duration};

use nacre_shared::{
    definitions::trust_anchor::TrustAnchors,
    engine::protocol::Limits,
    settings::{SettingError, Settings},
    tag_policy::TagNames,
};

/// The scanner's settings, read once at cold start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `AV_DEFINITION_S3_BUCKET`, required: the definitions bucket.
    pub definitions_bucket: String,
    /// `AV_DEFINITION_PATH`, default `/tmp/clamav_defs`: where definitions are kept between invocations.
    pub definitions_path: PathBuf,
    /// `NACRE_SCRATCH_PATH`, default `/tmp`: where the engine's private directory is made.
    pub scratch_path: PathBuf,
    /// `NACRE_RECORDS_TABLE`, required: the table of scan records.
    pub records_table: String,
    /// `NACRE_ENGINE_PATH`, default `nacre-engine` beside this program.
    pub engine_path: Option<PathBuf>,
    /// `NACRE_TRUST_ANCHORS`, default ClamAV's: the keys that definitions must be signed by.
    pub trust_anchors: TrustAnchors,
    /// `NACRE_SCAN_TIMEOUT_SECONDS`, default 120: longest scan of one object.
    pub scan_timeout: Duration,
    /// `AV_SCAN_MAX_FILE_SIZE_BYTES`: larger objects are skipped. Unset: none is.
    pub skip_larger_than: Option<u64>,
    /// The engine's bounds.
    pub limits: Limits,
    /// Tag keys and values.
    pub tags: TagNames,
    /// What is published, and where.
    pub results: ResultSettings,
}

/// Where and which results are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultSettings {
    /// `AV_STATUS_SNS_ARN`: the topic; unset publishes nothing.
    pub topic_arn: Option<String>,
    /// `AV_STATUS_SNS_PUBLISH_CLEAN`, default True.
    pub publish_clean: bool,
    /// `AV_STATUS_SNS_PUBLISH_INFECTED`, default True.
    pub publish_infected: bool,
}

impl Config {
    /// Reads the settings through `variable`.
    ///
    /// # Errors
    /// [`SettingError`], which names the variable.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let settings = Settings::new(variable);
        let names = TagNames::default();
        let scan_timeout = Duration::from_secs(settings.positive("NACRE_SCAN_TIMEOUT_SECONDS")?.unwrap_or(120));
        let limits = Limits {
            max_scan_time_ms: u32::try_from(scan_timeout.as_millis()).unwrap_or(u32::MAX),
            ..Limits::default()
        };
        Ok(Self {
            definitions_bucket: settings.required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name")?,
            definitions_path: settings.or("AV_DEFINITION_PATH", "/tmp/clamav_defs").into(),
            scratch_path: settings.or("NACRE_SCRATCH_PATH", "/tmp").into(),
            records_table: settings.required("NACRE_RECORDS_TABLE", "the scan records table's name")?,
            engine_path: settings.optional("NACRE_ENGINE_PATH").map(PathBuf::from),
            trust_anchors: settings
                .parsed("NACRE_TRUST_ANCHORS", TrustAnchors::from_json)?
                .unwrap_or_else(TrustAnchors::clamav),
            scan_timeout,
            skip_larger_than: settings.positive("AV_SCAN_MAX_FILE_SIZE_BYTES")?,
            limits,
            tags: TagNames {
                status: settings.or("AV_STATUS_METADATA", &names.status),
                signature: settings.or("AV_SIGNATURE_METADATA", &names.signature),
                timestamp: settings.or("AV_TIMESTAMP_METADATA", &names.timestamp),
                reason: settings.or("NACRE_REASON_METADATA", &names.reason),
                clean: settings.or("AV_STATUS_CLEAN", &names.clean),
                infected: settings.or("AV_STATUS_INFECTED", &names.infected),
                skipped: settings.or("AV_STATUS_SKIPPED", &names.skipped),
                unscannable: settings.or("NACRE_STATUS_UNSCANNABLE", &names.unscannable),
            },
            results: ResultSettings {
                topic_arn: settings.optional("AV_STATUS_SNS_ARN"),
                publish_clean: settings.switch("AV_STATUS_SNS_PUBLISH_CLEAN", true)?,
                publish_infected: settings.switch("AV_STATUS_SNS_PUBLISH_INFECTED", true)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[(&str, &str)]) -> Result<Config, SettingError> {
        let required = [("AV_DEFINITION_S3_BUCKET", "definitions"), ("NACRE_RECORDS_TABLE", "records")];
        Config::from_vars(|name| {
            set.iter().chain(&required).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_are_the_predecessors() {
        let config = config(&[]).unwrap();
        assert_eq!(config.definitions_path, PathBuf::from("/tmp/clamav_defs"));
        assert_eq!(config.tags, TagNames::default());
        let results = ResultSettings { topic_arn: None, publish_clean: true, publish_infected: true };
        assert_eq!(config.results, results);
        assert!(config.trust_anchors.is_clamav());
    }

    #[test]
    fn a_missing_or_malformed_setting_is_named() {
        for name in ["AV_DEFINITION_S3_BUCKET", "NACRE_RECORDS_TABLE"] {
            assert!(config(&[(name, "")]).unwrap_err().to_string().starts_with(name));
        }
        for name in [
            "AV_STATUS_SNS_PUBLISH_CLEAN",
            "AV_SCAN_MAX_FILE_SIZE_BYTES",
            "NACRE_SCAN_TIMEOUT_SECONDS",
            "NACRE_TRUST_ANCHORS",
        ] {
            assert!(config(&[(name, "nonsense")]).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
