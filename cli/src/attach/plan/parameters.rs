//! The parameters of a stack that name its attached buckets. Pure.

use std::collections::BTreeMap;

use nacre_core::key_filter::KeyPattern;

use super::{ATTACHED, BY_EVENT_BRIDGE, Deployed, EventsBy, KEYS, PlanError, SCAN_ONLY, SWITCHED_ON};

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

    /// The parameter of KMS keys with one more.
    pub(super) fn with_key(&self, key: Option<&String>) -> BTreeMap<String, String> {
        let mut keys = self.list(KEYS);
        let Some(key) = key.filter(|key| !keys.contains(*key)) else { return BTreeMap::new() };
        keys.push(key.clone());
        self.changed([(KEYS, keys.join(","))])
    }
}
