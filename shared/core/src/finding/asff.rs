//! A finding in Security Hub's format (ASFF), as `BatchImportFindings` takes it.
//!
//! Source: Security Hub user guide, "AWS Security Finding Format"; `schemas/asff-2018-10-08.json` is made of AWS's own description of the
//! call. What belongs to people (`Note`, `UserDefinedFields`, `VerificationState`, `Workflow`) is never set, nor `Severity` beside
//! `FindingProviderFields`: an update would not change them.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Finding;
use crate::{alert::harmless, object::partition_of};

/// The service's bounds.
const MAX_MALWARE: usize = 5;
const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 1024;
const MAX_NAME: usize = 64;
const MAX_PATH: usize = 512;

/// Whose findings these are: the default product of an account in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    arn: String,
    region: String,
    account: String,
}

/// It is not the ARN of an account's default product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("arn:PARTITION:securityhub:REGION:ACCOUNT:product/ACCOUNT/default")]
pub struct NoProduct;

impl Product {
    /// Reads an ARN.
    ///
    /// # Errors
    /// [`NoProduct`].
    pub fn parse(arn: &str) -> Result<Self, NoProduct> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "securityhub", region, account, product] = parts[..] else { return Err(NoProduct) };
        let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
        // It becomes part of a host's name.
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !is_account || !is_name(region) || !is_name(partition) || product != format!("product/{account}/default") {
            return Err(NoProduct);
        }
        Ok(Self { arn: arn.to_owned(), region: region.to_owned(), account: account.to_owned() })
    }

    /// The region of its Security Hub.
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// The finding in ASFF.
pub fn finding(finding: &Finding<'_>, product: &Product) -> Value {
    let record = finding.record;
    let open = finding.state.is_open();
    let partition = partition_of(finding.region);
    let key = harmless(&record.object.key);
    let malware: Vec<Value> = finding
        .signatures()
        .iter()
        .take(MAX_MALWARE)
        .map(|name| {
            let state = if open { "OBSERVED" } else { "REMOVED" };
            json!({ "Name": bounded(&harmless(name), MAX_NAME), "Path": bounded(&key, MAX_PATH), "State": state })
        })
        .collect();
    let mut details = json!({ "ETag": record.etag });
    if let (Some(version), Some(details)) = (&record.object.version_id, details.as_object_mut()) {
        details.insert("VersionId".into(), json!(version));
    }
    let mut made = json!({
        "SchemaVersion": "2018-10-08",
        "Id": finding.id(),
        "ProductArn": product.arn,
        "AwsAccountId": product.account,
        "ProductName": "Nacre",
        "CompanyName": "Nacre",
        "Region": product.region,
        "GeneratorId": "nacre",
        "CreatedAt": time(record.scanned_at),
        "UpdatedAt": time(finding.at),
        "Title": bounded(&finding.title(), MAX_TITLE),
        "Description": bounded(&finding.description(), MAX_DESCRIPTION),
        "FindingProviderFields": { "Severity": { "Label": "HIGH" }, "Types": ["TTPs/Malware"] },
        "ProductFields": { "nacre/state": finding.state.name(), "nacre/generation": record.generation.0.to_string() },
        "RecordState": if open { "ACTIVE" } else { "ARCHIVED" },
        "Resources": [
            {
                "Type": "AwsS3Object", "Id": bounded(&format!("{}/{key}", finding.bucket_arn()), MAX_PATH), "Partition": partition,
                "Region": finding.region, "Details": { "AwsS3Object": details },
            },
            { "Type": "AwsS3Bucket", "Id": finding.bucket_arn(), "Partition": partition, "Region": finding.region },
        ],
    });
    if !malware.is_empty()
        && let Some(made) = made.as_object_mut()
    {
        made.insert("Malware".into(), json!(malware));
    }
    made
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn bounded(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{
        State,
        tests::{STATES, hostile, infected},
    };
    use super::*;
    use crate::{scan_record::ScanRecord, verdict::Verdict};

    const ARN: &str = "arn:aws:securityhub:eu-west-1:123456789012:product/123456789012/default";

    fn findings(record: &ScanRecord) -> Vec<Value> {
        let schema = serde_json::from_str(include_str!("schemas/asff-2018-10-08.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let product = Product::parse(ARN).unwrap();
        let of = |state: &State| {
            let made = Finding { record, state: *state, at: DateTime::UNIX_EPOCH, region: "eu-west-1" };
            finding(&made, &product)
        };
        let findings: Vec<Value> = STATES.iter().map(of).collect();
        let call = json!({ "Findings": findings });
        assert!(validator.is_valid(&call), "{:?}: {call}", validator.validate(&call));
        findings
    }

    #[test]
    fn a_finding_is_active_until_there_is_nothing_left_to_do() {
        let findings = findings(&infected());
        let states: Vec<_> = findings.iter().map(|finding| finding["RecordState"].as_str().unwrap()).collect();
        assert_eq!(states, ["ACTIVE", "ACTIVE", "ARCHIVED", "ARCHIVED", "ARCHIVED"]);
        assert!(findings.iter().all(|finding| finding["Id"] == findings[0]["Id"]));
        assert_eq!(findings[0]["Malware"][0], json!({ "Name": "Eicar", "Path": "a/b c.com", "State": "OBSERVED" }));
        assert_eq!(findings[3]["Malware"][0]["State"], "REMOVED");
    }

    #[test]
    fn what_was_cleared_names_no_malware() {
        let cleared = &findings(&ScanRecord { verdict: Verdict::Clean, ..infected() })[2];
        assert_eq!((cleared.get("Malware"), &cleared["RecordState"]), (None, &json!("ARCHIVED")));
    }

    #[test]
    fn every_part_is_within_the_services_bounds() {
        for finding in findings(&hostile()) {
            assert!(
                finding["Title"].as_str().unwrap().chars().count() <= MAX_TITLE && finding.to_string().len() < 240_000
            );
            assert!(finding["Malware"].as_array().unwrap().len() <= MAX_MALWARE);
            assert!(finding["Resources"][0]["Id"].as_str().unwrap().chars().count() <= MAX_PATH);
        }
    }

    #[test]
    fn a_product_is_the_default_one_of_an_account() {
        assert_eq!(Product::parse(ARN).unwrap().region(), "eu-west-1");
        for wrong in [
            "",
            "arn:aws:securityhub:eu-west-1:123456789012:product/aws/guardduty",
            "arn:aws:securityhub:evil.com/:123456789012:product/123456789012/default",
        ] {
            assert_eq!(Product::parse(wrong), Err(NoProduct), "{wrong}");
        }
    }
}
