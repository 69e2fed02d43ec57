//! The parameters of a stack that name its attached buckets. Pure.

use std::collections::BTreeMap;

use nacre_core::{key_filter::KeyPattern, self_test::PREFIX};

use super::{ATTACHED, BY_EVENT_BRIDGE, Deployed, EventsBy, KEYS, PlanError, SCAN_ONLY, SWITCHED_ON, TESTED};

/// Most bytes of all ARNs of attached buckets together: 20 of the longest names. The scanner's role names each of them three times, of
/// the 10,240 characters that a role's policies may have ("IAM and AWS STS quotas").
pub(super) const MAX_ARNS: usize = 1700;

/// Most bytes of a parameter ("AWS CloudFormation quotas"); a function's variables have as much together.
pub(super) const MAX_FILTER: usize = 2048;

impl Deployed {
    /// The parameters that change when a bucket's events come so, or not at all.
    pub(super) fn parameters(
        &self,
        bucket: &str,
        events: Option<EventsBy>,
        keys: &[KeyPattern],
        switched_on: bool,
    ) -> Result<BTreeMap<String, String>, PlanError> {
        let arn = self.arn(bucket);
        let set = |parameter: &'static str, present: bool| {
            let mut list = self.list(parameter);
            list.retain(|one| *one != arn || present);
            if present && !list.contains(&arn) {
                list.push(arn.clone());
            }
            (parameter, list.join(","))
        };
        let by_event_bridge = events == Some(EventsBy::EventBridge);
        let was_by_event_bridge = self.list(BY_EVENT_BRIDGE).contains(&arn);
        let mut filter = self.filter()?;
        if by_event_bridge || was_by_event_bridge {
            filter.patterns.retain(|(of, _)| of != bucket);
        }
        if by_event_bridge && !keys.iter().any(KeyPattern::is_any) {
            filter.patterns.extend(keys.iter().map(|keys| (bucket.to_owned(), keys.clone())));
        }
        let wanted = [
            set(ATTACHED, events.is_some() && bucket != self.own),
            set(BY_EVENT_BRIDGE, by_event_bridge),
            set(SWITCHED_ON, by_event_bridge && switched_on),
            set(TESTED, self.is_tested(bucket) && events.is_some() && seen_in_test(keys)),
            (SCAN_ONLY, filter.to_string()),
        ];
        if wanted.iter().any(|(parameter, value)| *parameter == ATTACHED && value.len() > MAX_ARNS) {
            return Err(PlanError::TooMany);
        }
        if wanted.iter().any(|(parameter, value)| *parameter == SCAN_ONLY && value.len() > MAX_FILTER) {
            return Err(PlanError::TooManyPatterns);
        }
        Ok(self.changed(wanted))
    }

    /// Of these values those that are not the stack's.
    pub(super) fn changed(&self, wanted: impl IntoIterator<Item = (&'static str, String)>) -> BTreeMap<String, String> {
        let differs = |(name, value): &(&'static str, String)| self.parameters.get(*name) != Some(value);
        wanted.into_iter().filter(differs).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether the self-test is made in an attached bucket.
    pub(super) fn is_tested(&self, bucket: &str) -> bool {
        self.list(TESTED).contains(&self.arn(bucket))
    }

    /// The parameter of tested buckets with this one, or without it.
    pub(super) fn with_test(&self, bucket: &str, tested: bool) -> BTreeMap<String, String> {
        let arn = self.arn(bucket);
        let mut list = self.list(TESTED);
        list.retain(|one| *one != arn);
        if tested {
            list.push(arn);
        }
        if tested == self.is_tested(bucket) { BTreeMap::new() } else { self.changed([(TESTED, list.join(","))]) }
    }

    /// The parameter of KMS keys with one more.
    pub(super) fn with_key(&self, key: Option<&String>) -> BTreeMap<String, String> {
        let mut keys = self.list(KEYS);
        let Some(key) = key.filter(|key| !keys.contains(*key)) else { return BTreeMap::new() };
        keys.push(key.clone());
        self.changed([(KEYS, keys.join(","))])
    }
}

/// Whether the files of a self-test are among these keys.
pub(super) fn seen_in_test(keys: &[KeyPattern]) -> bool {
    keys.iter().any(|keys| keys.suffix.is_empty() && PREFIX.starts_with(&keys.prefix))
}
