//! `nacre deploy --probe`: one function that reports what its surroundings allow, in a stack of its own that is gone afterwards.

use std::{collections::BTreeMap, error::Error, io};

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::StackStatus;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;

use super::{
    Arguments, DeployError,
    artifacts::Artifacts,
    packages::{self, architecture},
    plan::Choice,
    say, settled,
    template::Template,
};
use crate::{
    output::{print, print_json},
    stack::{StackError, Stacks, outputs},
};

const TEMPLATE: &str = include_str!("../../../infra/probe.yaml");

/// The package, and the parameter of the template above that names its key.
const PACKAGE: (&str, &str) = ("probe.zip", "ProbeCodeKey");

/// The parts of a report, with their titles.
const PARTS: [(&str, &str); 3] =
    [("facts", "What the system says"), ("calls", "What may be called"), ("directories", "Where files may be made")];

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("the stack {name} of the probe is {status}: {failures}")]
    Stack { name: String, status: String, failures: String },
    #[error("the probe cannot be invoked: check that the credentials may call lambda:InvokeFunction")]
    Invoke(#[source] Box<dyn Error + Send + Sync>),
    #[error("the probe failed: {0}")]
    Function(String),
}

/// Deploys the probe, prints its report, and removes it whatever came of it. The package stays where packages are.
pub(crate) async fn probe(
    arguments: &Arguments,
    sdk: &SdkConfig,
    bucket: String,
    artifacts: &Artifacts,
) -> Result<(), DeployError> {
    let package = packages::read_one(&arguments.packages, PACKAGE)?;
    let stacks = Stacks::new(sdk);
    let name = format!("{}-probe", arguments.stack);
    // One that an interrupted run left.
    if let Some(id) = settled(&stacks, &name, false).await?.and_then(|stack| stack.stack_id) {
        remove(&stacks, &id).await?;
    }
    artifacts.prepare().await?;
    let package = [package];
    artifacts.upload(&package).await?;
    let mut parameters = BTreeMap::from([("CodeBucket".to_owned(), Choice::Value(bucket))]);
    parameters.extend(package.iter().map(|package| (package.parameter.to_owned(), Choice::Value(package.key.clone()))));
    let processor = architecture(&package)?.map(|processor| Choice::Value(processor.to_owned()));
    parameters.extend(processor.map(|processor| ("Architecture".to_owned(), processor)));
    let made = stacks.change_set(&name, &Template::Text(TEMPLATE.to_owned()), &parameters, true).await?;
    let change_set = made.ok_or_else(|| StackError::Vanished(name.clone()))?;
    say(&format!("the stack {name} is made for one function, and deleted when that has reported"));
    let report = async {
        let after = stacks.newest_event(&change_set.stack).await?;
        stacks.execute(&change_set).await?;
        let ended = stacks.follow(&change_set.stack, "creating", after).await?;
        if ended.status != StackStatus::CreateComplete {
            let (status, failures) = (ended.status.to_string(), ended.failures.join("; "));
            return Err(ProbeError::Stack { name: name.clone(), status, failures }.into());
        }
        let stack = stacks.describe(&change_set.stack).await?.ok_or_else(|| StackError::Vanished(name.clone()))?;
        let function = outputs(&stack).remove("ProbeFunction").unwrap_or_default();
        invoke(sdk, &function).await.map_err(DeployError::from)
    };
    let report = report.await;
    remove(&stacks, &change_set.stack).await?;
    Ok(print_report(&report?, arguments.json)?)
}

async fn remove(stacks: &Stacks, id: &str) -> Result<(), StackError> {
    let after = stacks.newest_event(id).await?;
    stacks.delete(id).await?;
    stacks.follow(id, "deleting", after).await.map(drop)
}

async fn invoke(sdk: &SdkConfig, function: &str) -> Result<Value, ProbeError> {
    let request = aws_sdk_lambda::Client::new(sdk).invoke().function_name(function).payload(Blob::new("{}"));
    let response = request.send().await.map_err(|error| ProbeError::Invoke(error.into()))?;
    let payload = response.payload().map(Blob::as_ref).unwrap_or_default();
    let failed = || ProbeError::Function(String::from_utf8_lossy(payload).into_owned());
    if response.function_error().is_some() {
        return Err(failed());
    }
    serde_json::from_slice(payload).map_err(|_| failed())
}

fn print_report(report: &Value, json: bool) -> io::Result<()> {
    if json { print_json(report) } else { in_words(report).iter().try_for_each(|line| print(line)) }
}

/// Pure.
fn in_words(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (part, title) in PARTS {
        lines.push(format!("{title}:"));
        let entries = report.get(part).and_then(Value::as_object).into_iter().flatten();
        lines.extend(entries.map(|(name, value)| format!("  {name:36} {}", value.as_str().unwrap_or("?"))));
    }
    let names = report.get("environment").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<_> = names.filter_map(Value::as_str).collect();
    lines.push(format!("Names in the environment: {}", names.join(", ")));
    lines.push("docs/probe.md says which of these would change a decision of Nacre's".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_shown_in_parts() {
        let report = json!({
            "facts": { "kernel": "Linux" }, "calls": { "landlock": "refused: ENOSYS" }, "directories": {},
            "environment": ["HOME", "PATH"],
        });
        let lines = in_words(&report);
        assert_eq!(lines[0], "What the system says:");
        assert!(lines[1].starts_with("  kernel ") && lines[3].ends_with(" refused: ENOSYS"), "{lines:?}");
        assert_eq!(lines[5], "Names in the environment: HOME, PATH");
    }
}
