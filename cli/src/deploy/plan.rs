//! What a deployment gives the template, and what it must not do unasked. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types::{ChangeAction, Replacement, ResourceChange};
use serde::Serialize;

use super::packages::Package;

/// Lambda's bound of an unpacked package ("Lambda quotas": 250 MB, counted as 2^20).
const MAX_UNPACKED: u64 = 250 << 20;

/// Parameters of the template that say how many functions run at a time, with how often each is used.
const CONCURRENCY: [(&str, u64); 3] = [("ScanConcurrency", 1), ("RescanConcurrency", 2), ("PassConcurrency", 1)];

/// Types of resources that hold what cannot be made again.
const DATA: [&str; 2] = ["AWS::S3::Bucket", "AWS::DynamoDB::Table"];

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the template has no parameter {0}: its parameters are {1}")]
    Unknown(String, String),
    #[error("{0} is set by `nacre deploy` itself: leave it out")]
    Ours(String),
}

/// Where a parameter's value comes from. What is not listed has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Value(String),
    /// What the stack has.
    Previous,
}

/// The parameters of a deployment: what is given now, else what the stack has, else the default.
pub(crate) fn parameters(
    template: &BTreeSet<String>,
    stack: &BTreeMap<String, String>,
    ours: BTreeMap<String, String>,
    given: &[(String, String)],
) -> Result<BTreeMap<String, Choice>, PlanError> {
    for (name, _) in given {
        if ours.contains_key(name) {
            return Err(PlanError::Ours(name.clone()));
        }
        if !template.contains(name) {
            let known = template.iter().filter(|name| !ours.contains_key(*name));
            return Err(PlanError::Unknown(name.clone(), known.cloned().collect::<Vec<_>>().join(", ")));
        }
    }
    // A parameter that the template does not have any more is no longer the stack's.
    let kept = stack.keys().filter(|name| template.contains(*name)).map(|name| (name.clone(), Choice::Previous));
    let ours = ours.into_iter().filter(|(name, _)| template.contains(name));
    let given = given.iter().cloned();
    Ok(kept.chain(ours.chain(given).map(|(name, value)| (name, Choice::Value(value)))).collect())
}

/// What the account allows Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LambdaLimits {
    /// Executions at a time that no function has reserved.
    pub(crate) concurrency: u64,
}

/// The most executions at a time that a stack with these parameters may want.
pub(crate) fn wanted_concurrency(values: &BTreeMap<String, String>) -> u64 {
    let number = |name: &str| values.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
    CONCURRENCY.iter().map(|(name, times)| number(name).saturating_mul(*times)).sum()
}

/// What should be known before, and does not stop the deployment.
pub(crate) fn warnings(packages: &[Package], limits: LambdaLimits, values: &BTreeMap<String, String>) -> Vec<String> {
    let large = packages.iter().filter(|package| package.unpacked > MAX_UNPACKED).map(|package| {
        let megabytes = package.unpacked >> 20;
        format!("{}: the package has {megabytes} MB unpacked, and AWS Lambda refuses more than 250", package.parameter)
    });
    let wanted = wanted_concurrency(values);
    let few = (wanted > limits.concurrency).then(|| {
        format!(
            "the account runs {} Lambda functions at a time, and the stack may want {wanted}: request a higher quota \
             (`aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 \
             --desired-value 1000`), or lower ScanConcurrency, RescanConcurrency and PassConcurrency",
            limits.concurrency
        )
    });
    large.chain(few).collect()
}

/// One change of a change set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) action: String,
    pub(crate) resource: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) replaced: bool,
    /// `CloudFormation` decides while it changes it.
    pub(crate) may_be_replaced: bool,
}

impl Change {
    pub(crate) fn of(change: &ResourceChange) -> Self {
        Self {
            action: change.action().map_or("?", ChangeAction::as_str).to_owned(),
            resource: change.logical_resource_id().unwrap_or("?").to_owned(),
            kind: change.resource_type().unwrap_or("?").to_owned(),
            replaced: change.replacement() == Some(&Replacement::True),
            may_be_replaced: match change.replacement() {
                None | Some(Replacement::True | Replacement::False) => false,
                // Also what a later version of the service may answer.
                Some(_) => true,
            },
        }
    }

    /// Whether data would be left behind, or may be, in a bucket or table that the stack does not use any more.
    pub(crate) fn strands_data(&self) -> bool {
        let leaves = self.replaced || self.may_be_replaced || self.action == "Remove";
        DATA.contains(&self.kind.as_str()) && leaves
    }

    pub(crate) fn in_words(&self) -> String {
        let replaced = match (self.replaced, self.may_be_replaced) {
            (true, _) => ", replaced",
            (false, true) => ", may be replaced",
            (false, false) => "",
        };
        format!("{:8} {} ({}{replaced})", self.action, self.resource, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        map(pairs).into_iter().collect()
    }

    #[test]
    fn what_is_given_wins_over_what_the_stack_has_and_that_over_the_default() {
        let template = ["A", "B", "Code", "New"].map(str::to_owned).into();
        let stack = map(&[("A", "1"), ("B", "2"), ("Code", "old"), ("Gone", "3")]);
        let planned = parameters(&template, &stack, map(&[("Code", "new")]), &pairs(&[("B", "4")])).unwrap();
        let value = |value: &str| Choice::Value(value.to_owned());
        let expected = [("A", Choice::Previous), ("B", value("4")), ("Code", value("new"))];
        assert_eq!(planned, expected.map(|(name, choice)| (name.to_owned(), choice)).into());
    }

    #[test]
    fn a_mistyped_parameter_is_named_with_those_that_there_are() {
        let template = ["AlarmTopic", "CodeBucket"].map(str::to_owned).into();
        let ours = map(&[("CodeBucket", "x")]);
        let plan = |name| parameters(&template, &BTreeMap::new(), ours.clone(), &pairs(&[(name, "x")]));
        assert_eq!(plan("AlarmTopik"), Err(PlanError::Unknown("AlarmTopik".into(), "AlarmTopic".into())));
        assert_eq!(plan("CodeBucket"), Err(PlanError::Ours("CodeBucket".into())));
    }

    #[test]
    fn an_account_that_allows_too_little_is_warned_of() {
        let values = map(&[("ScanConcurrency", "50"), ("RescanConcurrency", "10"), ("PassConcurrency", "10")]);
        assert_eq!(warnings(&[], LambdaLimits { concurrency: 80 }, &values), Vec::<String>::new());
        let warned = warnings(&[], LambdaLimits { concurrency: 10 }, &values);
        assert!(warned.len() == 1 && warned[0].contains("10 Lambda functions") && warned[0].contains("want 80"));
    }

    #[test]
    fn only_buckets_and_tables_that_go_strand_data() {
        let change = |action: &str, kind: &str, replaced| Change {
            action: action.into(),
            resource: "X".into(),
            kind: kind.into(),
            replaced,
            may_be_replaced: false,
        };
        assert!(change("Remove", "AWS::S3::Bucket", false).strands_data());
        assert!(change("Modify", "AWS::DynamoDB::Table", true).strands_data());
        for (replacement, strands) in
            [(Replacement::Conditional, true), ("SomeDayNew".into(), true), (Replacement::False, false)]
        {
            let modified = ResourceChange::builder().resource_type("AWS::DynamoDB::Table").action(ChangeAction::Modify);
            let change = Change::of(&modified.replacement(replacement).build());
            assert_eq!(change.strands_data(), strands, "{}", change.in_words());
            assert_eq!(change.in_words().contains("may be replaced"), strands);
        }
        for harmless in [
            change("Modify", "AWS::S3::Bucket", false),
            change("Add", "AWS::S3::Bucket", false),
            change("Remove", "AWS::SQS::Queue", false),
            change("Modify", "AWS::Lambda::Function", true),
        ] {
            assert!(!harmless.strands_data(), "{}", harmless.in_words());
        }
    }
}
