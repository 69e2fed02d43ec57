//! One change set: made, read, executed or thrown away.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_cloudformation::{
    error::DisplayErrorContext,
    types::{Capability, ChangeSetStatus, ChangeSetType, Parameter, Stack, StackStatus},
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    plan::{Change, Choice},
    template::Template,
};
use crate::stack::{StackError, Stacks, failed};

/// How often a change set that is being made is read; that takes some seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the reason of a change set without changes says: the second where the template has a transform, as ours has.
const NO_CHANGES: [&str; 2] = ["didn't contain changes", "No updates are to be performed"];

/// Why there is no change set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeSetError {
    #[error("CloudFormation refuses the template or its parameters: {0}")]
    Refused(String),
    #[error("the parameters of a template that is not named cannot be read")]
    Unnamed,
    #[error(transparent)]
    Stack(#[from] StackError),
}

/// A change set that can be executed.
#[derive(Clone, Debug)]
pub(crate) struct ChangeSet {
    pub(crate) id: String,
    /// The stack's ARN.
    pub(crate) stack: String,
    pub(crate) changes: Vec<Change>,
}

/// What the parameters of a template are, and their defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct TemplateParameters {
    pub(crate) names: BTreeSet<String>,
    pub(crate) defaults: BTreeMap<String, String>,
}

impl Stacks {
    /// The parameters of a template.
    pub(crate) async fn parameters_of(&self, template: &Template) -> Result<TemplateParameters, ChangeSetError> {
        let request = self.client.get_template_summary();
        let request = match template {
            Template::Text(text) => request.template_body(text),
            Template::Address(url) => request.template_url(url),
            Template::Previous => return Err(ChangeSetError::Unnamed),
        };
        let summary = request.send().await.map_err(refused)?;
        let mut parameters = TemplateParameters::default();
        for declared in summary.parameters() {
            let Some(name) = declared.parameter_key() else { continue };
            parameters.names.insert(name.to_owned());
            if let Some(default) = declared.default_value() {
                parameters.defaults.insert(name.to_owned(), default.to_owned());
            }
        }
        Ok(parameters)
    }

    /// Makes a change set and waits for it; `None` when there is nothing to change.
    pub(crate) async fn change_set(
        &self,
        stack: &str,
        template: &Template,
        parameters: &BTreeMap<String, Choice>,
        creates: bool,
    ) -> Result<Option<ChangeSet>, ChangeSetError> {
        let parameters = parameters.iter().map(|(name, choice)| {
            let parameter = Parameter::builder().parameter_key(name);
            match choice {
                Choice::Value(value) => parameter.parameter_value(value),
                Choice::Previous => parameter.use_previous_value(true),
            }
            .build()
        });
        let kind = if creates { ChangeSetType::Create } else { ChangeSetType::Update };
        let request = self.client.create_change_set().stack_name(stack).change_set_type(kind);
        let request = request.change_set_name(format!("nacre-{}", Uuid::new_v4()));
        let request = request.capabilities(Capability::CapabilityIam).capabilities(Capability::CapabilityAutoExpand);
        let request = match template {
            Template::Text(text) => request.template_body(text),
            Template::Address(url) => request.template_url(url),
            Template::Previous => request.use_previous_template(true),
        };
        let made = request.set_parameters(Some(parameters.collect())).send().await.map_err(refused)?;
        let (id, stack) = (made.id().unwrap_or_default().to_owned(), made.stack_id().unwrap_or(stack).to_owned());
        self.await_change_set(id, stack, creates).await
    }

    async fn await_change_set(
        &self,
        id: String,
        stack: String,
        creates: bool,
    ) -> Result<Option<ChangeSet>, ChangeSetError> {
        loop {
            let mut changes = Vec::new();
            let mut pages = self.client.describe_change_set().change_set_name(&id).into_paginator().send();
            let (mut status, mut reason) = (None, String::new());
            while let Some(page) = pages.next().await {
                let page = page.map_err(failed(&stack, "DescribeChangeSet"))?;
                changes.extend(page.changes().iter().filter_map(|change| change.resource_change()).map(Change::of));
                reason = page.status_reason().map(str::to_owned).unwrap_or_default();
                status = page.status().cloned();
            }
            match status {
                Some(ChangeSetStatus::CreateComplete) => return Ok(Some(ChangeSet { id, stack, changes })),
                Some(ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress) => sleep(INTERVAL).await,
                _ => {
                    self.discard(&id, &stack, creates).await?;
                    if NO_CHANGES.iter().any(|words| reason.contains(words)) {
                        return Ok(None);
                    }
                    return Err(ChangeSetError::Refused(reason));
                }
            }
        }
    }

    /// Executes a change set.
    pub(crate) async fn execute(&self, change_set: &ChangeSet) -> Result<(), StackError> {
        let request = self.client.execute_change_set().change_set_name(&change_set.id);
        request.send().await.map(|_| ()).map_err(failed(&change_set.stack, "ExecuteChangeSet"))
    }

    /// Throws a change set away, and the stack of nothing that it was made for.
    pub(crate) async fn discard(&self, id: &str, stack: &str, creates: bool) -> Result<(), StackError> {
        let request = self.client.delete_change_set().change_set_name(id);
        request.send().await.map_err(failed(stack, "DeleteChangeSet"))?;
        // Another run may have made the stack meanwhile: only one that has never been anything is deleted.
        let found = if creates { self.describe(stack).await? } else { None };
        if found.as_ref().and_then(Stack::stack_status) == Some(&StackStatus::ReviewInProgress) {
            let request = self.client.delete_stack().stack_name(stack);
            request.send().await.map_err(failed(stack, "DeleteStack"))?;
        }
        Ok(())
    }
}

/// With the service's own words, which name the parameter or the line.
fn refused<E: std::error::Error>(error: E) -> ChangeSetError {
    ChangeSetError::Refused(DisplayErrorContext(error).to_string())
}
