//! The updater's Lambda function.

use std::{
    env,
    io::Write,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn, tracing};
use nacre_aws::{S3Definitions, SnsTopic, SystemClock};
use nacre_core::{generation::published::Published, port::Clock, telemetry::error_chain};
use nacre_engine_client::program_beside_us;
use nacre_updater::{
    config::Config,
    dns::Dns,
    http::{HttpClient, HttpSettings},
    report::metrics,
    state,
    update::{UpdateError, Updater},
};
use serde_json::{Value, json};
use tokio::time::timeout;

#[tokio::main]
async fn main() -> ExitCode {
    nacre_aws::run_function(Box::pin(function())).await
}

/// What a run that ran out of time leaves for telling so.
const CLOSING_TIME: Duration = Duration::from_secs(15);

#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
async fn function() -> Result<(), Error> {
    let config = &Config::from_vars(|name| env::var(name).ok())?;
    for warning in &config.warnings {
        tracing::warn!(warning, "a setting should be changed");
    }
    if !config.trust_anchors.is_clamav() {
        tracing::warn!(
            trust_anchor = config.trust_anchors.identity(),
            "definitions are verified with other keys than ClamAV's"
        );
    }
    let engine = &config.engine_path.clone().map_or_else(program_beside_us, Ok)?;
    let sdk = nacre_aws::function_config().await;
    let store = &S3Definitions::new(&sdk, &config.definitions_bucket);
    let announcements = &SnsTopic::new(&sdk, &config.topic_arn);
    let installation = state::load(store).await?.installation;
    let honest = || format!("nacre/{} ({installation})", env!("CARGO_PKG_VERSION"));
    let http = &HttpClient::new(HttpSettings::new(config.user_agent.clone().unwrap_or_else(honest)))?;
    let dns = &config.dns_record.as_deref().map(|record| Dns::new(record, None)).transpose();
    let dns = match dns {
        Ok(dns) => dns.as_ref(),
        // The mirrors themselves are asked what they have.
        Err(error) => {
            tracing::warn!(cause = error_chain(error), "no DNS record is queried");
            None
        }
    };
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let updater = Updater { config, store, announcements, http, dns, engine, now: SystemClock.now() };
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        // A run that Lambda kills reports no reason.
        let outcome = timeout(left.saturating_sub(CLOSING_TIME), Box::pin(updater.run())).await;
        let outcome = outcome.unwrap_or(Err(UpdateError::OutOfTime));
        let published = Published::read(store).await.ok();
        if let Some(line) = config.metrics.line(updater.now, &metrics(&outcome, published.as_ref(), updater.now)) {
            // CloudWatch reads metrics from the log stream; a closed one must not fail the invocation.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        match outcome {
            Ok(update) => {
                tracing::info!(update = json!(update).to_string(), "update finished");
                Ok::<_, Diagnostic>(json!(update))
            }
            Err(error) => {
                tracing::error!(cause = error_chain(&error), "update failed; what was published before stays");
                Err(Diagnostic::from(error))
            }
        }
    }))
    .await
}
