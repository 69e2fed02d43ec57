//! Our updater, in a process of its own: the code of the Lambda function, on a directory instead of a bucket.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use nacre_shared::{
    definitions::trust_anchor::TrustAnchors,
    port::{Clock, SystemClock},
    testing::memory_topic::MemoryTopic,
};
use nacre_updater::{
    config::Config,
    http::{HttpClient, HttpSettings, Proxies},
    update::{Update, Updater},
};
use serde::{Deserialize, Serialize};

use crate::{
    directory_store::DirectoryDefinitions,
    error::{BenchError, system},
};

/// What an updater needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The settings, by the names of their variables.
    pub(crate) settings: BTreeMap<String, String>,
    /// The bucket.
    pub(crate) bucket: PathBuf,
    /// The engine program.
    pub(crate) engine: PathBuf,
}

/// Runs the updater once, as a file says, and fails unless it published something.
#[tokio::main]
pub(crate) async fn update(run: &Path) -> Result<(), BenchError> {
    let run: Run = serde_json::from_slice(&fs::read(run).map_err(system("reading what to run"))?)?;
    let mut config = Config::from_vars(|name| run.settings.get(name).cloned())?;
    config.trust_anchors = as_clamavs(&config.trust_anchors);
    let store = DirectoryDefinitions { root: run.bucket };
    let http = &HttpClient::new(HttpSettings { proxies: Proxies::None, ..HttpSettings::new("nacre/bench") })?;
    let (announcements, now) = (&MemoryTopic::default(), SystemClock.now());
    let updater = Updater { config: &config, store: &store, announcements, http, dns: None, engine: &run.engine, now };
    match Box::pin(updater.run()).await? {
        Update::Published { held, .. } if held.is_empty() => Ok(()),
        other => Err(BenchError::Wrong(format!("{other:?}"))),
    }
}

/// These keys in the place of ClamAV's, as freshclam has them in this bench: databases of other keys are repacked for the
/// engine, which is work that an update of ClamAV's own databases has not.
pub(crate) fn as_clamavs(own: &TrustAnchors) -> TrustAnchors {
    let mut anchors = TrustAnchors::clamav();
    anchors.container.clone_from(&own.container);
    anchors.info.clone_from(&own.info);
    anchors.cdiff.clone_from(&own.cdiff);
    anchors
}
