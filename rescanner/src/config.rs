//! The rescanner's settings.

use nacre_core::{
    rescan::{
        pass::{Budget, MAX_SEGMENTS},
        plan::size_limit,
    },
    settings::{Setting, SettingError, Settings},
    settings_table,
    telemetry::MetricSource,
};

use crate::watch::WatchSettings;

/// Every setting of the rescanner, as `docs/configuration.md` lists it.
pub const SETTINGS: &[Setting] = settings_table![
    "AV_DEFINITION_S3_BUCKET", "required", "definitions bucket";
    "NACRE_RECORDS_TABLE", "required", "table of scan records";
    "NACRE_TRIGGER_TOPIC_ARN", "required", "topic on which rescans are requested";
    "NACRE_PASS_QUEUE_URL", "required", "queue of the work of passes";
    "NACRE_RESCAN_SEGMENTS", "one for each 50,000 records", "segments that the table is read in, 1 to 256";
    "NACRE_RESCAN_OBJECTS_PER_DAY", "any number", "most objects that the passes of one day (UTC) request; the rest is left to the next pass";
    "NACRE_RESCAN_BYTES_PER_DAY", "any number", "most bytes of these objects; the last object of a day may exceed it";
    "AV_SCAN_MAX_FILE_SIZE_BYTES", "the engine's limit", "the scanner's setting: objects that were refused for their size are requested once it allows them";
    "NACRE_SELF_TEST_BUCKETS", "none", "names or ARNs of buckets that the hourly self-test is made in, separated by commas";
    "NACRE_DEAD_LETTER_QUEUES", "none", "URLs of the dead-letter queues that the daily digest counts, separated by commas";
    "NACRE_ALERT_TOPIC_ARN", "none", "topic of messages for people, which gets the daily digest";
    "NACRE_STACK", "none", "CloudFormation stack, a dimension of every metric beside the function; without it the metrics of two stacks of one region are the same";
    "AWS_REGION", "required", "region in rescan triggers; Lambda sets it";
];

/// The rescanner's settings, read once at cold start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `AV_DEFINITION_S3_BUCKET`: the definitions bucket.
    pub definitions_bucket: String,
    /// `NACRE_RECORDS_TABLE`: the table of scan records.
    pub records_table: String,
    /// `NACRE_TRIGGER_TOPIC_ARN`: the `ScannerTrigger` topic.
    pub trigger_topic_arn: String,
    /// `NACRE_PASS_QUEUE_URL`: the queue of our own work.
    pub pass_queue_url: String,
    /// `NACRE_RESCAN_SEGMENTS`, follows the table's size: segments that it is read in.
    pub segments: Option<u32>,
    /// `NACRE_RESCAN_OBJECTS_PER_DAY` and `NACRE_RESCAN_BYTES_PER_DAY`, unlimited: the budget of the passes of a day.
    pub daily_budget: Budget,
    /// `AV_SCAN_MAX_FILE_SIZE_BYTES`: largest object that the scanner scans, in bytes.
    pub size_limit: u64,
    /// `NACRE_SELF_TEST_BUCKETS` and `NACRE_DEAD_LETTER_QUEUES`: what is watched.
    pub watch: WatchSettings,
    /// `NACRE_ALERT_TOPIC_ARN`: the topic of messages for people.
    pub alert_topic: Option<String>,
    /// `NACRE_STACK`: whose the metrics are.
    pub metrics: MetricSource,
    /// `AWS_REGION`, which Lambda sets: the region in rescan triggers.
    pub region: String,
}

impl Config {
    /// Reads the settings through `variable`.
    ///
    /// # Errors
    /// [`SettingError`], which names the variable.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let settings = Settings::new(SETTINGS, variable);
        let segments = settings.parsed("NACRE_RESCAN_SEGMENTS", |value| {
            value
                .parse()
                .ok()
                .filter(|segments| (1..=MAX_SEGMENTS).contains(segments))
                .ok_or("a whole number from 1 to 256")
        })?;
        let daily_budget = Budget {
            objects: settings.positive("NACRE_RESCAN_OBJECTS_PER_DAY")?,
            bytes: settings.positive("NACRE_RESCAN_BYTES_PER_DAY")?,
        };
        Ok(Self {
            definitions_bucket: settings.required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name")?,
            records_table: settings.required("NACRE_RECORDS_TABLE", "the scan records table's name")?,
            trigger_topic_arn: settings.required("NACRE_TRIGGER_TOPIC_ARN", "the ScannerTrigger topic's ARN")?,
            pass_queue_url: settings.required("NACRE_PASS_QUEUE_URL", "the URL of the queue of passes")?,
            segments,
            daily_budget,
            size_limit: size_limit(settings.positive("AV_SCAN_MAX_FILE_SIZE_BYTES")?),
            watch: WatchSettings {
                buckets: list(settings.optional("NACRE_SELF_TEST_BUCKETS")).iter().map(|bucket| name(bucket)).collect(),
                dead_letters: list(settings.optional("NACRE_DEAD_LETTER_QUEUES")),
                stack: settings.optional("NACRE_STACK"),
            },
            alert_topic: settings.optional("NACRE_ALERT_TOPIC_ARN"),
            metrics: MetricSource { function: "rescanner", stack: settings.optional("NACRE_STACK"), environment: None },
            region: settings.required("AWS_REGION", "the region of the scanned buckets")?,
        })
    }
}

fn list(value: Option<String>) -> Vec<String> {
    let value = value.unwrap_or_default();
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A bucket's name, of itself or of its ARN, which has it behind five colons.
fn name(bucket: &str) -> String {
    bucket.splitn(6, ':').last().unwrap_or(bucket).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 8] = [
        ("AV_DEFINITION_S3_BUCKET", "definitions"),
        ("NACRE_RECORDS_TABLE", "records"),
        ("NACRE_TRIGGER_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:trigger"),
        ("AWS_REGION", "eu-west-1"),
        ("NACRE_PASS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/pass"),
        ("NACRE_RESCAN_SEGMENTS", "16"),
        ("NACRE_RESCAN_OBJECTS_PER_DAY", "1000"),
        ("NACRE_RESCAN_BYTES_PER_DAY", "1000000"),
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
    fn without_bounds_a_pass_follows_the_table() {
        let bounded = config("", "").unwrap();
        assert_eq!((bounded.segments, bounded.daily_budget.objects), (Some(16), Some(1000)));
        assert_eq!(config("NACRE_RESCAN_SEGMENTS", "").unwrap().segments, None);
        let budget = config("NACRE_RESCAN_OBJECTS_PER_DAY", "").unwrap().daily_budget;
        assert_eq!(budget, Budget { objects: None, bytes: Some(1_000_000) });
    }

    #[test]
    fn buckets_of_self_tests_are_known_by_their_names() {
        let watched = config("NACRE_SELF_TEST_BUCKETS", "uploads, arn:aws-cn:s3:::invoices").unwrap().watch;
        assert_eq!(watched.buckets, ["uploads", "invoices"]);
    }
}
