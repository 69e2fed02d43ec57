//! The scanner's settings.

use std::{num::NonZero, path::PathBuf, str::FromStr, thread, time::Duration};

use chrono::TimeDelta;
use nacre_clamav::trust_anchor::TrustAnchors;
use nacre_core::{
    dialect::Dialect,
    finding::asff::Product,
    key_filter::KeyFilter,
    redelivery::Backoff,
    settings::{Setting, SettingError, Settings},
    settings_table,
    tag_policy::TagNames,
    telemetry::MetricSource,
};
use nacre_engine_client::{SandboxPolicy, protocol::Limits};

/// Every setting of the scanner, as `docs/configuration.md` lists it.
pub const SETTINGS: &[Setting] = settings_table![
    "AV_DEFINITION_S3_BUCKET", "required", "definitions bucket";
    "AV_DEFINITION_PATH", "`/tmp/clamav_defs`", "where definitions are kept between invocations";
    "NACRE_SCRATCH_PATH", "`/tmp`", "where the engine's private directory is created";
    "NACRE_RECORDS_TABLE", "required", "table of scan records";
    "NACRE_ENGINE_PATH", "`nacre-engine` beside the program", "the engine";
    "NACRE_SANDBOX", "`best-effort`", "`required` refuses an engine where the system refuses a layer of its sandbox, as AWS Lambda does";
    "NACRE_TRUST_ANCHORS", "ClamAV's keys", "keys that definitions must be signed by, as JSON";
    "NACRE_SCAN_TIMEOUT_SECONDS", "120", "longest scan of one object";
    "NACRE_SCAN_PARALLELISM", "as many as processors", "objects that are scanned at once, 1 to 64";
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "none", "MB of the function, which Lambda sets: scans share what the engine leaves of it; without it each may take 2 GiB";
    "NACRE_SCAN_STALENESS_LIMIT_HOURS", "168", "age of definitions beyond which nothing is CLEAN any more: `UNSCANNABLE`, `stale_definitions`";
    "NACRE_STALENESS_LIMIT_HOURS", "none", "former name of `NACRE_SCAN_STALENESS_LIMIT_HOURS`, accepted with a warning";
    "NACRE_QUEUE_VISIBILITY_TIMEOUT_SECONDS", "5400", "visibility timeout of the queues; a message that failed never waits longer for its next attempt";
    "NACRE_FULL_SCANS", "`True`", "whether this function does full scans; `False` where its memory is only enough for delta scans";
    "NACRE_SCAN_SETS", "`True`", "whether cold starts load scan sets where the generation has them, which is faster and smaller, instead of whole databases; see docs/cold-start.md";
    "NACRE_RESCAN_TOPIC_ARN", "none", "topic on which full scans are requested where `NACRE_FULL_SCANS` is `False`";
    "AWS_REGION", "none", "region in such requests and in names of objects; Lambda sets it";
    "AV_SCAN_MAX_FILE_SIZE_BYTES", "none", "larger objects are `SKIPPED`; the predecessor's default was 25000000";
    "NACRE_SCAN_ONLY", "everything", "what is scanned of new objects, as `BUCKET/PREFIX*SUFFIX`, separated by commas; all of a bucket that is not mentioned. See docs/buckets.md";
    "AV_STATUS_METADATA", "`av-status`", "key of the status: tag, field and attribute";
    "AV_SIGNATURE_METADATA", "`av-signature`", "key of the signature";
    "AV_TIMESTAMP_METADATA", "`av-timestamp`", "key of the time of the scan";
    "NACRE_REASON_METADATA", "`nacre-reason`", "key of the reason why there is no scan result";
    "AV_STATUS_CLEAN", "`CLEAN`", "status of a clean object";
    "AV_STATUS_INFECTED", "`INFECTED`", "status of an infected object; the template's deny policy knows the default";
    "AV_STATUS_SKIPPED", "`SKIPPED`", "status of an object that was not scanned, by choice";
    "NACRE_STATUS_UNSCANNABLE", "`UNSCANNABLE`", "status of an object that could not be scanned";
    "NACRE_RESULT_DIALECTS", "`predecessor`", "further products' words for the same verdict, separated by commas: `predecessor`, `guardduty`, `cdk-serverless-clamscan`, `ocsf` (events of infected objects)";
    "AV_STATUS_SNS_ARN", "none", "topic of results";
    "AV_STATUS_SNS_PUBLISH_CLEAN", "`True`", "whether clean results are published there; the template sets it by `PublishClean`, which is `False` by default";
    "AV_STATUS_SNS_PUBLISH_INFECTED", "`True`", "whether infected results are published there";
    "NACRE_EVENT_BUS", "none", "EventBridge bus of results, by name or ARN, in the words of every dialect";
    "NACRE_SECURITY_HUB_PRODUCT", "none", "ARN of the account's default product in Security Hub, where infected objects are findings; see docs/operations.md";
    "NACRE_ALERT_TOPIC_ARN", "none", "topic of messages for people, which gets each infected object and each that is clean after all";
    "AV_SCAN_START_SNS_ARN", "none", "topic of messages that a scan starts";
    "AV_SCAN_START_METADATA", "`av-scan-start`", "field of that message";
    "AV_DELETE_INFECTED_FILES", "`False`", "whether an infected version is deleted, after its result is published";
    "NACRE_QUARANTINE_BUCKET", "none", "bucket that infected versions are moved to; also where an infected object goes that cannot be tagged";
    "EVENT_SOURCE", "any", "accepted for compatibility: every envelope is recognised by its form";
    "NACRE_STACK", "none", "CloudFormation stack, a dimension of every metric beside the function; without it the metrics of two stacks of one region are the same";
    "ENV", "none", "field `Environment` of every line of metrics";
    "S3_ENDPOINT", "as `AWS_ENDPOINT_URL_S3`", "endpoint of the scanned buckets' S3";
    "SNS_ENDPOINT", "as `AWS_ENDPOINT_URL_SNS`", "endpoint of SNS";
];

/// The scanner's settings, read once at cold start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `AV_DEFINITION_S3_BUCKET`: the definitions bucket.
    pub definitions_bucket: String,
    /// `AV_DEFINITION_PATH`: where definitions are kept between invocations.
    pub definitions_path: PathBuf,
    /// `NACRE_SCRATCH_PATH`: where the engine's private directory is created.
    pub scratch_path: PathBuf,
    /// `NACRE_RECORDS_TABLE`: the table of scan records.
    pub records_table: String,
    /// `NACRE_ENGINE_PATH`: the engine; unset, it is beside this program.
    pub engine_path: Option<PathBuf>,
    /// `NACRE_SANDBOX`: whether an engine may run without a layer of its sandbox.
    pub sandbox: SandboxPolicy,
    /// `NACRE_TRUST_ANCHORS`: the keys that definitions must be signed by.
    pub trust_anchors: TrustAnchors,
    /// `NACRE_SCAN_TIMEOUT_SECONDS`: longest scan of one object.
    pub scan_timeout: Duration,
    /// `NACRE_SCAN_PARALLELISM`: objects that are scanned at once.
    pub parallelism: usize,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`: the function's memory, in bytes.
    pub function_memory: Option<u64>,
    /// `NACRE_SCAN_STALENESS_LIMIT_HOURS`: age of definitions beyond which nothing is clean any more.
    pub staleness_limit: TimeDelta,
    /// `NACRE_QUEUE_VISIBILITY_TIMEOUT_SECONDS`: how long a message that failed waits.
    pub backoff: Backoff,
    /// `NACRE_FULL_SCANS`: whether this function does full scans.
    pub full_scans: bool,
    /// `NACRE_SCAN_SETS`: whether cold starts load scan sets.
    pub scan_sets: bool,
    /// `NACRE_RESCAN_TOPIC_ARN`: the topic on which full scans are requested otherwise.
    pub rescan_topic: Option<String>,
    /// `AWS_REGION`: the region in such requests.
    pub region: String,
    /// `NACRE_ALERT_TOPIC_ARN`: the topic of messages for people.
    pub alert_topic: Option<String>,
    /// `AV_SCAN_MAX_FILE_SIZE_BYTES`: larger objects are skipped. Unset: none is.
    pub skip_larger_than: Option<u64>,
    /// `NACRE_SCAN_ONLY`: which keys are scanned of new objects.
    pub scan_only: KeyFilter,
    /// The engine's bounds.
    pub limits: Limits,
    /// Tag keys and values.
    pub tags: TagNames,
    /// What is published, and where.
    pub results: ResultSettings,
    /// What is done with infected objects.
    pub infected: InfectedSettings,
    /// `NACRE_STACK` and `ENV`: whose the metrics are.
    pub metrics: MetricSource,
    /// `S3_ENDPOINT`: unset, as AWS's own variables say.
    pub s3_endpoint: Option<String>,
    /// `SNS_ENDPOINT`: unset, as AWS's own variables say.
    pub sns_endpoint: Option<String>,
    /// Settings that are accepted and should be changed, for the log.
    pub warnings: Vec<String>,
}

/// Where and which results are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultSettings {
    /// `AV_STATUS_SNS_ARN`: the topic; unset publishes nothing.
    pub topic_arn: Option<String>,
    /// `AV_STATUS_SNS_PUBLISH_CLEAN`.
    pub publish_clean: bool,
    /// `AV_STATUS_SNS_PUBLISH_INFECTED`.
    pub publish_infected: bool,
    /// `AWS_REGION`: the region that buckets are named in.
    pub region: String,
    /// `NACRE_EVENT_BUS`: the EventBridge bus; unset puts nothing.
    pub event_bus: Option<String>,
    /// `NACRE_SECURITY_HUB_PRODUCT`: whose findings Security Hub gets; unset imports none.
    pub security_hub: Option<Product>,
    /// `AV_SCAN_START_SNS_ARN`: the topic of messages that a scan starts; unset, none is sent.
    pub start_topic_arn: Option<String>,
    /// `AV_SCAN_START_METADATA`: the field that says so.
    pub start_field: String,
}

/// What becomes of infected objects once they are tagged and reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfectedSettings {
    /// `AV_DELETE_INFECTED_FILES`: the infected version is deleted.
    pub delete: bool,
    /// `NACRE_QUARANTINE_BUCKET`: the infected version is moved there.
    pub quarantine_bucket: Option<String>,
}

impl InfectedSettings {
    /// Whether infected objects do not stay where they are.
    pub fn removes(&self) -> bool {
        self.delete || self.quarantine_bucket.is_some()
    }

    /// What becomes of an infected object, for people.
    pub fn in_words(&self) -> &'static str {
        match (&self.quarantine_bucket, self.delete) {
            (Some(_), _) => "it is moved to quarantine",
            (None, true) => "it is deleted",
            (None, false) => "it stays, and its readers are refused",
        }
    }
}

impl Config {
    /// Reads the settings through `variable`.
    ///
    /// # Errors
    /// [`SettingError`], which names the variable.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let settings = Settings::new(SETTINGS, variable);
        settings.refuse()?;
        // Accepted without effect: the message itself shows what the predecessor needed it for.
        settings.optional("EVENT_SOURCE");
        let scan_timeout = Duration::from_secs(settings.number("NACRE_SCAN_TIMEOUT_SECONDS")?);
        let limits = Limits {
            max_scan_time_ms: u32::try_from(scan_timeout.as_millis()).unwrap_or(u32::MAX),
            ..Limits::default()
        };
        let parallelism = settings.parsed("NACRE_SCAN_PARALLELISM", |value| {
            value.parse().ok().filter(|number| (1..=64).contains(number)).ok_or("a whole number from 1 to 64")
        })?;
        let processors = || thread::available_parallelism().map_or(1, NonZero::get).min(64);
        let hours = settings.renamed("NACRE_SCAN_STALENESS_LIMIT_HOURS", "NACRE_STALENESS_LIMIT_HOURS");
        let hours = settings.number(hours)?;
        Ok(Self {
            definitions_bucket: settings.required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name")?,
            definitions_path: settings.text("AV_DEFINITION_PATH")?.into(),
            scratch_path: settings.text("NACRE_SCRATCH_PATH")?.into(),
            records_table: settings.required("NACRE_RECORDS_TABLE", "the scan records table's name")?,
            engine_path: settings.optional("NACRE_ENGINE_PATH").map(PathBuf::from),
            sandbox: settings.parsed("NACRE_SANDBOX", SandboxPolicy::from_str)?.unwrap_or_default(),
            trust_anchors: settings
                .parsed("NACRE_TRUST_ANCHORS", TrustAnchors::from_json)?
                .unwrap_or_else(TrustAnchors::clamav),
            scan_timeout,
            parallelism: parallelism.unwrap_or_else(processors),
            function_memory: settings.positive("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?.map(|mb| mb.saturating_mul(1 << 20)),
            staleness_limit: TimeDelta::try_hours(i64::try_from(hours).unwrap_or(i64::MAX)).unwrap_or(TimeDelta::MAX),
            backoff: Backoff {
                first: Backoff::FIRST,
                longest: u32::try_from(settings.number("NACRE_QUEUE_VISIBILITY_TIMEOUT_SECONDS")?).unwrap_or(u32::MAX),
            },
            full_scans: settings.switch("NACRE_FULL_SCANS")?,
            scan_sets: settings.switch("NACRE_SCAN_SETS")?,
            rescan_topic: settings.optional("NACRE_RESCAN_TOPIC_ARN"),
            alert_topic: settings.optional("NACRE_ALERT_TOPIC_ARN"),
            region: settings.optional("AWS_REGION").unwrap_or_default(),
            skip_larger_than: settings.positive("AV_SCAN_MAX_FILE_SIZE_BYTES")?,
            scan_only: settings.parsed("NACRE_SCAN_ONLY", KeyFilter::from_str)?.unwrap_or_default(),
            limits,
            tags: tag_names(&settings)?,
            results: ResultSettings {
                topic_arn: settings.optional("AV_STATUS_SNS_ARN"),
                publish_clean: settings.switch("AV_STATUS_SNS_PUBLISH_CLEAN")?,
                publish_infected: settings.switch("AV_STATUS_SNS_PUBLISH_INFECTED")?,
                region: settings.optional("AWS_REGION").unwrap_or_default(),
                event_bus: settings.optional("NACRE_EVENT_BUS"),
                security_hub: settings.parsed("NACRE_SECURITY_HUB_PRODUCT", Product::parse)?,
                start_topic_arn: settings.optional("AV_SCAN_START_SNS_ARN"),
                start_field: settings.text("AV_SCAN_START_METADATA")?,
            },
            infected: InfectedSettings {
                delete: settings.switch("AV_DELETE_INFECTED_FILES")?,
                quarantine_bucket: settings.optional("NACRE_QUARANTINE_BUCKET"),
            },
            metrics: MetricSource {
                function: "scanner",
                stack: settings.optional("NACRE_STACK"),
                environment: settings.optional("ENV"),
            },
            s3_endpoint: settings.optional("S3_ENDPOINT"),
            sns_endpoint: settings.optional("SNS_ENDPOINT"),
            warnings: settings.warnings(),
        })
    }
}

fn tag_names<F: Fn(&str) -> Option<String>>(settings: &Settings<F>) -> Result<TagNames, SettingError> {
    Ok(TagNames {
        status: settings.text("AV_STATUS_METADATA")?,
        signature: settings.text("AV_SIGNATURE_METADATA")?,
        timestamp: settings.text("AV_TIMESTAMP_METADATA")?,
        reason: settings.text("NACRE_REASON_METADATA")?,
        clean: settings.text("AV_STATUS_CLEAN")?,
        infected: settings.text("AV_STATUS_INFECTED")?,
        skipped: settings.text("AV_STATUS_SKIPPED")?,
        unscannable: settings.text("NACRE_STATUS_UNSCANNABLE")?,
        dialects: settings.parsed("NACRE_RESULT_DIALECTS", Dialect::list)?.unwrap_or_default(),
    })
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
        let results = ResultSettings {
            topic_arn: None,
            publish_clean: true,
            publish_infected: true,
            region: String::new(),
            event_bus: None,
            security_hub: None,
            start_topic_arn: None,
            start_field: "av-scan-start".into(),
        };
        assert_eq!(config.results, results);
        assert_eq!(config.infected, InfectedSettings::default());
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
            "NACRE_RESULT_DIALECTS",
            "NACRE_SECURITY_HUB_PRODUCT",
            "NACRE_SANDBOX",
            "NACRE_SCAN_SETS",
            "NACRE_SCAN_PARALLELISM",
            "NACRE_SCAN_STALENESS_LIMIT_HOURS",
            "NACRE_STALENESS_LIMIT_HOURS",
            "NACRE_QUEUE_VISIBILITY_TIMEOUT_SECONDS",
            "AV_DELETE_INFECTED_FILES",
            "LD_PATH",
        ] {
            assert!(config(&[(name, "nonsense")]).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
