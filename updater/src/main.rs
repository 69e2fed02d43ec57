//! The updater's Lambda function.

use std::{env, process::ExitCode};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn, tracing};
use nacre_shared::{
    aws::{self, S3Definitions, SnsTopic},
    engine::program_beside_us,
    port::{Clock, SystemClock},
    telemetry::error_chain,
};
use nacre_updater::{config::Config, mirror::Mirror, publish::Publisher, update::Updater};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> ExitCode {
    aws::run_function(Box::pin(function())).await
}

#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
async fn function() -> Result<(), Error> {
    let config = &Config::from_vars(|name| env::var(name).ok())?;
    if !config.trust_anchors.is_clamav() {
        tracing::warn!(
            trust_anchor = config.trust_anchors.identity(),
            "definitions are verified with other keys than ClamAV's"
        );
    }
    let engine = &config.engine_path.clone().map_or_else(program_beside_us, Ok)?;
    let sdk = aws::sdk_config().await;
    let store = &S3Definitions::new(&sdk, &config.definitions_bucket);
    let announcements = &SnsTopic::new(&sdk, &config.topic_arn);
    let mirror = &Mirror::new(&config.mirror)?;
    run(service_fn(move |_: LambdaEvent<Value>| async move {
        let updater = Updater {
            mirror,
            databases: &config.databases,
            trust_anchors: &config.trust_anchors,
            publisher: Publisher { store, announcements, flat_prefix: &config.flat_prefix },
            engine,
            scratch: &config.scratch_path,
            now: SystemClock.now(),
        };
        let update = Box::pin(updater.run()).await.map_err(|error| {
            tracing::error!(cause = error_chain(&error), "update failed; what was published before stays");
            Diagnostic::from(error)
        })?;
        tracing::info!(update = json!(update).to_string(), "update finished");
        Ok::<_, Diagnostic>(json!(update))
    }))
    .await
}
