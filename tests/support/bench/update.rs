//! Our updater: the code of the Lambda function, on a directory instead of a bucket.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use nacre_aws::SystemClock;
use nacre_clamav::trust_anchor::TrustAnchors;
use nacre_core::port::Clock;
use nacre_testing::memory_topic::MemoryTopic;
use nacre_updater::{
    config::Config,
    http::{HttpClient, HttpSettings, Proxies},
    update::{Update, Updater},
};
use serde::{Deserialize, Serialize};

use super::{BenchError, DirectoryDefinitions};

/// What an updater needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// The settings, by the names of their variables.
    pub settings: BTreeMap<String, String>,
    /// The bucket.
    pub bucket: PathBuf,
    /// The engine program.
    pub engine: PathBuf,
}

impl Run {
    /// Brings `main` and `daily` from a mirror to a bucket.
    pub fn new(mirror: &str, trust_anchors: &str, scratch: &Path, bucket: PathBuf, engine: PathBuf) -> Self {
        let settings = [
            ("AV_DEFINITION_S3_BUCKET", "definitions"),
            ("NACRE_DEFINITIONS_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:t"),
            ("NACRE_DATABASES", "main,daily"),
            ("NACRE_DEFINITIONS_MIRROR", mirror),
            ("NACRE_TRUST_ANCHORS", trust_anchors),
            ("NACRE_SCRATCH_PATH", &scratch.display().to_string()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { settings, bucket, engine }
    }
}

/// Runs the updater once, and fails unless it published everything.
///
/// # Errors
/// [`BenchError`].
pub async fn update(run: Run) -> Result<(), BenchError> {
    let mut config = Config::from_vars(|name| run.settings.get(name).cloned())?;
    config.trust_anchors = as_clamavs(&config.trust_anchors);
    let store = DirectoryDefinitions { root: run.bucket };
    let http = &HttpClient::new(HttpSettings { proxies: Proxies::None, ..HttpSettings::new("nacre/bench") })?;
    let (announcements, now) = (&MemoryTopic::default(), SystemClock.now());
    let (config, store, engine) = (&config, &store, run.engine.as_path());
    let updater = Updater { config, store, announcements, http, dns: None, freshclam: None, engine, now };
    match Box::pin(updater.run()).await? {
        Update::Published { held, .. } if held.is_empty() => Ok(()),
        other => Err(format!("the update came to {other:?}").into()),
    }
}

/// These keys in the place of ClamAV's, as its libraries have them in benchmarks: databases of other keys are repacked for the
/// engine, which is work that ClamAV's own databases need not.
pub fn as_clamavs(own: &TrustAnchors) -> TrustAnchors {
    let mut anchors = TrustAnchors::clamav();
    anchors.container.clone_from(&own.container);
    anchors.info.clone_from(&own.info);
    anchors.cdiff.clone_from(&own.cdiff);
    anchors
}
