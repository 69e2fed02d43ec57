//! A result as EventBridge events, one in the words of each dialect.
//!
//! Rules that match another product's events match these by their detail; only the source differs where EventBridge reserves it.

use nacre_core::{
    dialect::{Dialect, clamscan_status, guardduty_status},
    finding::{Finding, ocsf},
    object::partition_of,
    port::BusEvent,
    scan_record::ScanRecord,
    tag_policy::{TagNames, signature_value, timestamp_value},
    verdict::{Reason, Verdict},
};
use serde_json::{Value, json};

/// Most signatures that an event names: its size is bounded, and an uploader may make a file match any number.
const MAX_SIGNATURES: usize = 100;

/// The events that report a record of a bucket in this region.
pub fn bus_events(record: &ScanRecord, names: &TagNames, region: &str) -> Vec<BusEvent> {
    let partition = partition_of(region);
    let event = |dialect: &Dialect| {
        let (source, detail_type, detail) = match dialect {
            Dialect::Predecessor => ("nacre.scanner", "Object Scan Result", ours(record, names)),
            // `aws.guardduty` is refused to all but AWS.
            Dialect::GuardDuty => {
                ("nacre.guardduty", "GuardDuty Malware Protection Object Scan Result", guardduty(record))
            }
            Dialect::CdkServerlessClamscan => {
                ("lambda", "Lambda Function Invocation Result - Success", clamscan(record))
            }
            // Of findings, which not every result is.
            Dialect::Ocsf => return None,
        };
        let resources = vec![format!("arn:{partition}:s3:::{}/{}", record.object.bucket, record.object.key)];
        Some(BusEvent { source, detail_type, detail: detail.to_string(), resources })
    };
    names.dialects.iter().filter_map(event).collect()
}

/// The event of a finding in OCSF.
pub fn finding_event(finding: &Finding<'_>) -> BusEvent {
    let object = &finding.record.object;
    let resources = vec![format!("arn:{}:s3:::{}/{}", partition_of(finding.region), object.bucket, object.key)];
    let detail = ocsf::event(finding).to_string();
    BusEvent { source: "nacre.ocsf", detail_type: "Detection Finding", detail, resources }
}

fn ours(record: &ScanRecord, names: &TagNames) -> Value {
    let ScanRecord { object, etag, size, verdict, generation, engine, .. } = record;
    json!({
        "bucket": object.bucket, "key": object.key, "version": object.version_id, "etag": etag, "size": size,
        "verdict": verdict.name(), "reason": verdict.reason().map(Reason::name),
        "signatures": bounded(verdict), "generation": generation, "engine": engine.version,
        &names.status: names.status_of(verdict), &names.signature: signature_value(verdict),
        &names.timestamp: timestamp_value(record.scanned_at),
    })
}

fn guardduty(record: &ScanRecord) -> Value {
    let ScanRecord { object, etag, verdict, .. } = record;
    let threats = match verdict {
        Verdict::Infected { .. } => bounded(verdict).iter().map(|name| json!({ "name": name })).collect(),
        _ => Value::Null,
    };
    json!({
        "schemaVersion": "1.0", "scanStatus": "COMPLETED", "resourceType": "S3_OBJECT",
        "s3ObjectDetails": {
            "bucketName": object.bucket, "objectKey": object.key, "eTag": etag, "versionId": object.version_id, "s3Throttled": false,
        },
        "scanResultDetails": { "scanResultStatus": guardduty_status(verdict), "threats": threats },
    })
}

fn clamscan(record: &ScanRecord) -> Value {
    let ScanRecord { object, verdict, .. } = record;
    let message = match verdict {
        Verdict::Infected { .. } => bounded(verdict).join(", "),
        _ => verdict.reason().map_or("Scan completed", |reason| reason.name()).to_owned(),
    };
    json!({
        "responsePayload": {
            "source": "serverless-clamscan", "input_bucket": object.bucket, "input_key": object.key,
            "status": clamscan_status(verdict), "message": message,
        },
    })
}

fn bounded(verdict: &Verdict) -> &[String] {
    let signatures = verdict.signatures();
    signatures.get(..MAX_SIGNATURES).unwrap_or(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result_message::tests::record;

    fn details(verdict: Verdict) -> Vec<Value> {
        let names = TagNames { dialects: Dialect::ALL.to_vec(), ..TagNames::default() };
        let events = bus_events(&record(verdict), &names, "us-gov-west-1");
        let resource = ["arn:aws-us-gov:s3:::uploads/a b.txt"];
        assert!(events.iter().all(|event| event.resources == resource), "{events:?}");
        assert_eq!(events.len(), 3, "findings are events of their own");
        assert!(events.iter().all(|event| !event.source.starts_with("aws.")));
        events.iter().map(|event| serde_json::from_str(&event.detail).unwrap()).collect()
    }

    #[test]
    fn each_dialect_has_its_event() {
        let infected = Verdict::Infected { signatures: vec!["Eicar".into()] };
        let [ours, guardduty, clamscan] = details(infected).try_into().unwrap();
        assert_eq!(
            (&ours["av-status"], &ours["key"], &ours["verdict"]),
            (&json!("INFECTED"), &json!("a b.txt"), &json!("infected"))
        );
        assert_eq!(
            guardduty["scanResultDetails"],
            json!({ "scanResultStatus": "THREATS_FOUND", "threats": [{ "name": "Eicar" }] })
        );
        assert_eq!(guardduty["s3ObjectDetails"]["versionId"], "v1");
        assert_eq!(clamscan["responsePayload"]["status"], "INFECTED");
        let [ours, guardduty, clamscan] =
            details(Verdict::Unscannable { reason: Reason::Encrypted }).try_into().unwrap();
        assert_eq!(ours["reason"], "encrypted");
        assert_eq!(guardduty["scanResultDetails"], json!({ "scanResultStatus": "UNSUPPORTED", "threats": null }));
        assert_eq!(clamscan["responsePayload"]["message"], "encrypted");
    }

    #[test]
    fn a_file_that_matches_without_end_makes_no_event_without_end() {
        let infected = Verdict::Infected { signatures: vec!["x".repeat(200); 5000] };
        assert!(details(infected).iter().all(|detail| detail.to_string().len() < 64 << 10));
    }
}
