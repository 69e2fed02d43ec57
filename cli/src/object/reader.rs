//! What a reader of an object gets, by the bucket's policy and the object's tags.

use std::error::Error;

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, error::ProvideErrorMetadata};
use nacre_core::tag_policy::Tag;
use serde::Serialize;
use serde_json::Value;

/// The statement that refuses readers, by its name in every policy of ours.
const STATEMENT: &str = "DenyReading";

/// Of a reader whom other policies let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reader {
    /// The object may be read.
    Allowed,
    /// The bucket's policy refuses it.
    Refused,
    /// The bucket's policy has no statement of ours: whatever the verdict, it may be read.
    Unprotected,
    /// It has one that was changed.
    Changed,
}

/// The policy cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the policy of the bucket {bucket} cannot be read")]
pub(super) struct PolicyError {
    bucket: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

/// The policy of a bucket; `None` when it has none.
pub(super) async fn policy(sdk: &SdkConfig, bucket: &str) -> Result<Option<String>, PolicyError> {
    match Client::new(sdk).get_bucket_policy().bucket(bucket).send().await {
        Ok(found) => Ok(found.policy),
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => Ok(None),
        Err(error) => Err(PolicyError { bucket: bucket.to_owned(), source: error.into() }),
    }
}

impl Reader {
    /// Pure.
    pub(super) fn of(policy: Option<&str>, tags: &[Tag]) -> Self {
        let policy: Value = policy.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let statements = policy.get("Statement").and_then(Value::as_array);
        let ours = |statement: &&Value| statement.get("Sid").and_then(Value::as_str) == Some(STATEMENT);
        let Some(statement) = statements.and_then(|all| all.iter().find(ours)) else { return Self::Unprotected };
        let condition = |operator: &str| {
            let operands = statement.get("Condition")?.get(operator)?.as_object()?;
            operands.iter().find_map(|(key, value)| Some((key.strip_prefix("s3:ExistingObjectTag/")?, value)))
        };
        let has = |key: &str, value: &Value| tags.iter().any(|tag| tag.key == key && is_one_of(value, &tag.value));
        let refused = match (condition("StringEquals"), condition("StringNotEquals")) {
            (Some((key, value)), None) => has(key, value),
            (None, Some((key, value))) => !has(key, value),
            _ => return Self::Changed,
        };
        if refused { Self::Refused } else { Self::Allowed }
    }

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Allowed => "is let through by the bucket's policy",
            Self::Refused => "is refused by the bucket's policy",
            Self::Unprotected => {
                "is let through, whatever the verdict: the bucket's policy has no statement DenyReading"
            }
            Self::Changed => "not known: the statement DenyReading of the bucket's policy was changed",
        }
    }
}

/// Whether a value of a condition, one or a list, has this one.
fn is_one_of(value: &Value, tag: &str) -> bool {
    match value {
        Value::Array(values) => values.iter().any(|value| value == tag),
        value => value == tag,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reader_gets_what_policy_and_tags_say() {
        let policy = |condition: Value| json!({ "Statement": [{ "Sid": "Other" }, { "Sid": STATEMENT, "Condition": condition }] });
        let deny_infected =
            policy(json!({ "StringEquals": { "s3:ExistingObjectTag/av-status": "INFECTED" } })).to_string();
        let only_clean =
            policy(json!({ "StringNotEquals": { "s3:ExistingObjectTag/av-status": ["CLEAN"] } })).to_string();
        let tag = |value: &str| vec![Tag::new("av-status", value)];
        for (policy, tags, expected) in [
            (&deny_infected, tag("INFECTED"), Reader::Refused),
            (&deny_infected, tag("CLEAN"), Reader::Allowed),
            (&deny_infected, vec![], Reader::Allowed),
            (&only_clean, tag("CLEAN"), Reader::Allowed),
            (&only_clean, tag("UNSCANNABLE"), Reader::Refused),
            (&only_clean, vec![], Reader::Refused),
        ] {
            assert_eq!(Reader::of(Some(policy), &tags), expected, "{policy} {tags:?}");
        }
        assert_eq!(Reader::of(None, &tag("INFECTED")), Reader::Unprotected);
        assert_eq!(Reader::of(Some(&policy(json!({})).to_string()), &[]), Reader::Changed);
        assert_eq!(Reader::of(Some("{"), &[]), Reader::Unprotected);
    }
}
