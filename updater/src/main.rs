//! The updater's Lambda function.

use std::{
    env,
    io::Write,
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn, tracing};
use nacre_aws::{S3Definitions, SnsTopic, SystemClock};
use nacre_core::{
    generation::published::Published,
    port::{Clock, StoreError},
    telemetry::error_chain,
};
use nacre_engine_client::program_beside_us;
use nacre_updater::{
    config::Config,
    dns::Dns,
    fetcher::Fetcher,
    freshclam::{self, Freshclam},
    http::{HttpClient, HttpSettings},
    report::metrics,
    stack_request::{ANSWERING_TIME, StackRequest},
    state,
    update::{Update, UpdateError, Updater},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

#[tokio::main]
async fn main() -> ExitCode {
    nacre_aws::run_function(Box::pin(function())).await
}

/// What a run that ran out of time leaves for telling so.
const CLOSING_TIME: Duration = Duration::from_secs(15);

/// What freshclam leaves for the test and the publication of what it brings, unless that is more than half of the time.
const PUBLISHING_TIME: Duration = Duration::from_mins(4);
/// How long IAM may take until a new role's policy is known. A stack's own request comes seconds after the role.
const WAITS_FOR_PERMISSION: [u64; 4] = [2, 4, 8, 16];

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
    let installation = installation(store).await?;
    let endpoint = &env::var("AWS_ENDPOINT_URL").ok();
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
    let own_directory = env::current_exe()?.parent().map(Path::to_owned);
    let stock = &Freshclam {
        program: Freshclam::find(own_directory.as_deref(), env::var_os("PATH").as_deref()),
        environment: freshclam::environment(|name| env::var(name).ok(), Path::is_file),
        time_limit: Duration::MAX,
        attempts: freshclam::ATTEMPTS,
    };
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let request = StackRequest::parse(&event.payload);
        if let Some(request) = request.as_ref().filter(|request| request.is_deletion()) {
            answer(request, None, endpoint.as_deref()).await;
            return Ok(Value::Null);
        }
        let reserve = if request.is_some() { ANSWERING_TIME + CLOSING_TIME } else { CLOSING_TIME };
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let left = left.saturating_sub(reserve);
        let stock = Freshclam { time_limit: left.saturating_sub(PUBLISHING_TIME).max(left / 2), ..stock.clone() };
        let freshclam = (config.fetcher == Fetcher::Freshclam).then_some(&stock);
        let updater = Updater { config, store, announcements, http, dns, freshclam, engine, now: SystemClock.now() };
        // A run that Lambda kills reports no reason.
        let outcome = timeout(left, Box::pin(updater.run())).await;
        let outcome = outcome.unwrap_or(Err(UpdateError::OutOfTime));
        let published = Published::read(store).await.ok();
        if let Some(line) = config.metrics.line(updater.now, &metrics(&outcome, published.as_ref(), updater.now)) {
            // CloudWatch reads metrics from the log stream; a closed one must not fail the invocation.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        if let Some(request) = &request {
            answer(request, Some(&outcome), endpoint.as_deref()).await;
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

/// The installation's identity, which is the first thing that the bucket is needed for.
async fn installation(store: &S3Definitions) -> Result<String, StoreError> {
    for wait in WAITS_FOR_PERMISSION {
        match state::load(store).await {
            Err(StoreError::Denied(..)) => sleep(Duration::from_secs(wait)).await,
            loaded => return Ok(loaded?.installation),
        }
    }
    Ok(state::load(store).await?.installation)
}

/// Answers a stack. Where that fails, the stack fails too, once its time is over; the log has the cause.
async fn answer(request: &StackRequest, update: Option<&Result<Update, UpdateError>>, endpoint: Option<&str>) {
    if let Err(error) = request.send(request.answer(update), endpoint).await {
        tracing::error!(cause = error_chain(&error), "the stack was not answered, and will fail");
    }
}
