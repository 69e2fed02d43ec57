//! A bucket of another account: the stack is changed here, and what its owner has to do there is printed as commands.

use nacre_core::key_filter::KeyPattern;
use serde_json::{Value, json};

use super::{
    AttachError, EventsBy, How, ReadAccess, confirm,
    execute::Executor,
    notification::EVENTS,
    plan::{Deployed, attach_of_other},
    statements::{allowance, statements},
};
use crate::output::{print, print_json};

/// The bucket, and what is wanted of it.
pub(super) struct Other<'a> {
    pub(super) bucket: &'a str,
    pub(super) owner: &'a str,
    pub(super) keys: KeyPattern,
    pub(super) read_access: Option<ReadAccess>,
}

pub(super) async fn attach(
    executor: &Executor<'_>,
    other: &Other<'_>,
    events: Option<EventsBy>,
    how: &How,
) -> Result<(), AttachError> {
    let deployed = &executor.deployed;
    let parameters = attach_of_other(deployed, other.bucket, other.owner, events)?;
    let commands = commands(deployed, other);
    if !how.json {
        for (name, value) in &parameters {
            print(&format!("stack         {name} becomes {value}"))?;
        }
        for line in &commands {
            print(line)?;
        }
    }
    if !how.dry_run && !parameters.is_empty() {
        confirm(how)?;
        executor.give(&parameters).await?;
    }
    if how.json {
        let done = !how.dry_run;
        print_json(
            &json!({ "bucket": other.bucket, "owner": other.owner, "parameters": parameters, "commands": commands, "done": done }),
        )?;
    }
    Ok(())
}

/// What the owner runs.
fn commands(deployed: &Deployed, other: &Other<'_>) -> Vec<String> {
    let Other { bucket, owner, .. } = other;
    let value = |name: &str| deployed.parameters.get(name).map(String::as_str).unwrap_or_default();
    let removes = !matches!(value("InfectedObjects"), "" | "tag");
    let access = other.read_access.unwrap_or_else(|| ReadAccess::of_parameter(Some(value("ReadAccess"))));
    let (arn, role) = (deployed.arn(bucket), &deployed.scanner_role);
    let all: Vec<Value> = statements(&arn, role, access).into_iter().chain(allowance(&arn, role, removes)).collect();
    let rules =
        [("prefix", &other.keys.prefix), ("suffix", &other.keys.suffix)].into_iter().filter(|(_, it)| !it.is_empty());
    let rules: Vec<Value> = rules.map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    let filter = (!rules.is_empty()).then(|| json!({ "Key": { "FilterRules": rules } }));
    let topic = match filter {
        Some(filter) => json!({ "TopicArn": deployed.trigger, "Events": EVENTS, "Filter": filter }),
        None => json!({ "TopicArn": deployed.trigger, "Events": EVENTS }),
    };
    vec![
        format!("as account {owner}: merge these statements into the policy of {bucket}, and put it back"),
        format!("  aws s3api get-bucket-policy --bucket {bucket} --query Policy --output text > policy.json"),
        format!("  {}", json!(all)),
        format!("  aws s3api put-bucket-policy --bucket {bucket} --policy file://policy.json"),
        "then merge this into its notifications, and put them back".into(),
        format!("  aws s3api get-bucket-notification-configuration --bucket {bucket} > notification.json"),
        format!("  {}", json!({ "TopicConfigurations": [topic] })),
        format!(
            "  aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration file://notification.json"
        ),
        format!(
            "where it encrypts with a KMS key: let {role} use kms:Decrypt in the key's policy, and name the key here, by"
        ),
        "  nacre deploy --parameter KmsKeyArns=…".into(),
    ]
}
