//! The rescanner's settings.

use nacre_shared::{
    settings::{Setting, SettingError, Settings},
    settings_table,
};

/// Every setting of the rescanner, as its documentation tells it.
pub const SETTINGS: &[Setting] = settings_table![
    "AV_DEFINITION_S3_BUCKET", "required", "definitions bucket";
    "NACRE_RECORDS_TABLE", "required", "table of scan records";
    "NACRE_TRIGGER_TOPIC_ARN", "required", "topic that rescans are asked for on";
    "NACRE_RESCAN_SEGMENTS", "8", "parts of the table that are read at once, 1 to 256";
    "AWS_REGION", "required", "region that triggers name; Lambda sets it";
];

/// The rescanner's settings, read once at cold start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `AV_DEFINITION_S3_BUCKET`, required: the definitions bucket.
    pub definitions_bucket: String,
    /// `NACRE_RECORDS_TABLE`, required: the table of scan records.
    pub records_table: String,
    /// `NACRE_TRIGGER_TOPIC_ARN`, required: the `ScannerTrigger` topic.
    pub trigger_topic_arn: String,
    /// `NACRE_RESCAN_SEGMENTS`, default 8: parts of the table that are read at once.
    pub segments: u32,
    /// `AWS_REGION`, which Lambda sets: the region that triggers name.
    pub region: String,
}

impl Config {
    /// Reads the settings through `variable`.
    ///
    /// # Errors
    /// [`SettingError`], which names the variable.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let settings = Settings::new(variable);
        let segments = settings.parsed("NACRE_RESCAN_SEGMENTS", |value| {
            value.parse().ok().filter(|segments| (1..=256).contains(segments)).ok_or("a whole number from 1 to 256")
        })?;
        Ok(Self {
            definitions_bucket: settings.required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name")?,
            records_table: settings.required("NACRE_RECORDS_TABLE", "the scan records table's name")?,
            trigger_topic_arn: settings.required("NACRE_TRIGGER_TOPIC_ARN", "the ScannerTrigger topic's ARN")?,
            segments: segments.unwrap_or(8),
            region: settings.required("AWS_REGION", "the region of the scanned buckets")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 5] = [
        ("AV_DEFINITION_S3_BUCKET", "definitions"),
        ("NACRE_RECORDS_TABLE", "records"),
        ("NACRE_TRIGGER_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:trigger"),
        ("AWS_REGION", "eu-west-1"),
        ("NACRE_RESCAN_SEGMENTS", "16"),
    ];

    fn config(changed: &str, value: &str) -> Result<Config, SettingError> {
        Config::from_vars(|name| {
            let set = ALL.iter().find(|(key, _)| *key == name).map(|(_, set)| *set);
            if name == changed { Some(value.to_owned()) } else { set.map(str::to_owned) }
        })
    }

    #[test]
    fn a_missing_or_malformed_setting_is_named() {
        for (name, _) in &ALL[..4] {
            assert!(config(name, "").unwrap_err().to_string().starts_with(name), "{name}");
        }
        for wrong in ["0", "257", "many"] {
            let error = config("NACRE_RESCAN_SEGMENTS", wrong).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("NACRE_RESCAN_SEGMENTS is set to \"{wrong}\": set it to a whole number from 1 to 256")
            );
        }
    }

    #[test]
    fn segments_have_a_default() {
        assert_eq!(config("", "").unwrap().segments, 16);
        assert_eq!(config("NACRE_RESCAN_SEGMENTS", "").unwrap().segments, 8);
    }
}
