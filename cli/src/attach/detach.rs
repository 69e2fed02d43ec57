//! `nacre detach`: a bucket has what it had before, and the stack forgets it.

use std::process::ExitCode;

use clap::{Args, builder::NonEmptyStringValueParser};
use nacre_aws::DynamoRecords;
use nacre_core::port::{RecordPages, RecordStore, Segment};

use super::{
    AttachError, How, confirm,
    execute::Executor,
    keys,
    plan::{Deployed, Found, Plan, PolicyChange, detach},
    screen::{Screen, show},
};
use crate::{
    deployment::{Part, StackArgument},
    output::conclude,
    s3_url::Place,
};

/// Have a stack scan a bucket no longer, or a part of it.
///
/// Takes out of the bucket's notifications and policy what `nacre attach` put there, and nothing else. With the last of a bucket its
/// infected objects can be read again, and the records of its objects are removed: passes would otherwise request rescans that nobody
/// may make. The tags stay.
///
/// Exit status: 0 when the bucket is detached, or shown how; 2 when it is not.
#[derive(Debug, Args)]
pub(crate) struct DetachArguments {
    /// The bucket, as `s3://bucket`, or what was attached of it, as `s3://bucket/prefix`
    #[arg(value_name = "S3-URL", value_parser = Place::parse)]
    place: Place,
    /// Only what was attached with this suffix
    #[arg(long, value_name = "SUFFIX", value_parser = NonEmptyStringValueParser::new())]
    suffix: Option<String>,
    /// Keep the records of the bucket's objects
    #[arg(long)]
    keep_records: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    stack: StackArgument,
}

/// Runs `nacre detach`.
pub(crate) async fn run_detach(arguments: &DetachArguments) -> ExitCode {
    conclude("detach", execute(arguments).await)
}

async fn execute(arguments: &DetachArguments) -> Result<(), AttachError> {
    let deployment = arguments.stack.open().await?;
    let executor = Executor::open(&deployment).await?;
    let DetachArguments { place, how, .. } = arguments;
    let bucket = &place.bucket;
    let keys = keys(place, arguments.suffix.as_ref());
    // One that is gone, or of another account: all that can be done is to forget it.
    let (plan, found) = match executor.check(bucket).await {
        Ok(()) => {
            let found = executor.read(bucket).await?;
            (detach(&executor.deployed, bucket, &found, Some(&keys).filter(|keys| !keys.is_any()))?, found)
        }
        Err(error) => forgotten(&executor.deployed, bucket).ok_or(error)?,
    };
    let done = !how.dry_run && !plan.is_empty();
    if !how.json {
        show(&Screen::of(&plan, &executor.deployed, &found, false))?;
    }
    let mut next = Vec::new();
    if done {
        confirm(how)?;
        executor.detach(&plan, &found).await?;
    }
    if done && plan.events.is_none() && !arguments.keep_records && *bucket != executor.deployed.own {
        let table = deployment.name(Part::ScanRecords, None).await?;
        let removed = remove_records(&DynamoRecords::new(&deployment.sdk, &table), bucket).await?;
        next.push(format!("{removed} records of its objects were removed"));
    }
    Screen::of(&plan, &executor.deployed, &found, done).conclude(how.json, &next)?;
    Ok(())
}

/// The plan for a bucket that cannot be seen: it is only taken out of the stack. `None` when it is not in it.
fn forgotten(deployed: &Deployed, bucket: &str) -> Option<(Plan, Found)> {
    deployed.buckets().iter().skip(1).find(|one| *one == bucket)?;
    let nothing = Found {
        notification: aws_sdk_s3::types::NotificationConfiguration::builder().build(),
        policy: None,
        kms_key: None,
    };
    let plan = detach(deployed, bucket, &nothing, None).ok()?;
    let reason = "the bucket is gone, or of another account: what it has of ours is its owner's to remove";
    Some((Plan { reason: Some(reason.into()), notification: None, policy: PolicyChange::Unchanged, ..plan }, nothing))
}

/// Removes the records of a bucket's objects; how many there were.
async fn remove_records(table: &DynamoRecords, bucket: &str) -> Result<u64, AttachError> {
    let (mut removed, mut cursor) = (0, None);
    loop {
        let page = table.page(Segment { index: 0, total: 1 }, cursor).await.map_err(AttachError::Records)?;
        for record in page.records.iter().filter(|record| record.object.bucket == bucket) {
            table.remove(&record.object, None).await.map_err(AttachError::Records)?;
            removed += 1;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(removed);
        }
    }
}
