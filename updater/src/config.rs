//! The updater's settings.

use std::{path::PathBuf, str::FromStr};

use chrono::TimeDelta;
use nacre_clamav::{database::DatabaseName, trust_anchor::TrustAnchors};
use nacre_core::{
    settings::{Setting, SettingError, Settings},
    settings_table,
    telemetry::MetricSource,
};

use nacre_engine_client::SandboxPolicy;

use crate::{
    fetcher::{Choice, Fetcher},
    loose_test::OnFault,
    mirror::Mirror,
};

/// `ClamAV`'s own DNS record.
const CLAMAV_RECORD: &str = "current.cvd.clamav.net";

const UNUSED_AGENT: &str = "NACRE_USER_AGENT is not what freshclam calls itself: unset it, or set NACRE_FETCHER=native where \
                            ClamAV has agreed to it";

/// Every setting of the updater, as it is documented.
pub const SETTINGS: &[Setting] = settings_table![
    "AV_DEFINITION_S3_BUCKET", "required", "definitions bucket";
    "AV_DEFINITION_S3_PREFIX", "`clamav_defs`", "flat prefix, as freshclam and the predecessor's scanner read it";
    "NACRE_DEFINITIONS_MIRROR", "`https://database.clamav.net`", "mirrors in the order of requests, separated by commas; `s3://` of the definitions bucket is one";
    "NACRE_FETCHER", "`auto`", "`freshclam` (a stock one) or `native` (our own client) fetches the databases; `auto` is freshclam for ClamAV's own mirrors";
    "NACRE_PRIVATE_MIRROR", "`False`", "the mirrors may have CLDs, and have no cool-down";
    "NACRE_DNS_DATABASE_INFO", "`current.cvd.clamav.net` for ClamAV's mirrors, else `no`", "TXT record of the newest versions";
    "NACRE_USER_AGENT", "`nacre/<version> (<installation>)`", "`User-Agent` of our own client's requests";
    "NACRE_DATABASES", "`main,daily,bytecode`", "which databases, separated by commas";
    "NACRE_MAX_DATABASE_BYTES", "536870912", "most bytes of one database";
    "NACRE_CUSTOM_DATABASES", "none", "URLs of loose signature files, separated by commas";
    "NACRE_MAX_CUSTOM_BYTES", "67108864", "most bytes of one loose signature file";
    "NACRE_CUSTOM_PREFIX", "`nacre/custom/`", "loose signature files in the definitions bucket";
    "NACRE_FAULTY_CUSTOM", "`reject`", "what becomes of a loose file of which libclamav loads less than it holds: `reject` publishes no set with it, `leave-out` the set without it";
    "NACRE_CANARY_PREFIX", "`nacre/canary/`", "clean files in the definitions bucket that no set may match";
    "NACRE_SCAN_SETS", "`True`", "whether the test of a set loads scan sets where there are any, as scanners do, instead of whole databases; see docs/cold-start.md";
    "NACRE_DETACHED_SIGNATURES", "`check`", "`ignore` skips `.sign` files; the legacy signatures are always checked";
    "NACRE_SERVE_CVDS", "`False`", "whether the flat prefix has whole CVDs beside CDIFFs";
    "NACRE_KEEP_GENERATIONS", "30", "generations to roll back to";
    "NACRE_KEEP_CDIFFS", "30", "CDIFFs of each database in the flat prefix";
    "NACRE_UPDATE_STALENESS_LIMIT_HOURS", "72", "age of definitions beyond which a cool-down is a failure";
    "NACRE_STALENESS_LIMIT_HOURS", "none", "former name of `NACRE_UPDATE_STALENESS_LIMIT_HOURS`, accepted with a warning";
    "NACRE_TRUST_ANCHORS", "ClamAV's keys", "keys that databases must be signed by, as JSON";
    "NACRE_DEFINITIONS_TOPIC_ARN", "required", "topic of announcements of generations";
    "NACRE_ENGINE_PATH", "`nacre-engine` beside the program", "the engine";
    "NACRE_SANDBOX", "`best-effort`", "`required` refuses an engine where the system refuses a layer of its sandbox, as AWS Lambda does";
    "NACRE_SCRATCH_PATH", "`/tmp`", "where sets are tested";
    "NACRE_STACK", "none", "CloudFormation stack, a dimension of every metric beside the function; without it the metrics of two stacks of one region are the same";
];

/// The updater's settings, read once at cold start.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting")]
pub struct Config {
    /// `AV_DEFINITION_S3_BUCKET`: the definitions bucket.
    pub definitions_bucket: String,
    /// `AV_DEFINITION_S3_PREFIX`: the flat, freshclam-compatible prefix.
    pub flat_prefix: String,
    /// `NACRE_DEFINITIONS_MIRROR`: mirrors in the order of requests; `s3://<definitions bucket>/<prefix>` is a prefix that a stock
    /// cvdupdate or freshclam fills.
    pub mirrors: Vec<Mirror>,
    /// `NACRE_FETCHER`: the program that fetches databases from the mirrors.
    pub fetcher: Fetcher,
    /// `NACRE_PRIVATE_MIRROR`: whether the mirrors may have CLDs.
    pub private_mirror: bool,
    /// `NACRE_DNS_DATABASE_INFO`: the TXT record of the newest versions.
    pub dns_record: Option<String>,
    /// `NACRE_USER_AGENT`: unset, it names this program and its installation.
    pub user_agent: Option<String>,
    /// `NACRE_DATABASES`: which databases, sorted, each once.
    pub databases: Vec<DatabaseName>,
    /// `NACRE_CUSTOM_DATABASES`: URLs of loose signature files.
    pub custom_urls: Vec<String>,
    /// `NACRE_CUSTOM_PREFIX`: prefix of the definitions bucket with loose signature files.
    pub custom_prefix: String,
    /// `NACRE_CANARY_PREFIX`: prefix of the definitions bucket with clean files of the operator's.
    pub canary_prefix: String,
    /// `NACRE_MAX_DATABASE_BYTES`: most bytes of one database.
    pub max_database_bytes: usize,
    /// `NACRE_FAULTY_CUSTOM`: what becomes of a loose file that libclamav would load in part.
    pub on_fault: OnFault,
    /// `NACRE_MAX_CUSTOM_BYTES`: most bytes of one loose signature file.
    pub max_custom_bytes: usize,
    /// `NACRE_SCAN_SETS`: whether the test of a set loads scan sets.
    pub by_scan_sets: bool,
    /// `NACRE_DETACHED_SIGNATURES`: whether `.sign` files are checked where there are any.
    pub check_detached: bool,
    /// `NACRE_SERVE_CVDS`: whether whole CVDs are mirrored beside CDIFFs.
    pub serve_cvds: bool,
    /// `NACRE_KEEP_GENERATIONS`: generations that retention keeps.
    pub keep_generations: usize,
    /// `NACRE_KEEP_CDIFFS`: CDIFFs of each database in the flat prefix.
    pub keep_cdiffs: u32,
    /// `NACRE_UPDATE_STALENESS_LIMIT_HOURS`: how old definitions may become while all mirrors are in a cool-down.
    pub staleness_limit: TimeDelta,
    /// `NACRE_TRUST_ANCHORS`: the keys that databases must be signed by.
    pub trust_anchors: TrustAnchors,
    /// `NACRE_DEFINITIONS_TOPIC_ARN`: where a new generation is announced.
    pub topic_arn: String,
    /// `NACRE_ENGINE_PATH`: the engine; unset, it is beside this program.
    pub engine_path: Option<PathBuf>,
    /// `NACRE_SANDBOX`: whether an engine may run without a layer of its sandbox.
    pub sandbox: SandboxPolicy,
    /// `NACRE_SCRATCH_PATH`: where definitions are tested.
    pub scratch_path: PathBuf,
    /// `NACRE_STACK`: whose the metrics are.
    pub metrics: MetricSource,
    /// Settings that are accepted and should be changed, for the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the settings through `variable`.
    ///
    /// # Errors
    /// [`SettingError`], which names the variable.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let settings = Settings::new(SETTINGS, variable);
        settings.refuse()?;
        let definitions_bucket = settings.required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name")?;
        let mirrors = settings.parsed("NACRE_DEFINITIONS_MIRROR", |list| mirrors(list, &definitions_bucket))?;
        let mirrors = mirrors.unwrap_or_default();
        let private_mirror = settings.switch("NACRE_PRIVATE_MIRROR")?;
        let dns_record = match settings.optional("NACRE_DNS_DATABASE_INFO") {
            Some(no) if no.eq_ignore_ascii_case("no") => None,
            Some(record) => Some(record),
            // The versions of a private mirror, which may be CLDs, are read from the mirror itself, as freshclam does.
            None => (mirrors.iter().all(Mirror::is_clamav) && !private_mirror).then(|| CLAMAV_RECORD.to_owned()),
        };
        let databases = settings.parsed("NACRE_DATABASES", database_names)?.unwrap_or_default();
        let fetcher = settings
            .parsed("NACRE_FETCHER", |value| Choice::parse(value)?.fetcher(&mirrors, private_mirror, &databases))?;
        let size =
            |name| -> Result<usize, SettingError> { Ok(usize::try_from(settings.number(name)?).unwrap_or(usize::MAX)) };
        let user_agent = settings.optional("NACRE_USER_AGENT");
        let unused_agent = user_agent.is_some() && fetcher == Some(Fetcher::Freshclam);
        let check_detached = settings.parsed("NACRE_DETACHED_SIGNATURES", |value| match value {
            "check" => Ok(true),
            "ignore" => Ok(false),
            _ => Err("check or ignore"),
        })?;
        let hours = settings.renamed("NACRE_UPDATE_STALENESS_LIMIT_HOURS", "NACRE_STALENESS_LIMIT_HOURS");
        let hours = settings.number(hours)?;
        let keep_cdiffs = settings.number("NACRE_KEEP_CDIFFS")?;
        Ok(Self {
            flat_prefix: settings.text("AV_DEFINITION_S3_PREFIX")?.trim_matches('/').to_owned(),
            mirrors,
            fetcher: fetcher.unwrap_or(Fetcher::Native),
            private_mirror,
            dns_record,
            user_agent,
            databases,
            custom_urls: settings.parsed("NACRE_CUSTOM_DATABASES", urls)?.unwrap_or_default(),
            custom_prefix: folder(&settings.text("NACRE_CUSTOM_PREFIX")?),
            on_fault: settings.parsed("NACRE_FAULTY_CUSTOM", OnFault::from_str)?.unwrap_or_default(),
            canary_prefix: folder(&settings.text("NACRE_CANARY_PREFIX")?),
            max_database_bytes: size("NACRE_MAX_DATABASE_BYTES")?,
            max_custom_bytes: size("NACRE_MAX_CUSTOM_BYTES")?,
            check_detached: check_detached.unwrap_or(true),
            by_scan_sets: settings.switch("NACRE_SCAN_SETS")?,
            serve_cvds: settings.switch("NACRE_SERVE_CVDS")?,
            keep_generations: size("NACRE_KEEP_GENERATIONS")?,
            keep_cdiffs: u32::try_from(keep_cdiffs).unwrap_or(u32::MAX),
            staleness_limit: TimeDelta::try_hours(i64::try_from(hours).unwrap_or(i64::MAX)).unwrap_or(TimeDelta::MAX),
            trust_anchors: settings
                .parsed("NACRE_TRUST_ANCHORS", TrustAnchors::from_json)?
                .unwrap_or_else(TrustAnchors::clamav),
            topic_arn: settings
                .required("NACRE_DEFINITIONS_TOPIC_ARN", "the ARN of the topic that announces generations")?,
            engine_path: settings.optional("NACRE_ENGINE_PATH").map(PathBuf::from),
            sandbox: settings.parsed("NACRE_SANDBOX", SandboxPolicy::from_str)?.unwrap_or_default(),
            scratch_path: settings.text("NACRE_SCRATCH_PATH")?.into(),
            metrics: MetricSource { function: "updater", stack: settings.optional("NACRE_STACK"), environment: None },
            warnings: settings.warnings().into_iter().chain(unused_agent.then(|| UNUSED_AGENT.to_owned())).collect(),
            definitions_bucket,
        })
    }

    /// Whether the flat prefix is ours to write: not when a stock client fills it, and we read it.
    pub fn writes_flat_prefix(&self) -> bool {
        !self.mirrors.iter().any(|mirror| matches!(mirror, Mirror::Bucket(prefix) if *prefix == self.flat_prefix))
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn mirrors(list: &str, bucket: &str) -> Result<Vec<Mirror>, String> {
    let parse = |text: &str| {
        let url = text.trim().trim_end_matches('/');
        match url.strip_prefix("s3://").map(|path| path.split_once('/').unwrap_or((path, ""))) {
            Some((found, prefix)) if found == bucket && !prefix.is_empty() => Ok(Mirror::Bucket(prefix.to_owned())),
            Some(_) => Err(format!("s3://{bucket}/<prefix>, for no other bucket is read")),
            None if is_http(url) => Ok(Mirror::Http(url.to_owned())),
            None => Err("http://, https:// or s3:// addresses, separated by commas".to_owned()),
        }
    };
    list.split(',').map(parse).collect()
}

fn urls(list: &str) -> Result<Vec<String>, &'static str> {
    let words = list.split([',', ' ', '\n']).filter(|word| !word.is_empty()).map(str::to_owned);
    let urls: Vec<String> = words.collect();
    let all = urls.iter().all(|url| is_http(url));
    if all { Ok(urls) } else { Err("http:// or https:// addresses of signature files, separated by commas") }
}

/// A prefix with a slash at its end.
fn folder(prefix: &str) -> String {
    format!("{}/", prefix.trim_matches('/'))
}

/// Names of databases, separated by commas.
fn database_names(list: &str) -> Result<Vec<DatabaseName>, String> {
    let parse = |name: &str| {
        DatabaseName::new(name.trim()).map_err(|error| format!("database names separated by commas ({error})"))
    };
    let mut names = list.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[(&str, &str)]) -> Result<Config, SettingError> {
        let required =
            [("AV_DEFINITION_S3_BUCKET", "definitions"), ("NACRE_DEFINITIONS_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:t")];
        Config::from_vars(|name| {
            set.iter().chain(&required).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_are_clamavs_and_the_predecessors() {
        let config = config(&[]).unwrap();
        assert_eq!(config.flat_prefix, "clamav_defs");
        assert_eq!(config.mirrors, [Mirror::Http("https://database.clamav.net".into())]);
        assert_eq!(config.dns_record.as_deref(), Some("current.cvd.clamav.net"));
        let names: Vec<_> = config.databases.iter().map(DatabaseName::as_str).collect();
        assert_eq!(names, ["bytecode", "daily", "main"]);
        assert!(config.trust_anchors.is_clamav() && config.check_detached && config.writes_flat_prefix());
        assert_eq!((config.fetcher, config.warnings.len()), (Fetcher::Freshclam, 0));
    }

    #[test]
    fn an_agreement_on_an_agent_is_for_our_own_client() {
        let agent = ("NACRE_USER_AGENT", "nacre, as agreed");
        let warnings = |set: &[_]| config(set).unwrap().warnings;
        assert!(warnings(&[agent])[0].contains("NACRE_FETCHER=native"));
        assert_eq!(warnings(&[agent, ("NACRE_FETCHER", "native")]), [""; 0]);
    }

    #[test]
    fn clamavs_record_does_not_speak_for_other_mirrors() {
        let record = |mirror| config(&[("NACRE_DEFINITIONS_MIRROR", mirror)]).unwrap().dns_record;
        assert_eq!(record("https://mirror.example/clamav,https://database.clamav.net"), None);
        assert_eq!(record("https://evil.example/database.clamav.net"), None);
        assert_eq!(record("https://db.local.clamav.net").as_deref(), Some(CLAMAV_RECORD));
        let no = config(&[("NACRE_DNS_DATABASE_INFO", "No")]).unwrap();
        assert_eq!(no.dns_record, None);
    }

    #[test]
    fn a_prefix_that_others_fill_is_read_and_never_written() {
        let config = config(&[("NACRE_DEFINITIONS_MIRROR", "s3://definitions/clamav_defs/")]).unwrap();
        assert_eq!(config.mirrors, [Mirror::Bucket("clamav_defs".into())]);
        assert!(!config.writes_flat_prefix());
    }

    #[test]
    fn a_missing_or_malformed_setting_is_named() {
        for (name, wrong) in [
            ("AV_DEFINITION_S3_BUCKET", ""),
            ("NACRE_DEFINITIONS_TOPIC_ARN", ""),
            ("NACRE_DEFINITIONS_MIRROR", "ftp://mirror"),
            ("NACRE_DEFINITIONS_MIRROR", "https://mirror,"),
            ("NACRE_DEFINITIONS_MIRROR", "s3://another/prefix"),
            ("NACRE_CUSTOM_DATABASES", "https://a/x.ndb,x.ndb"),
            ("NACRE_FAULTY_CUSTOM", "ignore"),
            ("NACRE_DETACHED_SIGNATURES", "maybe"),
            ("NACRE_FETCHER", "curl"),
            ("NACRE_KEEP_GENERATIONS", "0"),
            ("NACRE_DATABASES", "main,../daily"),
            ("NACRE_TRUST_ANCHORS", "{}"),
        ] {
            assert!(config(&[(name, wrong)]).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
