//! Reads the KMS keys that the stack's parameters name.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_kms::{Client, error::ProvideErrorMetadata, operation::describe_key::DescribeKeyError};

use super::snapshot::{Bucket, Key, KeyPolicy, Need};
use crate::output::explain;

/// What a role does with a key that it only reads by, and with one that it also writes by.
const READS: &[&str] = &["kms:Decrypt"];
const WRITES: &[&str] = &["kms:GenerateDataKey", "kms:Decrypt"];

/// The keys, with what each role needs of them. `roles` are the scanner's and the rescanner's.
pub(super) async fn keys(
    sdk: &SdkConfig,
    parameters: &BTreeMap<String, String>,
    buckets: &[Bucket],
    roles: [&str; 2],
) -> Vec<Key> {
    // Test files are encrypted by the default of their bucket.
    let tested = |bucket: &&Bucket| {
        let arns = parameters.get("SelfTestBucketArns").map(String::as_str).unwrap_or_default();
        bucket.own || arns.split(',').any(|arn| arn.trim().ends_with(&format!(":::{}", bucket.name)))
    };
    let tested = buckets.iter().filter(tested).filter_map(|bucket| bucket.kms_key.as_deref()).collect();
    let mut keys = Vec::new();
    for (parameter, arn, needs) in named(parameters, &tested, roles) {
        let policy = policy(sdk, &arn, roles[0]).await;
        keys.push(Key { arn, parameter, needs, policy });
    }
    keys
}

/// Each key that a parameter names, as the template uses it; `tested` are those of buckets in which self-tests are made. Pure.
fn named(
    parameters: &BTreeMap<String, String>,
    tested: &BTreeSet<&str>,
    [scanner, rescanner]: [&str; 2],
) -> Vec<(&'static str, String, Vec<Need>)> {
    let value = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let need = |role: &str, service, calls| Need { role: role.to_owned(), service, calls };
    let mut keys = Vec::new();
    for arn in value("KmsKeyArns").split(',').map(str::trim).filter(|arn| !arn.is_empty()) {
        let mut needs = vec![need(scanner, "s3", READS)];
        let is_tested = value("SelfTest") == "True" && tested.contains(arn);
        needs.extend(is_tested.then(|| need(rescanner, "s3", WRITES)));
        keys.push(("KmsKeyArns", arn.to_owned(), needs));
    }
    let quarantine = value("QuarantineKmsKeyArn");
    if value("InfectedObjects") == "quarantine" && !quarantine.is_empty() {
        keys.push(("QuarantineKmsKeyArn", quarantine.to_owned(), vec![need(scanner, "s3", WRITES)]));
    }
    let topic = value("TopicKmsKeyArn");
    if !value("ScanStartTopic").is_empty() && !topic.is_empty() {
        keys.push(("TopicKmsKeyArn", topic.to_owned(), vec![need(scanner, "sns", WRITES)]));
    }
    keys
}

/// The account of an ARN.
fn account(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

async fn policy(sdk: &SdkConfig, arn: &str, role: &str) -> KeyPolicy {
    // KMS shows a key's policy to its own account alone.
    if account(arn) != account(role) {
        return KeyPolicy::OfAnotherAccount;
    }
    let client = Client::new(sdk);
    let described = match client.describe_key().key_id(arn).send().await {
        Ok(described) => described.key_metadata,
        Err(error) if error.as_service_error().is_some_and(DescribeKeyError::is_not_found_exception) => {
            return KeyPolicy::Missing;
        }
        Err(error) => return KeyPolicy::Unreadable(explain(&error)),
    };
    let Some(key) = described else { return KeyPolicy::Unreadable("KMS describes nothing".into()) };
    if let Some(state) = key.key_state().filter(|_| !key.enabled()) {
        return KeyPolicy::Disabled(state.as_str().to_owned());
    }
    // A policy is that of a key, and not of an alias.
    match client.get_key_policy().key_id(key.key_id()).policy_name("default").send().await {
        Ok(found) => match serde_json::from_str(found.policy().unwrap_or_default()) {
            Ok(policy) => KeyPolicy::Read(policy),
            Err(error) => KeyPolicy::Unreadable(explain(&error)),
        },
        Err(error) if error.code() == Some("NotFoundException") => KeyPolicy::Missing,
        Err(error) => KeyPolicy::Unreadable(explain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_parameters_that_count() {
        let of = |pairs: &[(&str, &str)]| {
            let parameters = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let keys = named(&parameters, &BTreeSet::from(["a"]), ["scanner", "rescanner"]);
            let needs = |needs: Vec<Need>| {
                let words = needs.into_iter().map(|it| format!("{} {} by {}", it.role, it.calls.join("+"), it.service));
                words.collect::<Vec<_>>().join(", ")
            };
            keys.into_iter().map(|(_, arn, of)| format!("{arn}: {}", needs(of))).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("KmsKeyArns", ""), ("SelfTest", "True")]), [] as [&str; 0]);
        let expected = ["a: scanner kms:Decrypt by s3", "b: scanner kms:Decrypt by s3"];
        assert_eq!(of(&[("KmsKeyArns", "a, b")]), expected);
        let expected = [
            "a: scanner kms:Decrypt by s3, rescanner kms:GenerateDataKey+kms:Decrypt by s3",
            "b: scanner kms:Decrypt by s3",
        ];
        assert_eq!(of(&[("KmsKeyArns", "a,b"), ("SelfTest", "True")]), expected);
        let quarantine = ("QuarantineKmsKeyArn", "q");
        assert_eq!(of(&[quarantine, ("InfectedObjects", "tag")]), [] as [&str; 0]);
        let expected = ["q: scanner kms:GenerateDataKey+kms:Decrypt by s3"];
        assert_eq!(of(&[quarantine, ("InfectedObjects", "quarantine")]), expected);
        let expected = ["t: scanner kms:GenerateDataKey+kms:Decrypt by sns"];
        assert_eq!(of(&[("TopicKmsKeyArn", "t"), ("ScanStartTopic", "arn")]), expected);
        assert_eq!(of(&[("TopicKmsKeyArn", "t")]), [] as [&str; 0]);
    }
}
