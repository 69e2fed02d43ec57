//! The rescanner's Lambda function.

use std::{
    env,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
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
        work: SnsTopic::new(&sdk, &config.pass_topic_arn),
        clock: SystemClock,
    };
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let handled = ports.handle(&event.payload, config, deadline(&event)).await.map_err(Diagnostic::from)?;
        if let Some(line) = embedded_metrics("rescanner", None, ports.clock.now(), &handled.counts()) {
            // CloudWatch reads metrics from the log stream; a closed one must not fail the invocation.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        Ok::<_, Diagnostic>(handled.response)
    }))
    .await
}

/// When the invocation ends, on the clock that only goes forward.
#[expect(clippy::disallowed_methods, reason = "Lambda tells the end as a time of day")]
fn deadline(event: &LambdaEvent<Value>) -> Instant {
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    Instant::now() + left
}
