//! The rescanner's Lambda function.

use std::{env, io::Write, process::ExitCode};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn, tracing};
use nacre_rescanner::{Ports, config::Config};
use nacre_shared::{
    aws::{self, DynamoRecords, S3Definitions, SnsTopic},
    port::{Clock, SystemClock},
    telemetry::embedded_metrics,
};
use serde_json::Value;

#[tokio::main]
async fn main() -> ExitCode {
    aws::run_function(Box::pin(function())).await
}

#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
async fn function() -> Result<(), Error> {
    let config = &Config::from_vars(|name| env::var(name).ok())?;
    let sdk = aws::sdk_config().await;
    let ports = &Ports {
        definitions: S3Definitions::new(&sdk, &config.definitions_bucket),
        records: DynamoRecords::new(&sdk, &config.records_table),
        triggers: SnsTopic::new(&sdk, &config.trigger_topic_arn),
        clock: SystemClock,
    };
    run(service_fn(move |_: LambdaEvent<Value>| async move {
        let handled = ports.handle(config.segments, &config.region).await.map_err(Diagnostic::from)?;
        tracing::info!(
            generation = handled.generation.0,
            examined = handled.tally.examined,
            published = handled.tally.published,
            unreadable = handled.tally.unreadable,
            "rescan pass finished"
        );
        if let Some(line) = embedded_metrics("rescanner", None, ports.clock.now(), &handled.counts()) {
            // CloudWatch reads metrics from the log stream; a closed one must not fail the invocation.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        Ok::<_, Diagnostic>(handled.response())
    }))
    .await
}
