//! What attaching or detaching a bucket changes: in the parameters of the stack, in the bucket's notifications, in its policy. Pure.

mod parameters;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::{error::BuildError, types::NotificationConfiguration};
use clap::ValueEnum;
use nacre_core::key_filter::{KeyFilter, KeyFilterError, KeyPattern};
use parameters::{MAX_ARNS, MAX_FILTER, seen_in_test};
use serde::Serialize;
use serde_json::Value;

use super::{
    earlier,
    notification::{self, Sent, is_expressible, overlaps, sent},
    policy_text::{self, PolicyError},
    statements::{ReadAccess, is_of, read_access, statements},
};

const ATTACHED: &str = "AttachedBucketArns";
const BY_EVENT_BRIDGE: &str = "EventBridgeBucketArns";
const SWITCHED_ON: &str = "EventBridgeSwitchedOnArns";
const SCAN_ONLY: &str = "ScanOnly";
const OWNERS: &str = "BucketOwnerAccounts";
const KEYS: &str = "KmsKeyArns";
const TESTED: &str = "SelfTestBucketArns";

/// How a bucket's events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventsBy {
    /// S3 publishes them on the stack's topic.
    Sns,
    /// A rule of the stack takes them from EventBridge.
    #[value(name = "eventbridge")]
    EventBridge,
}

impl EventsBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sns => "sns",
            Self::EventBridge => "eventbridge",
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the stack has no parameter {0}: it is deployed by an older version. Run `nacre deploy` first")]
    OldTemplate(&'static str),
    #[error("the stack makes {0} itself, and gives it its events and its policy: there is nothing to attach or detach")]
    Own(String),
    #[error("{0}: leave out --events sns, and they come by EventBridge")]
    NoSns(String),
    #[error("a bucket of another account is attached by SNS: leave out --events eventbridge")]
    NoEventBridge,
    #[error(
        "the files of a self-test are not among the attached keys: attach the whole bucket, or leave out --self-test"
    )]
    NoSelfTest,
    #[error("nothing of {0} is attached")]
    NotAttached(String),
    #[error(
        "the names of all attached buckets have more than {MAX_ARNS} bytes together, which is 20 long ones: deploy another stack"
    )]
    TooMany,
    #[error(
        "the patterns of all attached buckets have more than {MAX_FILTER} bytes together: attach whole buckets, or deploy another stack"
    )]
    TooManyPatterns,
    #[error("the stack's parameter ScanOnly is not valid: it is {0}")]
    ScanOnly(#[from] KeyFilterError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the notification cannot be written")]
    Notification(#[from] BuildError),
}

/// The stack, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Deployed {
    pub(crate) partition: String,
    /// The topic of new objects.
    pub(crate) trigger: String,
    pub(crate) scanner_role: String,
    /// The bucket that the stack names as its own.
    pub(crate) own: String,
    /// Whether the stack made it.
    pub(crate) makes_own: bool,
    pub(crate) parameters: BTreeMap<String, String>,
}

/// What a bucket has.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) notification: NotificationConfiguration,
    pub(crate) policy: Option<String>,
    /// The ARN of the KMS key that it encrypts with by default, if it is a customer's.
    pub(crate) kms_key: Option<String>,
}

/// What becomes of a bucket's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyChange {
    Unchanged,
    Put(String),
    Delete,
}

/// What is done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) bucket: String,
    /// How its events come then; `None` when none do.
    pub(crate) events: Option<EventsBy>,
    /// Why not by SNS.
    pub(crate) reason: Option<String>,
    /// The keys that are scanned.
    pub(crate) keys: Vec<KeyPattern>,
    /// Parameters of the stack that change, with their new values.
    pub(crate) parameters: BTreeMap<String, String>,
    /// What the notifications become, if they change.
    pub(crate) notification: Option<NotificationConfiguration>,
    pub(crate) policy: PolicyChange,
    pub(crate) read_access: Option<ReadAccess>,
    /// Whether the self-test is made in it; `None` where attaching does not decide that.
    pub(crate) self_test: Option<bool>,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.notification.is_none() && self.policy == PolicyChange::Unchanged
    }
}

/// What to attach.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) keys: KeyPattern,
    pub(crate) events: Option<EventsBy>,
    pub(crate) read_access: Option<ReadAccess>,
    pub(crate) self_test: Option<bool>,
}

impl Deployed {
    fn list(&self, parameter: &str) -> Vec<String> {
        let value = self.parameters.get(parameter).map(String::as_str).unwrap_or_default();
        value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn arn(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition)
    }

    /// Names of all buckets that are scanned: the stack's own first.
    pub(crate) fn buckets(&self) -> Vec<String> {
        let attached = self.list(ATTACHED).into_iter().filter_map(|arn| Some(arn.rsplit_once(":::")?.1.to_owned()));
        std::iter::once(self.own.clone()).chain(attached).collect()
    }

    /// How the events of a bucket come, and of which keys.
    pub(crate) fn attached(
        &self,
        bucket: &str,
        notification: &NotificationConfiguration,
    ) -> Result<Option<(EventsBy, Vec<KeyPattern>)>, PlanError> {
        if self.list(BY_EVENT_BRIDGE).contains(&self.arn(bucket)) {
            let filter: KeyFilter = self.filter()?;
            let keys: Vec<_> = filter.of(bucket).cloned().collect();
            let keys = if keys.is_empty() { vec![KeyPattern::default()] } else { keys };
            return Ok(Some((EventsBy::EventBridge, keys)));
        }
        let ours = sent(notification).into_iter().filter(|sent| sent.to == self.trigger);
        let keys: BTreeSet<_> = ours.map(|sent| sent.keys).collect();
        Ok((!keys.is_empty()).then(|| (EventsBy::Sns, keys.into_iter().collect())))
    }

    /// Whether the stack makes self-tests.
    fn tests_itself(&self) -> bool {
        self.parameters.get("SelfTest").is_none_or(|value| value == "True")
    }

    fn filter(&self) -> Result<KeyFilter, PlanError> {
        Ok(self.parameters.get(SCAN_ONLY).map(String::as_str).unwrap_or_default().parse()?)
    }

    fn check(&self, bucket: &str) -> Result<(), PlanError> {
        for parameter in [ATTACHED, BY_EVENT_BRIDGE, SWITCHED_ON, SCAN_ONLY, OWNERS, TESTED] {
            if !self.parameters.contains_key(parameter) {
                return Err(PlanError::OldTemplate(parameter));
            }
        }
        if self.makes_own && self.own == bucket { Err(PlanError::Own(bucket.to_owned())) } else { Ok(()) }
    }
}

/// What of the patterns no other has in it.
fn without_covered(keys: Vec<KeyPattern>) -> Vec<KeyPattern> {
    let covers = |one: &KeyPattern, other: &KeyPattern| {
        one != other && other.prefix.starts_with(&one.prefix) && other.suffix.ends_with(&one.suffix)
    };
    let all: BTreeSet<_> = keys.into_iter().collect();
    all.iter().filter(|keys| !all.iter().any(|other| covers(other, keys))).cloned().collect()
}

/// Why SNS cannot bring the events of these keys.
fn obstacle(others: &[Sent], keys: &[KeyPattern]) -> Option<String> {
    let overlapping = others.iter().find(|sent| keys.iter().any(|keys| overlaps(sent, keys)));
    if let Some(Sent { to, events, .. }) = overlapping {
        let events = events.join(", ");
        return Some(format!(
            "{events} of the same keys go to {to} already, and S3 sends an event to one destination only"
        ));
    }
    if !keys.iter().all(is_expressible) {
        return Some("S3's filters take characters such as those of the prefix or suffix only in an encoding".into());
    }
    let overlap = keys.iter().enumerate().any(|(at, one)| keys.iter().skip(at + 1).any(|other| one.overlaps(other)));
    overlap.then(|| "its prefixes and suffixes overlap each other, which S3 refuses".into())
}

/// The plan by which the events of some keys of a bucket come to the stack.
///
/// # Errors
/// [`PlanError`].
pub(crate) fn attach(deployed: &Deployed, bucket: &str, found: &Found, wanted: &Wanted) -> Result<Plan, PlanError> {
    deployed.check(bucket)?;
    let found =
        &Found { notification: earlier::without_topics(&found.notification, &deployed.trigger), ..found.clone() };
    let before = deployed.attached(bucket, &found.notification)?;
    let test_at_first = before.is_none() && deployed.tests_itself();
    let mut keys = before.as_ref().map(|(_, keys)| keys.clone()).unwrap_or_default();
    keys.push(wanted.keys.clone());
    let keys = without_covered(keys);
    let others: Vec<_> = sent(&found.notification).into_iter().filter(|it| it.to != deployed.trigger).collect();
    let obstacle = obstacle(&others, &keys);
    let (events, reason) = match (wanted.events, before.map(|(events, _)| events), obstacle) {
        (Some(EventsBy::Sns), _, Some(reason)) => return Err(PlanError::NoSns(reason)),
        (Some(events), ..) => (events, None),
        (None, _, Some(reason)) => (EventsBy::EventBridge, Some(reason)),
        (None, before, None) => (before.unwrap_or(EventsBy::Sns), None),
    };
    let mut plan = placed(deployed, bucket, found, Some(events), keys)?;
    plan.reason = reason;
    if bucket != deployed.own {
        let tested = wanted.self_test.unwrap_or(test_at_first || deployed.is_tested(bucket));
        if wanted.self_test == Some(true) && !seen_in_test(&plan.keys) {
            return Err(PlanError::NoSelfTest);
        }
        let tested = tested && seen_in_test(&plan.keys);
        plan.parameters.extend(deployed.with_test(bucket, tested));
        plan.self_test = Some(tested);
    }
    plan.parameters.extend(deployed.with_key(found.kms_key.as_ref()));
    let has = found.policy.as_deref().map(policy_text::statements).transpose()?.unwrap_or_default();
    let of_stack = || ReadAccess::of_parameter(deployed.parameters.get("ReadAccess").map(String::as_str));
    let access = wanted.read_access.or_else(|| read_access(&deployed.scanner_role, &has)).unwrap_or_else(of_stack);
    let ours = statements(&deployed.arn(bucket), &deployed.scanner_role, access);
    let arn = deployed.arn(bucket);
    let is_ours = |statement: &Value| {
        is_of(&deployed.scanner_role, statement) || earlier::is_statement(&arn, &deployed.scanner_role, statement)
    };
    let policy = policy_text::with(found.policy.as_deref(), &ours, is_ours)?;
    plan.policy =
        if found.policy.as_ref() == Some(&policy) { PolicyChange::Unchanged } else { PolicyChange::Put(policy) };
    plan.read_access = Some(access);
    Ok(plan)
}

/// The plan by which the events of some keys, or of all, come no longer; with the last, our statements go.
///
/// # Errors
/// [`PlanError`].
pub(crate) fn detach(
    deployed: &Deployed,
    bucket: &str,
    found: &Found,
    keys: Option<&KeyPattern>,
) -> Result<Plan, PlanError> {
    deployed.check(bucket)?;
    let is_ours = |statement: &Value| is_of(&deployed.scanner_role, statement);
    let has = found.policy.as_deref().map(policy_text::statements).transpose()?.unwrap_or_default();
    let (events, mut left) = match deployed.attached(bucket, &found.notification)? {
        Some((events, keys)) => (Some(events), keys),
        None => (None, Vec::new()),
    };
    if keys.is_some_and(|keys| !left.contains(keys)) {
        return Err(PlanError::NotAttached(format!("these keys of {bucket}")));
    }
    let is_listed = deployed.list(ATTACHED).contains(&deployed.arn(bucket));
    if events.is_none() && !is_listed && !has.iter().any(is_ours) {
        return Err(PlanError::NotAttached(bucket.to_owned()));
    }
    left.retain(|one| keys.is_some_and(|keys| keys != one));
    let events = events.filter(|_| !left.is_empty());
    let mut plan = placed(deployed, bucket, found, events, left)?;
    let text = found.policy.as_deref().filter(|_| events.is_none());
    plan.policy = match text.map(|text| policy_text::without(text, is_ours)).transpose()? {
        Some(None) => PolicyChange::Delete,
        Some(Some(policy)) if found.policy.as_ref() != Some(&policy) => PolicyChange::Put(policy),
        _ => PolicyChange::Unchanged,
    };
    Ok(plan)
}

/// The parameters and notifications by which the events of these keys come, and no others.
fn placed(
    deployed: &Deployed,
    bucket: &str,
    found: &Found,
    events: Option<EventsBy>,
    keys: Vec<KeyPattern>,
) -> Result<Plan, PlanError> {
    let was_on = found.notification.event_bridge_configuration().is_some();
    let by_us = deployed.list(SWITCHED_ON).contains(&deployed.arn(bucket));
    let by_event_bridge = events == Some(EventsBy::EventBridge);
    let switched_on = by_us || !was_on;
    let on = by_event_bridge || (was_on && !by_us);
    let by_sns: &[KeyPattern] = if events == Some(EventsBy::Sns) { &keys } else { &[] };
    let notification = notification::with(&found.notification, &deployed.trigger, by_sns, on)?;
    Ok(Plan {
        bucket: bucket.to_owned(),
        events,
        reason: None,
        parameters: deployed.parameters(bucket, events, &keys, switched_on)?,
        keys,
        notification: (notification != found.notification).then_some(notification),
        policy: PolicyChange::Unchanged,
        read_access: None,
        self_test: None,
    })
}

/// The parameters by which a bucket of another account may send its events; what is to be done there is the owner's.
///
/// # Errors
/// [`PlanError`].
pub(crate) fn attach_of_other(
    deployed: &Deployed,
    bucket: &str,
    owner: &str,
    events: Option<EventsBy>,
) -> Result<BTreeMap<String, String>, PlanError> {
    deployed.check(bucket)?;
    if events == Some(EventsBy::EventBridge) {
        return Err(PlanError::NoEventBridge);
    }
    let mut owners = deployed.list(OWNERS);
    if !owners.iter().any(|one| one == owner) {
        owners.push(owner.to_owned());
    }
    let mut parameters = deployed.parameters(bucket, Some(EventsBy::Sns), &[KeyPattern::default()], false)?;
    parameters.extend(deployed.changed([(OWNERS, owners.join(","))]));
    Ok(parameters)
}

#[cfg(test)]
mod tests;
