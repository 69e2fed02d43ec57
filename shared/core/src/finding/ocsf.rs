//! A finding as OCSF's Detection Finding, class 2004 of OCSF 1.6.0.
//!
//! Source: github.com/ocsf/ocsf-schema, v1.6.0; `schemas/ocsf-1.6.0.json` is made of it.

use serde_json::{Value, json};

use super::{Finding, State};
use crate::object::partition_of;

const VERSION: &str = "1.6.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;
/// Names of numbers in the schema.
const HIGH: u32 = 4;
const SHA_256: u32 = 3;
const REGULAR_FILE: u32 = 1;
const UNCLASSIFIED: u32 = 0;

/// The event.
pub fn event(finding: &Finding<'_>) -> Value {
    let (record, region) = (finding.record, finding.region);
    let (activity, activity_name) = match finding.state {
        State::Found => (1, "Create"),
        State::FoundAgain => (2, "Update"),
        State::Cleared | State::Deleted | State::Quarantined => (3, "Close"),
    };
    let (status, status_name) = if finding.state.is_open() { (1, "New") } else { (4, "Resolved") };
    let (millis, first) = (finding.at.timestamp_millis(), record.scanned_at.timestamp_millis());
    let key = &record.object.key;
    let mut file = json!({
        "name": key.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(key), "path": key, "type_id": REGULAR_FILE,
        "size": record.size, "uri": record.object.to_string(),
    });
    if let Some(sha256) = finding.sha256() {
        add(&mut file, "hashes", json!([{ "algorithm": "SHA-256", "algorithm_id": SHA_256, "value": sha256 }]));
    }
    let mut object = json!({ "uid": finding.object_arn(), "name": key, "type": "AWS::S3::Object", "region": region });
    if let Some(version) = &record.object.version_id {
        add(&mut object, "version", json!(version));
    }
    let bucket = json!({ "uid": finding.bucket_arn(), "name": record.object.bucket, "type": "AWS::S3::Bucket", "region": region });
    let malware: Vec<Value> = finding
        .signatures()
        .iter()
        .map(|name| json!({ "name": name, "classification_ids": [UNCLASSIFIED], "path": key, "provider": "ClamAV" }))
        .collect();
    let mut event = json!({
        "activity_id": activity, "activity_name": activity_name, "category_uid": CATEGORY, "category_name": "Findings",
        "class_uid": CLASS, "class_name": "Detection Finding", "type_uid": CLASS * 100 + activity,
        "type_name": format!("Detection Finding: {activity_name}"), "time": millis,
        "severity_id": HIGH, "severity": "High", "status_id": status, "status": status_name, "status_detail": finding.state.name(),
        "is_alert": finding.state == State::Found, "message": finding.description(),
        "metadata": {
            "version": VERSION, "profiles": ["cloud"],
            "product": { "name": "Nacre", "vendor_name": "Nacre", "version": env!("CARGO_PKG_VERSION") },
        },
        "cloud": { "provider": "AWS", "region": region, "cloud_partition": partition_of(region) },
        "finding_info": {
            "uid": finding.id(), "title": finding.title(), "desc": finding.description(), "types": ["Malware"],
            "created_time": first, "modified_time": millis,
        },
        "resources": [object, bucket],
        "evidences": [{ "file": file }],
    });
    if !malware.is_empty() {
        add(&mut event, "malware", json!(malware));
    }
    event
}

fn add(to: &mut Value, name: &str, value: Value) {
    if let Some(object) = to.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::tests::{STATES, hostile, infected};
    use super::*;
    use crate::{scan_record::ScanRecord, verdict::Verdict};

    fn events(record: &ScanRecord) -> Vec<Value> {
        let schema = serde_json::from_str(include_str!("schemas/ocsf-1.6.0.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let event =
            |state: &State| event(&Finding { record, state: *state, at: DateTime::UNIX_EPOCH, region: "eu-west-1" });
        let events: Vec<Value> = STATES.iter().map(event).collect();
        for event in &events {
            assert!(validator.is_valid(event), "{:?}: {event}", validator.validate(event));
        }
        events
    }

    #[test]
    fn every_state_is_an_event_of_the_schema() {
        let types: Vec<_> = events(&infected()).iter().map(|event| event["type_uid"].as_u64().unwrap()).collect();
        assert_eq!(types, [200_401, 200_402, 200_403, 200_403, 200_403]);
        let cleared = events(&ScanRecord { verdict: Verdict::Clean, ..infected() });
        assert_eq!((&cleared[2]["status"], cleared[2].get("malware")), (&json!("Resolved"), None));
    }

    #[test]
    fn it_names_the_object_and_what_was_found() {
        let found = &events(&infected())[0];
        assert_eq!(found["resources"][0]["uid"], "arn:aws:s3:::uploads/a/b c.com");
        assert_eq!(found["evidences"][0]["file"]["name"], "b c.com");
        let names: Vec<_> = found["malware"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["Eicar", "Other"]);
    }

    #[test]
    fn no_name_makes_an_event_that_the_bus_refuses() {
        assert!(events(&hostile()).iter().all(|event| event.to_string().len() < 250_000));
    }
}
