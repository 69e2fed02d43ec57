//! What the deletion of a stack leaves, and why. Pure.

use serde::Serialize;

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

/// Of a stack's resources those that stay.
pub(crate) fn kept(resources: &[Resource]) -> Vec<Kept> {
    resources.iter().filter(|resource| !resource.kind.starts_with(FIRST_UPDATE)).filter_map(entry).collect()
}

/// What stays of one resource; `None` for what is deleted with the stack. A bucket or table that is not known here is taken for one that stays.
fn entry(resource: &Resource) -> Option<Kept> {
    let kind = match resource.kind.as_str() {
        "AWS::S3::Bucket" => Kind::Bucket,
        "AWS::DynamoDB::Table" => Kind::Table,
        _ => Kind::Part,
    };
    let reason = REASONS.iter().find(|(name, _)| *name == resource.logical).map(|(_, reason)| *reason);
    let reason = reason.or((kind != Kind::Part).then_some("it holds data"))?;
    let Resource { logical, physical, .. } = resource;
    Some(Kept { resource: logical.clone(), kind, name: physical.clone(), why: reason.to_owned() })
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
    fn only_what_is_kept_and_named_is_removed() {
        let resources = [
            resource("ScannedBucket", "AWS::S3::Bucket"),
            resource("ScannedBucketPolicy", "AWS::S3::BucketPolicy"),
            resource("ScanRecords", "AWS::DynamoDB::Table"),
            resource("Tomorrow", "AWS::S3::Bucket"),
            resource("ScanQueue", "AWS::SQS::Queue"),
            resource("FirstUpdate", "Custom::FirstUpdate"),
        ];
        let kept = kept(&resources);
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
