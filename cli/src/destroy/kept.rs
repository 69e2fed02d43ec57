//! What the deletion of a stack leaves, and why. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::policies::Deletion;
use crate::stack::Resource;

/// Every resource that the template retains, with the reason. A test compares the names with the template's.
const REASONS: [(&str, &str); 6] = [
    ("ScannedBucket", "your objects; its notifications go to a topic that is gone, and nothing scans what is uploaded"),
    (
        "ScannedBucketPolicy",
        "goes with ScannedBucket: without it every infected object could be read again. It exempts a role that is gone, so nobody \
         reads or tags an infected object until you change the policy",
    ),
    ("DefinitionsBucket", "the definitions that the scan records name, and the signatures of your own"),
    ("ScanRecords", "the verdict on every object version. Once deleted it can be restored from its backup for 35 days"),
    ("QuarantineBucket", "infected objects, for analysis and to restore false positives"),
    ("QuarantineBucketPolicy", "goes with QuarantineBucket: without it all of the account could read the malware"),
];

/// Of what the template computes.
const COMPUTED: &str = "the template computes whether it stays: see its DeletionPolicy";

/// Of what the template does not retain.
const DELETED: &str =
    "the template does not retain it. A bucket is only deleted when it is empty: until then the deletion fails";

/// What is not retained, though its type says so, because there is nothing to it.
const FIRST_UPDATE: &str = "Custom::";

/// Something that stays when the stack goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) resource: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) why: String,
}

/// What can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Bucket,
    Table,
    /// Part of another with which it goes, or not the stack's.
    Part,
}

impl Kept {
    /// The bucket of packages, which is in no stack. One that `nacre deploy` did not make may hold anything, and is never removed.
    pub(crate) fn packages(bucket: &str, is_ours: bool) -> Self {
        let (kind, why) = if is_ours {
            (Kind::Bucket, "packages, of which other stacks in this region may be made too")
        } else {
            (Kind::Part, "packages; the bucket is your own")
        };
        Self { resource: "CodeBucket".into(), kind, name: bucket.to_owned(), why: why.to_owned() }
    }

    pub(crate) fn in_words(&self) -> String {
        format!("{} ({}): {}", self.name, self.resource, self.why)
    }
}

/// What becomes of a stack's resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) kept: Vec<Kept>,
    /// Data that goes with the stack.
    pub(crate) lost: Vec<Kept>,
}

/// What the deletion of a stack with these resources would keep, and what data it would delete.
pub(crate) fn account(resources: &[Resource], deletions: &BTreeMap<String, Deletion>) -> Account {
    let mut account = Account::default();
    for resource in resources.iter().filter(|resource| !resource.kind.starts_with(FIRST_UPDATE)) {
        let kept = entry(resource);
        let is_data = kept.kind != Kind::Part;
        match deletions.get(&resource.logical) {
            Some(Deletion::Kept) => account.kept.push(kept),
            Some(Deletion::Unknown) => account.kept.push(Kept { why: COMPUTED.into(), ..kept }),
            // Of a macro, perhaps.
            None if is_data => account.kept.push(Kept { why: COMPUTED.into(), ..kept }),
            Some(Deletion::Deleted) if is_data => account.lost.push(Kept { why: DELETED.into(), ..kept }),
            Some(Deletion::Deleted) | None => {}
        }
    }
    account
}

/// Of resources that a deletion left those that are something.
pub(crate) fn left(resources: &[Resource]) -> Vec<Kept> {
    resources.iter().filter(|resource| !resource.kind.starts_with(FIRST_UPDATE)).map(entry).collect()
}

fn entry(resource: &Resource) -> Kept {
    let kind = match resource.kind.as_str() {
        "AWS::S3::Bucket" => Kind::Bucket,
        "AWS::DynamoDB::Table" => Kind::Table,
        _ => Kind::Part,
    };
    let reason = REASONS.iter().find(|(name, _)| *name == resource.logical).map(|(_, reason)| *reason);
    let why = reason.unwrap_or(if kind == Kind::Part { "the template retains it" } else { "it holds data" });
    Kept { resource: resource.logical.clone(), kind, name: resource.physical.clone(), why: why.to_owned() }
}

/// Without the policies of buckets that are gone.
pub(crate) fn without_orphans(kept: Vec<Kept>) -> Vec<Kept> {
    let resources: Vec<_> = kept.iter().map(|kept| kept.resource.clone()).collect();
    let is_orphan = |kept: &Kept| {
        let owner = kept.resource.strip_suffix("Policy");
        kept.kind == Kind::Part && owner.is_some_and(|owner| !resources.iter().any(|resource| resource == owner))
    };
    kept.into_iter().filter(|kept| !is_orphan(kept)).collect()
}

/// Why something is not removed that was named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is nothing that the deletion of this stack keeps and that can be removed: that is {known}")]
pub(crate) struct NotKept {
    name: String,
    known: String,
}

/// Of what stays those that were named to be removed; each name must be one of them.
pub(crate) fn named(kept: &[Kept], names: &[String]) -> Result<Vec<Kept>, NotKept> {
    let removable = || kept.iter().filter(|kept| kept.kind != Kind::Part);
    let find = |name: &String| {
        let known = || removable().map(|kept| kept.name.clone()).collect::<Vec<_>>().join(", ");
        let found = removable().find(|kept| kept.name == *name);
        found.cloned().ok_or_else(|| NotKept { name: name.clone(), known: known() })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(logical: &str, kind: &str) -> Resource {
        Resource { logical: logical.into(), kind: kind.into(), physical: format!("nacre-{logical}").to_lowercase() }
    }

    /// A resource of the template that is retained without a reason here would be kept silently.
    #[test]
    fn everything_that_the_template_retains_has_its_reason_and_nothing_else() {
        let template = include_str!("../../../infra/template.yaml");
        let (_, resources) = template.split_once("\nResources:\n").unwrap();
        let mut retained = Vec::new();
        let mut current = ("", "");
        for line in resources.lines() {
            if let Some(name) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
                current = if name.starts_with([' ', '#']) { current } else { (name, "") };
            } else if let Some(kind) = line.strip_prefix("    Type: ") {
                current.1 = kind;
            } else if line.starts_with("    DeletionPolicy: Retain") && !current.1.starts_with(FIRST_UPDATE) {
                retained.push(current.0);
            }
        }
        let mut reasons = REASONS.map(|(name, _)| name);
        retained.sort_unstable();
        reasons.sort_unstable();
        assert_eq!(retained, reasons);
    }

    #[test]
    fn a_template_of_ones_own_decides_what_stays() {
        let resources = [
            resource("Invoices", "AWS::S3::Bucket"),
            resource("Ledger", "AWS::DynamoDB::Table"),
            resource("Archive", "AWS::S3::Bucket"),
            resource("ScanRecords", "AWS::DynamoDB::Table"),
            resource("Made", "AWS::S3::Bucket"),
            resource("Logs", "AWS::Logs::LogGroup"),
            resource("Queue", "AWS::SQS::Queue"),
        ];
        let deletions = [
            ("Invoices", Deletion::Deleted),
            ("Ledger", Deletion::Unknown),
            ("Archive", Deletion::Kept),
            // By our name, and not retained.
            ("ScanRecords", Deletion::Deleted),
            ("Logs", Deletion::Kept),
            ("Queue", Deletion::Deleted),
        ];
        let deletions = deletions.map(|(name, deletion)| (name.to_owned(), deletion)).into();
        let Account { kept, lost } = account(&resources, &deletions);
        let names = |kept: &[Kept]| kept.iter().map(|kept| kept.resource.clone()).collect::<Vec<_>>();
        assert_eq!(names(&kept), ["Ledger", "Archive", "Made", "Logs"]);
        assert_eq!(names(&lost), ["Invoices", "ScanRecords"]);
        assert!(kept[0].why.contains("computes") && kept[2].why.contains("computes"), "{kept:?}");
        assert_eq!(left(&resources).len(), 7);
    }

    #[test]
    fn only_what_is_kept_and_named_is_removed() {
        let resources = [
            resource("ScannedBucket", "AWS::S3::Bucket"),
            resource("ScannedBucketPolicy", "AWS::S3::BucketPolicy"),
            resource("ScanRecords", "AWS::DynamoDB::Table"),
            resource("Tomorrow", "AWS::S3::Bucket"),
            resource("ScanQueue", "AWS::SQS::Queue"),
            resource("FirstUpdate", "Custom::FirstUpdate"),
        ];
        let mut deletions: BTreeMap<_, _> =
            resources.iter().map(|resource| (resource.logical.clone(), Deletion::Kept)).collect();
        deletions.insert("ScanQueue".into(), Deletion::Deleted);
        let Account { kept, lost } = account(&resources, &deletions);
        assert_eq!(lost, []);
        let names: Vec<_> = kept.iter().map(|kept| kept.resource.as_str()).collect();
        assert_eq!(names, ["ScannedBucket", "ScannedBucketPolicy", "ScanRecords", "Tomorrow"]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(named(&kept, &names(&["nacre-scanrecords"])).unwrap(), kept[2..3]);
        assert_eq!(named(&kept, &[]).unwrap(), []);
        let rest: Vec<_> = without_orphans(kept[1..].to_vec()).into_iter().map(|kept| kept.resource).collect();
        assert_eq!(rest, ["ScanRecords", "Tomorrow"], "a policy goes with its bucket");
        assert!(named(&[Kept::packages("shared", false)], &names(&["shared"])).is_err());
        for wrong in ["nacre-scannedbucketpolicy", "somebodys-bucket", "ScanRecords", ""] {
            assert!(named(&kept, &names(&["nacre-scanrecords", wrong])).is_err(), "{wrong}");
        }
    }
}
