//! The scanner's Lambda function.

use std::{
    env,
    io::Write,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn, tracing};
use nacre_aws::{
    DynamoRecords, EventBridgeBus, S3Definitions, S3Objects, SecurityHub, SnsTopic, SqsDeliveries, SystemClock,
    at_endpoint,
};
use nacre_core::telemetry::error_chain;
use nacre_engine_client::program_beside_us;
use nacre_scanner::{Function, Ports, Services, config::Config};
use serde_json::Value;

#[tokio::main]
async fn main() -> ExitCode {
    nacre_aws::run_function(Box::pin(function())).await
}

#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
async fn function() -> Result<(), Error> {
    let config = Config::from_vars(|name| env::var(name).ok())?;
    for warning in &config.warnings {
        tracing::warn!(warning, "a setting should be changed");
    }
    let engine = config.engine_path.clone().map_or_else(program_beside_us, Ok)?;
    let sdk = nacre_aws::function_config().await;
    let sns = at_endpoint(&sdk, config.sns_endpoint.as_deref());
    let topic = |arn: &Option<String>| arn.as_deref().map(|arn| SnsTopic::new(&sns, arn));
    let ports = Ports::<Aws> {
        objects: S3Objects::new(&at_endpoint(&sdk, config.s3_endpoint.as_deref())),
        records: DynamoRecords::new(&sdk, &config.records_table),
        results: topic(&config.results.topic_arn),
        starts: topic(&config.results.start_topic_arn),
        rescans: topic(&config.rescan_topic),
        alerts: topic(&config.alert_topic),
        bus: config.results.event_bus.as_deref().map(|name| EventBridgeBus::new(&sdk, name)),
        hub: config.results.security_hub.as_ref().map(|product| SecurityHub::new(&sdk, product)).transpose()?,
        deliveries: Some(SqsDeliveries::new(&sdk)),
        definitions: S3Definitions::new(&sdk, &config.definitions_bucket),
        clock: SystemClock,
    };
    let metrics = config.metrics.clone();
    let function = Arc::new(Function::new(config, engine, ports)?);
    let warming = tokio::spawn({
        let function = Arc::clone(&function);
        async move {
            if let Err(error) = function.warm_up().await {
                // Nothing may be published yet; the first message retries, and fails if that is still so.
                tracing::warn!(cause = error_chain(&error), "definitions not ready at start");
            }
        }
    });
    // If it takes longer, the first message waits for the rest.
    let _ = tokio::time::timeout(INIT_TIME, warming).await;
    let function = &function;
    let metrics = &metrics;
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let handled = Box::pin(function.handle(&event.payload, deadline(&event))).await.map_err(Diagnostic::from)?;
        if let Some(line) = metrics.line(function.now(), &handled.counts) {
            // CloudWatch reads metrics from the log stream; a closed one must not fail the invocation.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        Ok::<_, Diagnostic>(handled.response)
    }))
    .await
}

/// The services of AWS.
struct Aws;

impl Services for Aws {
    type Objects = S3Objects;
    type Records = DynamoRecords;
    type Topic = SnsTopic;
    type Bus = EventBridgeBus;
    type Hub = SecurityHub;
    type Deliveries = SqsDeliveries;
    type Definitions = S3Definitions;
    type Clock = SystemClock;
}

/// How long loading may keep the function from saying that it is ready: Lambda ends an INIT phase after 10 s, and begins anew.
const INIT_TIME: Duration = Duration::from_secs(8);

/// When the invocation ends, on the clock that only goes forward.
#[expect(clippy::disallowed_methods, reason = "Lambda gives the end as a time of day")]
fn deadline(event: &LambdaEvent<Value>) -> Instant {
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    Instant::now() + left
}
