//! `nacre trigger`: requests scans of single objects, as an upload does.

use std::{io, process::ExitCode};

use clap::{Args, builder::NonEmptyStringValueParser};
use nacre_aws::SnsTopic;
use nacre_core::{
    object::ObjectId,
    port::TopicMessage,
    rescan::trigger::{PublishError, publish},
    retry::RetryPolicy,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    deployment::{DeploymentError, Part, StackArgument},
    output::{conclude, print, print_json},
    s3_url::parse_object,
};

/// Most objects of one message: when one of them fails, all of them come again.
const MAX_OBJECTS: usize = 10;

/// Request a scan of objects, as their upload did.
///
/// They go by the queue of uploads. An object whose record is of the published definitions is not scanned a second time; tags and
/// result are made good where they are missing. Whole buckets are for `nacre backfill`.
///
/// Exit status: 0 when the scans are requested, 2 when not or not all.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The objects, as `s3://bucket/key` or `s3://bucket/key?versionId=id`
    #[arg(required = true, value_name = "S3-URL", value_parser = parse_object)]
    objects: Vec<ObjectId>,
    #[command(flatten)]
    stack: StackArgument,
    /// The topic of new objects [default: the stack's]
    #[arg(long, env = "NACRE_SCANNER_TOPIC_ARN", value_name = "ARN", value_parser = NonEmptyStringValueParser::new())]
    topic: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why scans were not requested.
#[derive(Debug, thiserror::Error)]
enum TriggerError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("not all scans are requested; to request one twice does no harm, so run this again")]
    Publish(#[from] PublishError),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("trigger", execute(arguments).await)
}

async fn execute(arguments: &Arguments) -> Result<(), TriggerError> {
    let deployment = arguments.stack.open().await?;
    let topic = deployment.name(Part::ScannerTrigger, arguments.topic.as_deref()).await?;
    let topic = SnsTopic::new(&deployment.sdk, &topic);
    let messages = arguments.objects.chunks(MAX_OBJECTS).map(|objects| message(objects, &deployment.region()));
    publish(&topic, messages.collect(), RetryPolicy::default(), tokio::time::sleep).await?;
    let requested = arguments.objects.len();
    if arguments.json {
        return Ok(print_json(&json!({ "requested": requested }))?);
    }
    print(&format!("{requested} scans requested"))?;
    Ok(print("`nacre object` shows what became of each")?)
}

/// The message of an upload, as S3 would write it. Pure.
fn message(objects: &[ObjectId], region: &str) -> TopicMessage {
    let records: Vec<Value> = objects.iter().map(|object| record(object, region)).collect();
    let body = json!({ "Records": records }).to_string();
    TopicMessage { subject: None, body, attributes: Vec::new(), per_protocol: false }
}

fn record(object: &ObjectId, region: &str) -> Value {
    let key = utf8_percent_encode(&object.key, NON_ALPHANUMERIC).to_string();
    let mut named = json!({ "key": key });
    if let (Some(version), Value::Object(named)) = (&object.version_id, &mut named) {
        named.insert("versionId".into(), json!(version));
    }
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": region, "eventName": "ObjectCreated:Put",
        "s3": { "s3SchemaVersion": "1.0", "bucket": { "name": object.bucket }, "object": named },
    })
}

#[cfg(test)]
mod tests {
    use nacre_core::event::{Cause, Invocation, ObjectEvent, ScanRequest};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_scan_of_exactly_these_objects_is_requested(
            keys in prop::collection::vec(("[ -~äß€+%\n]{1,60}[a-z]", proptest::option::of("[A-Za-z0-9._]{1,32}")), 1..12),
        ) {
            let objects: Vec<_> = keys.into_iter().map(|(key, version)| ObjectId::new("b", key, version)).collect();
            let body = serde_json::from_str(&message(&objects, "eu-west-1").body).unwrap();
            let read = Invocation::read(&body).messages.into_iter().flat_map(|message| message.events);
            let expected = objects.into_iter().map(|object| {
                ObjectEvent::Scan(ScanRequest { object, sequencer: None, cause: Cause::Upload, at: None })
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }
}
