//! A plan for people, and as JSON. Pure but for the printing.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    notification::sent,
    plan::{Deployed, Found, Plan, PolicyChange},
};
use crate::output::{print, print_json};

/// What is shown of a plan.
#[derive(Clone, Debug, Serialize)]
pub(in crate::attach) struct Screen {
    bucket: String,
    /// How events come.
    events: Option<&'static str>,
    reason: Option<String>,
    /// The keys that are scanned.
    keys: Vec<String>,
    /// Parameters of the stack: before and after.
    parameters: Map<String, Value>,
    notification_changes: bool,
    /// Configurations of others, which stay.
    foreign_notifications: usize,
    event_bridge_switched: Option<bool>,
    policy: &'static str,
    read_access: Option<&'static str>,
    /// Whether the self-test is made in the bucket.
    self_test: Option<bool>,
    /// Whether it was done.
    done: bool,
}

impl Screen {
    pub(in crate::attach) fn of(plan: &Plan, deployed: &Deployed, found: &Found, done: bool) -> Self {
        let before = |name: &String| deployed.parameters.get(name).cloned().unwrap_or_default();
        let parameters = plan.parameters.iter();
        let parameters =
            parameters.map(|(name, after)| (name.clone(), json!({ "before": before(name), "after": after })));
        let bridge = |it: &aws_sdk_s3::types::NotificationConfiguration| it.event_bridge_configuration().is_some();
        let was = bridge(&found.notification);
        let becomes = plan.notification.as_ref().map(bridge);
        Self {
            bucket: plan.bucket.clone(),
            events: plan.events.map(super::EventsBy::name),
            reason: plan.reason.clone(),
            keys: plan.keys.iter().map(ToString::to_string).collect(),
            parameters: parameters.collect(),
            notification_changes: plan.notification.is_some(),
            foreign_notifications: sent(plan.notification.as_ref().unwrap_or(&found.notification))
                .iter()
                .filter(|it| it.to != deployed.trigger)
                .count(),
            event_bridge_switched: becomes.filter(|becomes| *becomes != was),
            policy: match plan.policy {
                PolicyChange::Unchanged => "unchanged",
                PolicyChange::Put(_) => "changed",
                PolicyChange::Delete => "deleted",
            },
            read_access: plan.read_access.map(super::ReadAccess::name),
            self_test: plan.self_test,
            done,
        }
    }

    pub(in crate::attach) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("bucket        {}", self.bucket)];
        match (self.events, &self.reason) {
            (Some(events), Some(reason)) => lines.push(format!("events        by {events}: {reason}")),
            (Some(events), None) => lines.push(format!("events        by {events}")),
            (None, _) => lines.push("events        come no longer".into()),
        }
        let keys = self.keys.iter().map(|keys| if keys == "*" { "all" } else { keys });
        lines.extend(keys.map(|keys| format!("keys          {keys}")));
        let mut change = |what: &str| lines.push(format!("notification  {what}"));
        match (self.notification_changes, self.event_bridge_switched) {
            (false, _) => change("is right already"),
            (true, Some(true)) => change("EventBridge is switched on"),
            (true, Some(false)) => change("EventBridge is switched off, as it was before"),
            (true, None) => change("changes"),
        }
        if self.foreign_notifications > 0 {
            lines.push(format!("notification  {} of others stay as they are", self.foreign_notifications));
        }
        lines.push(match (self.policy, self.read_access) {
            ("unchanged", _) => "policy        is right already".into(),
            ("deleted", _) => "policy        is deleted: it has nothing but our statements".into(),
            (_, Some(access)) => {
                format!("policy        gets our three statements, with {access}; all others stay as they are")
            }
            (_, None) => "policy        loses our statements; all others stay as they are".into(),
        });
        lines.extend(self.self_test.map(|tested| {
            let what =
                if tested { "each hour, under nacre-self-test/scheduled/" } else { "none is made in this bucket" };
            format!("self-test     {what}")
        }));
        if self.parameters.is_empty() {
            lines.push("stack         is right already".into());
        }
        for (name, values) in &self.parameters {
            let value = |which: &str| {
                values.get(which).and_then(Value::as_str).filter(|it| !it.is_empty()).unwrap_or("nothing")
            };
            lines.push(format!("stack         {name}: {} becomes {}", value("before"), value("after")));
        }
        lines
    }

    /// Says whether it was done, and what to do next.
    pub(super) fn conclude(&self, json: bool, next: &[String]) -> io::Result<()> {
        if json {
            let mut value = serde_json::to_value(self)?;
            if let Value::Object(value) = &mut value {
                value.insert("next".into(), json!(next));
            }
            return print_json(&value);
        }
        let changes = self.notification_changes || self.policy != "unchanged" || !self.parameters.is_empty();
        print(match (self.done, changes) {
            (true, _) => "done",
            (false, true) => "nothing was changed",
            (false, false) => "there is nothing to change",
        })?;
        next.iter().filter(|_| self.done).try_for_each(|step| print(&format!("next: {step}")))
    }
}

/// Prints what would change.
pub(super) fn show(screen: &Screen) -> io::Result<()> {
    screen.lines().iter().try_for_each(|line| print(line))
}
