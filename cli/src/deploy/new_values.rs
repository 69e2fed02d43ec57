//! New values for parameters of a stack, whose template and other parameters stay as they are.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Stack, StackStatus};

use super::{
    change_set::ChangeSetError,
    plan::{Change, Choice},
    template::Template,
};
use crate::stack::{Ended, Situation, StackError, Stacks, check_is_ours, parameters, situation};

/// Why parameters were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewValuesError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    ChangeSet(#[from] ChangeSetError),
    #[error("the stack {0} is {1}: run this again when it can be updated, see its events in the console")]
    NotReady(String, String),
    #[error("the stack would lose what it has of {0}: nothing was changed")]
    StrandsData(String),
    #[error("the stack {0} is {1}: CloudFormation took it back. Remove the cause and run this again: {2}")]
    RolledBack(String, String, String),
}

impl Stacks {
    /// Gives parameters of a stack new values, and waits for the end; the changes that it made.
    ///
    /// # Errors
    /// [`NewValuesError`]; the stack is as before, but for a rollback that failed.
    pub(crate) async fn give(
        &self,
        name: &str,
        values: &BTreeMap<String, String>,
    ) -> Result<Vec<Change>, NewValuesError> {
        let stack = self.describe(name).await?.ok_or_else(|| StackError::Vanished(name.to_owned()))?;
        check_is_ours(&stack)?;
        let status = stack.stack_status();
        if situation(status) != Situation::Ready {
            let status = status.map(StackStatus::to_string).unwrap_or_default();
            return Err(NewValuesError::NotReady(name.to_owned(), status));
        }
        let id = stack.stack_id().unwrap_or(name).to_owned();
        let kept = parameters(&stack).into_keys().map(|name| (name, Choice::Previous));
        let given = values.iter().map(|(name, value)| (name.clone(), Choice::Value(value.clone())));
        let choices: BTreeMap<_, _> = kept.chain(given).collect();
        let Some(change_set) = self.change_set(&id, &Template::Previous, &choices, false).await? else {
            return Ok(Vec::new());
        };
        let strands: Vec<_> = change_set
            .changes
            .iter()
            .filter(|change| change.strands_data())
            .map(|change| change.resource.clone())
            .collect();
        if !strands.is_empty() {
            self.discard(&change_set.id, &change_set.stack, false).await?;
            return Err(NewValuesError::StrandsData(strands.join(", ")));
        }
        let after = self.newest_event(&change_set.stack).await?;
        self.execute(&change_set).await?;
        let Ended { status, failures } = self.follow(&change_set.stack, "updating", after).await?;
        if status == StackStatus::UpdateComplete {
            return Ok(change_set.changes);
        }
        let name = Stack::stack_name(&stack).unwrap_or(name).to_owned();
        Err(NewValuesError::RolledBack(name, status.to_string(), failures.join("; ")))
    }
}
