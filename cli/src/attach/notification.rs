//! A bucket's notifications, with ours and without. Those of others are never changed. Pure.

use aws_sdk_s3::{
    error::BuildError,
    types::{
        Event, EventBridgeConfiguration, FilterRule, FilterRuleName, NotificationConfiguration,
        NotificationConfigurationFilter, S3KeyFilter, TopicConfiguration,
    },
};
use nacre_core::key_filter::KeyPattern;

/// The events that the scanner must get.
pub(super) const EVENTS: [&str; 4] =
    ["s3:ObjectCreated:*", "s3:ObjectRestore:Completed", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:Delete"];

/// Where one configuration sends which events of which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: String,
    pub(crate) events: Vec<String>,
    pub(crate) keys: KeyPattern,
}

/// All of a bucket's configurations but that of EventBridge.
pub(crate) fn sent(notification: &NotificationConfiguration) -> Vec<Sent> {
    let one = |to: &str, events: &[Event], filter: Option<&NotificationConfigurationFilter>| Sent {
        to: to.to_owned(),
        events: events.iter().map(|event| event.as_str().to_owned()).collect(),
        keys: keys(filter),
    };
    let topics = notification.topic_configurations().iter();
    let topics = topics.map(|it| one(it.topic_arn(), it.events(), it.filter()));
    let queues = notification.queue_configurations().iter();
    let queues = queues.map(|it| one(it.queue_arn(), it.events(), it.filter()));
    let functions = notification.lambda_function_configurations().iter();
    let functions = functions.map(|it| one(it.lambda_function_arn(), it.events(), it.filter()));
    topics.chain(queues).chain(functions).collect()
}

fn keys(filter: Option<&NotificationConfigurationFilter>) -> KeyPattern {
    let rules = filter.and_then(|filter| filter.key()).map(S3KeyFilter::filter_rules).unwrap_or_default();
    let value = |name: &str| {
        let rule = rules.iter().find(|rule| rule.name().is_some_and(|it| it.as_str().eq_ignore_ascii_case(name)));
        rule.and_then(|rule| rule.value()).unwrap_or_default().to_owned()
    };
    KeyPattern { prefix: value("prefix"), suffix: value("suffix") }
}

/// Whether a character stands for itself in a filter of S3, which takes others only in an encoding.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/!-_.*'()".contains(c)
}

/// Whether S3's filters take a pattern as it is.
pub(crate) fn is_expressible(keys: &KeyPattern) -> bool {
    keys.prefix.chars().chain(keys.suffix.chars()).all(is_plain)
}

/// The keys of somebody else's filter, or more: what is encoded in it is taken for anything.
fn at_least(keys: &KeyPattern) -> KeyPattern {
    let prefix = keys.prefix.chars().take_while(|c| is_plain(*c)).collect();
    let suffix: Vec<char> = keys.suffix.chars().rev().take_while(|c| is_plain(*c)).collect();
    KeyPattern { prefix, suffix: suffix.into_iter().rev().collect() }
}

/// Whether there is an event that both mean: `s3:ObjectCreated:*` has `s3:ObjectCreated:Put` in it.
fn share_an_event(one: &str, other: &str) -> bool {
    let family = |event: &str| event.strip_suffix('*').map(str::to_owned);
    match (family(one), family(other)) {
        (Some(one), Some(other)) => one.starts_with(&other) || other.starts_with(&one),
        (Some(family), None) => other.starts_with(&family),
        (None, Some(family)) => one.starts_with(&family),
        (None, None) => one == other,
    }
}

/// Whether S3 would refuse ours for these keys beside a configuration.
pub(crate) fn overlaps(sent: &Sent, keys: &KeyPattern) -> bool {
    let shared = sent.events.iter().any(|theirs| EVENTS.iter().any(|ours| share_an_event(theirs, ours)));
    shared && at_least(&sent.keys).overlaps(keys)
}

/// The notifications with exactly these of ours, to this topic, and EventBridge on or off. What of ours is right stays where it is.
///
/// # Errors
/// The SDK's, which has none for what is given here.
pub(crate) fn with(
    found: &NotificationConfiguration,
    topic: &str,
    wanted: &[KeyPattern],
    event_bridge: bool,
) -> Result<NotificationConfiguration, BuildError> {
    let has_all = |it: &TopicConfiguration| {
        it.events().len() == EVENTS.len() && it.events().iter().all(|event| EVENTS.contains(&event.as_str()))
    };
    let mut missing = wanted.to_vec();
    let mut topics = Vec::new();
    for configured in found.topic_configurations() {
        let place = missing.iter().position(|keys| *keys == self::keys(configured.filter()));
        match place {
            _ if configured.topic_arn() != topic => topics.push(configured.clone()),
            Some(place) if has_all(configured) => {
                missing.remove(place);
                topics.push(configured.clone());
            }
            _ => {}
        }
    }
    for keys in &missing {
        let events = EVENTS.map(Event::from).to_vec();
        topics.push(
            TopicConfiguration::builder().topic_arn(topic).set_events(Some(events)).set_filter(filter(keys)).build()?,
        );
    }
    let mut changed = found.clone();
    changed.topic_configurations = (!topics.is_empty()).then_some(topics);
    changed.event_bridge_configuration = match found.event_bridge_configuration() {
        _ if !event_bridge => None,
        Some(has) => Some(has.clone()),
        None => Some(EventBridgeConfiguration::builder().build()),
    };
    Ok(changed)
}

fn filter(keys: &KeyPattern) -> Option<NotificationConfigurationFilter> {
    let parts = [(FilterRuleName::Prefix, &keys.prefix), (FilterRuleName::Suffix, &keys.suffix)];
    let rules = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let rules: Vec<_> = rules.map(|(name, value)| FilterRule::builder().name(name).value(value).build()).collect();
    let key = (!rules.is_empty()).then(|| S3KeyFilter::builder().set_filter_rules(Some(rules)).build())?;
    Some(NotificationConfigurationFilter::builder().key(key).build())
}
