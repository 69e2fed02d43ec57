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
    "NACRE_PASS_TOPIC_ARN", "required", "topic that a pass's own work is sent on, and comes back from by a queue";
    "NACRE_RESCAN_SEGMENTS", "one for 50,000 records", "parts that the table is read in, 1 to 256";
    "NACRE_RESCAN_OBJECTS_PER_PASS", "unlimited", "most objects that one pass asks for; the next pass asks for the others";
    "NACRE_RESCAN_BYTES_PER_PASS", "unlimited", "most bytes of objects that one pass asks for";
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
    /// `NACRE_PASS_TOPIC_ARN`, required: the topic of a pass's own work.
    pub pass_topic_arn: String,
    /// `NACRE_RESCAN_SEGMENTS`: parts that the table is read in; unset, by its size.
    pub segments: Option<u32>,
    /// `NACRE_RESCAN_OBJECTS_PER_PASS` and `NACRE_RESCAN_BYTES_PER_PASS`: what one pass may ask for.
    pub budget: Budget,
    /// `AWS_REGION`, which Lambda sets: the region that triggers name.
    pub region: String,
}

/// What one pass may ask for; `None` for as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Objects.
    pub objects: Option<u64>,
    /// Bytes of them.
    pub bytes: Option<u64>,
}

impl Budget {
    /// What one of so many segments may ask for, which is at least one object.
    #[must_use]
    pub fn of_one(self, segments: u32) -> Self {
        let share = |limit: u64| limit.div_ceil(u64::from(segments.max(1)));
        Self { objects: self.objects.map(share), bytes: self.bytes.map(share) }
    }

    /// Whether so many objects of so many bytes may be asked for. One object may be, whatever its size: it would wait for ever.
    pub fn allows(self, objects: u64, bytes: u64) -> bool {
        let within = |limit: Option<u64>, asked| limit.is_none_or(|limit| asked <= limit);
        within(self.objects, objects) && (objects <= 1 || within(self.bytes, bytes))
    }
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
            pass_topic_arn: settings.required("NACRE_PASS_TOPIC_ARN", "the ARN of the topic of passes")?,
            segments,
            budget: Budget {
                objects: settings.positive("NACRE_RESCAN_OBJECTS_PER_PASS")?,
                bytes: settings.positive("NACRE_RESCAN_BYTES_PER_PASS")?,
            },
            region: settings.required("AWS_REGION", "the region of the scanned buckets")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 6] = [
        ("AV_DEFINITION_S3_BUCKET", "definitions"),
        ("NACRE_RECORDS_TABLE", "records"),
        ("NACRE_TRIGGER_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:trigger"),
        ("NACRE_PASS_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:passes"),
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
        for (name, _) in &ALL[..5] {
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
        assert_eq!(config("", "").unwrap().segments, Some(16));
        assert_eq!(config("NACRE_RESCAN_SEGMENTS", "").unwrap().segments, None);
    }
}
