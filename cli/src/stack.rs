//! A stack as CloudFormation shows it: its state, and an operation followed to its end. `deploy` and `destroy` use it.

use std::{collections::BTreeMap, error::Error, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::ProvideErrorMetadata,
    types::{ResourceStatus, Stack, StackEvent, StackStatus, TemplateStage},
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

/// How often an operation is read. `CloudFormation` limits such calls.
const INTERVAL: Duration = Duration::from_secs(2);

/// What events call the stack itself.
const STACK: &str = "AWS::CloudFormation::Stack";

/// Why a stack cannot be seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error("CloudFormation does not answer about {stack}: check that the credentials may call {call}, and the region")]
    Call {
        stack: String,
        call: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the stack {0} vanished while it was read: run this again")]
    Vanished(String),
    #[error("the stack {0} is not one of Nacre's: it has none of our template's parameters. Choose another --stack")]
    Foreign(String),
}

/// What a stack's state means for whoever wants to deploy or delete it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Situation {
    /// There is none, or one that consists of a change set that was never executed.
    Absent,
    /// It can be updated.
    Ready,
    /// An operation is under way.
    Busy,
    /// Its creation failed: nothing can be done with it but delete it.
    Dead,
    /// Somebody has to repair it.
    Stuck,
}

/// Pure.
pub(crate) fn situation(status: Option<&StackStatus>) -> Situation {
    match status {
        None | Some(StackStatus::ReviewInProgress | StackStatus::DeleteComplete) => Situation::Absent,
        Some(
            StackStatus::CreateComplete
            | StackStatus::UpdateComplete
            | StackStatus::UpdateRollbackComplete
            | StackStatus::ImportComplete
            | StackStatus::ImportRollbackComplete,
        ) => Situation::Ready,
        Some(StackStatus::CreateFailed | StackStatus::RollbackComplete | StackStatus::RollbackFailed) => {
            Situation::Dead
        }
        Some(status) if status.as_str().ends_with("_IN_PROGRESS") => Situation::Busy,
        Some(_) => Situation::Stuck,
    }
}

/// Parameters that only our templates have, of a stack and of the probe's.
const OURS: [&str; 2] = ["ScannerCodeKey", "ProbeCodeKey"];

/// That a stack was made of one of our templates: nothing is done to any other.
///
/// # Errors
/// [`StackError::Foreign`].
pub(crate) fn check_is_ours(stack: &Stack) -> Result<(), StackError> {
    // One of nothing but a change set was made of nothing yet.
    let is_nothing = stack.stack_status() == Some(&StackStatus::ReviewInProgress);
    if is_nothing || stack.parameters().iter().any(|has| has.parameter_key().is_some_and(|key| OURS.contains(&key))) {
        return Ok(());
    }
    Err(StackError::Foreign(stack.stack_name().unwrap_or_default().to_owned()))
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: StackStatus,
    /// Resources that failed, with their reasons, oldest first: what comes after the first is mostly its consequence.
    pub(crate) failures: Vec<String>,
}

/// A resource of a stack, or one that its deletion left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Its name in the template.
    pub(crate) logical: String,
    /// Such as `AWS::S3::Bucket`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) physical: String,
}

/// `CloudFormation`, for one stack.
#[derive(Debug)]
pub(crate) struct Stacks {
    pub(crate) client: Client,
}

impl Stacks {
    pub(crate) fn new(sdk: &SdkConfig) -> Self {
        Self { client: Client::new(sdk) }
    }

    /// The stack of this name or ARN. A deleted one is found by its ARN only.
    pub(crate) async fn describe(&self, stack: &str) -> Result<Option<Stack>, StackError> {
        match self.client.describe_stacks().stack_name(stack).send().await {
            Ok(described) => Ok(described.stacks().first().cloned()),
            // The service has no error of its own for it.
            Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => Ok(None),
            Err(error) => Err(failed(stack, "DescribeStacks")(error)),
        }
    }

    /// The newest stack of this name that was deleted, of the last 90 days. One that never was anything but a change set, as a dry
    /// run leaves it, has nothing to account for.
    pub(crate) async fn newest_deleted(&self, name: &str) -> Result<Option<String>, StackError> {
        let request = self.client.list_stacks().stack_status_filter(StackStatus::DeleteComplete);
        let mut pages = request.into_paginator().send();
        // They are listed newest first.
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed(name, "ListStacks"))?;
            for summary in page.stack_summaries().iter().filter(|summary| summary.stack_name() == Some(name)) {
                let Some(id) = summary.stack_id() else { continue };
                if self.events_after(id, None).await?.iter().any(|event| resource_of(event).kind != STACK) {
                    return Ok(Some(id.to_owned()));
                }
            }
        }
        Ok(None)
    }

    /// The template of a stack that exists, with what its macros made of it.
    pub(crate) async fn template(&self, stack: &str) -> Result<String, StackError> {
        let request = self.client.get_template().stack_name(stack).template_stage(TemplateStage::Processed);
        let answer = request.send().await.map_err(failed(stack, "GetTemplate"))?;
        Ok(answer.template_body().unwrap_or_default().to_owned())
    }

    /// The resources of a stack that exists.
    pub(crate) async fn resources(&self, stack: &str) -> Result<Vec<Resource>, StackError> {
        let mut resources = Vec::new();
        let mut pages = self.client.list_stack_resources().stack_name(stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            for summary in page.map_err(failed(stack, "ListStackResources"))?.stack_resource_summaries() {
                resources.push(Resource {
                    logical: summary.logical_resource_id().unwrap_or_default().to_owned(),
                    kind: summary.resource_type().unwrap_or_default().to_owned(),
                    physical: summary.physical_resource_id().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(resources)
    }

    /// The resources that the deletion of a stack left where they were.
    pub(crate) async fn left_by_deletion(&self, id: &str) -> Result<Vec<Resource>, StackError> {
        let mut left = BTreeMap::new();
        for event in self.events_after(id, None).await? {
            let resource = resource_of(&event);
            if event.resource_status() == Some(&ResourceStatus::DeleteSkipped) {
                // Not by its name in the template: an update may have left another of that name.
                left.insert(resource.physical.clone(), resource);
            }
        }
        Ok(left.into_values().collect())
    }

    /// The stack's newest event, from which an operation that is about to begin can be followed.
    pub(crate) async fn newest_event(&self, stack: &str) -> Result<Option<String>, StackError> {
        let answer = self.client.describe_stack_events().stack_name(stack).send().await;
        let answer = answer.map_err(failed(stack, "DescribeStackEvents"))?;
        Ok(answer.stack_events().first().and_then(StackEvent::event_id).map(str::to_owned))
    }

    /// Begins the deletion of a stack.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), StackError> {
        self.client.delete_stack().stack_name(id).send().await.map(|_| ()).map_err(failed(id, "DeleteStack"))
    }

    /// Waits until no operation is under way, and shows on a terminal how far it is.
    pub(crate) async fn follow(&self, id: &str, verb: &str, after: Option<String>) -> Result<Ended, StackError> {
        let bar = spinner();
        let (mut after, mut done, mut failures) = (after, 0_usize, Vec::new());
        loop {
            let stack = self.describe(id).await?.ok_or_else(|| StackError::Vanished(id.to_owned()))?;
            // After the state, so that an end has all of its events.
            for event in self.events_after(id, after.as_deref()).await? {
                after = event.event_id().map(str::to_owned).or(after);
                let Resource { logical, kind, .. } = resource_of(&event);
                let status = event.resource_status().map(ResourceStatus::as_str).unwrap_or_default();
                if kind != STACK {
                    done += usize::from(status.ends_with("_COMPLETE"));
                    bar.set_message(format!("{verb}: {done} resources done, {logical} {status}"));
                }
                if status.ends_with("_FAILED") {
                    let reason = event.resource_status_reason().unwrap_or("no reason given");
                    failures.push(format!("{logical}: {reason}"));
                }
            }
            let status = stack.stack_status().cloned();
            if let Some(status) = status.filter(|status| situation(Some(status)) != Situation::Busy) {
                bar.finish_and_clear();
                return Ok(Ended { status, failures });
            }
            sleep(INTERVAL).await;
        }
    }

    /// The events that came after one of them, oldest first.
    async fn events_after(&self, stack: &str, after: Option<&str>) -> Result<Vec<StackEvent>, StackError> {
        let mut events = Vec::new();
        let mut pages = self.client.describe_stack_events().stack_name(stack).into_paginator().send();
        'pages: while let Some(page) = pages.next().await {
            for event in page.map_err(failed(stack, "DescribeStackEvents"))?.stack_events.unwrap_or_default() {
                if after.is_some() && event.event_id() == after {
                    break 'pages;
                }
                events.push(event);
            }
        }
        events.reverse();
        Ok(events)
    }
}

/// The outputs of a stack.
pub(crate) fn outputs(stack: &Stack) -> BTreeMap<String, String> {
    let pairs = stack.outputs().iter();
    pairs.filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))).collect()
}

/// The parameters of a stack, defaults included.
pub(crate) fn parameters(stack: &Stack) -> BTreeMap<String, String> {
    let pairs = stack.parameters().iter();
    pairs.filter_map(|given| Some((given.parameter_key()?.to_owned(), given.parameter_value()?.to_owned()))).collect()
}

/// Shown on a terminal only.
pub(crate) fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is ours and valid; the default one shows the same.
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A name as `CloudFormation` has them.
pub(crate) fn parse_name(name: &str) -> Result<String, String> {
    let mut characters = name.chars();
    let is_name = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '-')
        && name.len() <= 128;
    if is_name { Ok(name.to_owned()) } else { Err("a stack's name has letters, digits and hyphens".into()) }
}

/// A name, or the ARN of a stack.
pub(crate) fn parse_name_or_arn(name: &str) -> Result<String, String> {
    let is_arn = name.starts_with("arn:") && name.contains(":stack/");
    if is_arn { Ok(name.to_owned()) } else { parse_name(name) }
}

fn resource_of(event: &StackEvent) -> Resource {
    Resource {
        logical: event.logical_resource_id().unwrap_or_default().to_owned(),
        kind: event.resource_type().unwrap_or_default().to_owned(),
        physical: event.physical_resource_id().unwrap_or_default().to_owned(),
    }
}

pub(crate) fn failed<E: Error + Send + Sync + 'static>(
    stack: &str,
    call: &'static str,
) -> impl FnOnce(E) -> StackError {
    let stack = stack.to_owned();
    move |source| StackError::Call { stack, call, source: source.into() }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::Parameter;

    use super::*;

    #[test]
    fn only_stacks_of_our_templates_are_ours() {
        let stack = |parameter: &str, status: StackStatus| {
            let parameter = Parameter::builder().parameter_key(parameter).parameter_value("x").build();
            Stack::builder().stack_name("orders").stack_status(status).parameters(parameter).build()
        };
        for (parameter, status, ours) in [
            ("ScannerCodeKey", StackStatus::CreateComplete, true),
            ("ProbeCodeKey", StackStatus::RollbackComplete, true),
            ("OrdersCodeKey", StackStatus::CreateComplete, false),
            ("OrdersCodeKey", StackStatus::ReviewInProgress, true),
        ] {
            assert_eq!(check_is_ours(&stack(parameter, status)).is_ok(), ours, "{parameter}");
        }
    }

    #[test]
    fn every_state_has_its_meaning() {
        for (status, expected) in [
            ("REVIEW_IN_PROGRESS", Situation::Absent),
            ("DELETE_COMPLETE", Situation::Absent),
            ("CREATE_COMPLETE", Situation::Ready),
            ("UPDATE_ROLLBACK_COMPLETE", Situation::Ready),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Situation::Busy),
            ("CREATE_IN_PROGRESS", Situation::Busy),
            ("DELETE_IN_PROGRESS", Situation::Busy),
            ("ROLLBACK_COMPLETE", Situation::Dead),
            ("ROLLBACK_FAILED", Situation::Dead),
            ("UPDATE_ROLLBACK_FAILED", Situation::Stuck),
            ("DELETE_FAILED", Situation::Stuck),
            ("SOME_DAY_NEW", Situation::Stuck),
        ] {
            assert_eq!(situation(Some(&StackStatus::from(status))), expected, "{status}");
        }
        assert_eq!(situation(None), Situation::Absent);
    }

    #[test]
    fn names_are_cloudformations() {
        assert!(parse_name("nacre-2").is_ok() && parse_name_or_arn("nacre-2").is_ok());
        let arn = "arn:aws:cloudformation:eu-west-1:1:stack/nacre/1";
        assert!(parse_name_or_arn(arn).is_ok() && parse_name(arn).is_err());
        for bad in ["", "2nacre", "na_cre", "nacre/x", "-", "arn:aws:s3:::bucket"] {
            assert!(parse_name_or_arn(bad).is_err(), "{bad}");
        }
    }
}
