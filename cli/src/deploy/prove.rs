//! Shows that a deployed stack works, and says what does not, or what could not be seen. The stack is deployed whatever comes of it.

use std::{collections::BTreeMap, error::Error};

use aws_config::SdkConfig;
use nacre_aws::S3Definitions;

use super::{
    Arguments,
    generation::{GenerationError, publish, published},
    report::{Report, next_steps},
    self_test::{Place, SelfTestError},
};
use crate::{
    output::explain,
    stack::{StackError, Stacks, outputs, parameters},
};

/// Why it is not known whether the stack works.
#[derive(Debug, thiserror::Error)]
enum ProveError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(
        "whether {0} notifies the stack cannot be read: check that the credentials may call s3:GetBucketNotification"
    )]
    Notification(String, #[source] Box<dyn Error + Send + Sync>),
    #[error("the stack has no outputs ScannedBucket and ScanRecords, so there is nowhere to test")]
    NoOutputs,
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
}

/// Waits for definitions, and has both files scanned. What keeps it from that is in the report, too.
pub(super) async fn prove(arguments: &Arguments, sdk: &SdkConfig, stacks: &Stacks, mut report: Report) -> Report {
    let seen = see(arguments, sdk, stacks, &mut report).await;
    report.untested = seen.err().map(|error| explain(&error));
    report
}

async fn see(arguments: &Arguments, sdk: &SdkConfig, stacks: &Stacks, report: &mut Report) -> Result<(), ProveError> {
    let stack = stacks.describe(&arguments.stack).await?;
    let stack = stack.ok_or_else(|| StackError::Vanished(arguments.stack.clone()))?;
    let (outputs, values) = (outputs(&stack), parameters(&stack));
    report.outputs.clone_from(&outputs);
    let is = |name: &str, value: &str| values.get(name).is_some_and(|is| is == value);
    let output = |name: &str| outputs.get(name).map(String::as_str).unwrap_or_default();
    let store = S3Definitions::new(sdk, output("DefinitionsBucket"));
    let generation = if is("StartFirstUpdate", "False") {
        published(&store).await.map_err(GenerationError::Published)?
    } else {
        publish(sdk, &store, output("UpdaterFunction")).await?
    };
    report.generation = generation.map(|generation| generation.0);
    if generation.is_none() && !is("StartFirstUpdate", "False") {
        let finding = "no definitions are published, so nothing is scanned: see the log of UpdaterFunction";
        report.findings.push(finding.to_owned());
    }
    let bucket = format!(":::{}", output("ScannedBucket"));
    let by_event_bridge =
        values.get("EventBridgeBucketArns").is_some_and(|arns| arns.split(',').any(|arn| arn.ends_with(&bucket)));
    let is_given = outputs.contains_key("ScannedBucketNotification");
    let has_notification = !is_given || by_event_bridge || is_notified(sdk, &outputs).await?;
    if !has_notification {
        let bucket = output("ScannedBucket");
        report.findings.push(format!("nothing in {bucket} is scanned: its events do not come to the stack"));
    }
    report.next = next_steps(&outputs, &values, generation.is_some(), has_notification);
    if generation.is_none() || !has_notification || arguments.no_self_test {
        return Ok(());
    }
    let takes_away = !is("InfectedObjects", "tag");
    let place = Place::of(sdk, &outputs, takes_away).ok_or(ProveError::NoOutputs)?;
    let self_test = place.test().await?;
    report.findings.extend(self_test.findings(takes_away));
    report.self_test = Some(self_test);
    Ok(())
}

/// Whether a given bucket notifies the stack of its objects.
async fn is_notified(sdk: &SdkConfig, outputs: &BTreeMap<String, String>) -> Result<bool, ProveError> {
    let (Some(bucket), Some(topic)) = (outputs.get("ScannedBucket"), outputs.get("ScannerTrigger")) else {
        return Ok(false);
    };
    let request = aws_sdk_s3::Client::new(sdk).get_bucket_notification_configuration().bucket(bucket);
    let has = request.send().await.map_err(|error| ProveError::Notification(bucket.clone(), error.into()))?;
    Ok(has.topic_configurations().iter().any(|configured| configured.topic_arn() == topic))
}
