//! The rescanner's Lambda function.

use std::{
    env,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, Utc};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use nacre_aws::{DynamoRecords, S3Definitions, S3TestObjects, SnsTopic, SqsLengths, SqsQueue, SystemClock};
use nacre_core::{
    port::Clock,
    retry::RetryPolicy,
    tag_policy::TagNames,
    telemetry::{Metric, MetricSource},
};
use nacre_rescanner::{
    PassSettings, Ports, Rescanner, Services,
    config::Config,
    segment::Limits,
    watch::{Task, Watch, WatchPorts, WatchServices},
};
use serde_json::Value;

/// The services of AWS.
struct Aws;

impl Services for Aws {
    type Definitions = S3Definitions;
    type Records = DynamoRecords;
    type Triggers = SnsTopic;
    type Queue = SqsQueue;
    type Clock = SystemClock;
}

impl WatchServices for Aws {
    type Definitions = S3Definitions;
    type Objects = S3TestObjects;
    type Records = DynamoRecords;
    type Queues = SqsLengths;
    type Alerts = SnsTopic;
    type Clock = SystemClock;
}

/// Most pages of one message: a million records.
const MAX_PAGES_PER_MESSAGE: u64 = 1000;

/// Time that the end of an invocation is kept free, to send the rest of the work to the queue.
const CONTINUATION_TIME: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    nacre_aws::run_function(Box::pin(function())).await
}

#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
async fn function() -> Result<(), Error> {
    let config = Config::from_vars(|name| env::var(name).ok())?;
    // Nobody waits for a pass, and the scanner needs the same services.
    let sdk = nacre_aws::with_background_retries(&nacre_aws::function_config().await);
    let ports = Ports::<Aws> {
        definitions: S3Definitions::new(&sdk, &config.definitions_bucket),
        records: DynamoRecords::new(&sdk, &config.records_table),
        triggers: SnsTopic::new(&sdk, &config.trigger_topic_arn),
        queue: SqsQueue::new(&sdk, &config.pass_queue_url),
        clock: SystemClock,
    };
    let watch = &Watch::<Aws> {
        ports: WatchPorts {
            definitions: S3Definitions::new(&sdk, &config.definitions_bucket),
            objects: S3TestObjects::new(&sdk),
            records: DynamoRecords::new(&sdk, &config.records_table),
            queues: SqsLengths::new(&sdk),
            alerts: config.alert_topic.as_deref().map(|arn| SnsTopic::new(&sdk, arn)),
            clock: SystemClock,
        },
        settings: config.watch.clone(),
        tags: TagNames::default(),
    };
    let Config { region, segments, daily_budget, size_limit, metrics, .. } = config;
    let settings = PassSettings { region, segments, daily_budget, retry: RetryPolicy::default() };
    let (rescanner, metrics) = (&Rescanner::new(ports, settings).with_size_limit(size_limit), &metrics);
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        if let Some(task) = Task::read(&event.payload) {
            let report = |at, counts: &[(Metric, u64)]| print_metrics(metrics, at, counts);
            Box::pin(watch.run(task, continuation_deadline(&event), report)).await;
            return Ok(Value::Null);
        }
        let limits = Limits { pages: MAX_PAGES_PER_MESSAGE, until: continuation_deadline(&event) };
        let handled = Box::pin(rescanner.handle(&event.payload, limits)).await.map_err(Diagnostic::from)?;
        let now = rescanner.ports().clock.now();
        print_metrics(metrics, now, &handled.counts(now));
        Ok::<_, Diagnostic>(handled.response)
    }))
    .await
}

/// CloudWatch reads metrics from the log stream; a closed one must not fail the invocation.
fn print_metrics(metrics: &MetricSource, at: DateTime<Utc>, counts: &[(Metric, u64)]) {
    if let Some(line) = metrics.line(at, counts) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// On the clock that only goes forward.
#[expect(clippy::disallowed_methods, reason = "Lambda gives the end as a time of day")]
fn continuation_deadline(event: &LambdaEvent<Value>) -> Instant {
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    Instant::now() + left.saturating_sub(CONTINUATION_TIME)
}
