//! What a template says of its resources' deletion. Pure.

use std::collections::BTreeMap;

use yaml_rust2::{ScanError, Yaml, YamlLoader};

/// What becomes of a resource when its stack is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It stays.
    Kept,
    /// It goes, with all that is in it.
    Deleted,
    /// The template computes it.
    Unknown,
}

/// What the template says of each of its resources, by their names. A template is YAML or JSON, which is YAML, too.
///
/// # Errors
/// The parser's.
pub(crate) fn deletions(template: &str) -> Result<BTreeMap<String, Deletion>, ScanError> {
    let documents = YamlLoader::load_from_str(template)?;
    let resources = documents.first().and_then(|document| document["Resources"].as_hash());
    let deletions = resources.into_iter().flatten().filter_map(|(name, resource)| {
        let deletion = match &resource["DeletionPolicy"] {
            // CloudFormation has a snapshot of neither a bucket nor a table.
            Yaml::BadValue => Deletion::Deleted,
            Yaml::String(policy) => match policy.as_str() {
                "Retain" | "RetainExceptOnCreate" => Deletion::Kept,
                "Delete" | "Snapshot" => Deletion::Deleted,
                _ => Deletion::Unknown,
            },
            _ => Deletion::Unknown,
        };
        Some((name.as_str()?.to_owned(), deletion))
    });
    Ok(deletions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_retained_stays() {
        let yaml = "Resources:\n  A: {Type: AWS::S3::Bucket}\n  B:\n    DeletionPolicy: Retain\n    Properties: {Name: !Sub \"${X}\"}\n  \
                    C:\n    DeletionPolicy: RetainExceptOnCreate\n  D:\n    DeletionPolicy: !If [A, Retain, Delete]\n  \
                    E:\n    DeletionPolicy: Delete\n  F:\n    DeletionPolicy: !Ref Policy\n";
        let json = r#"{"Resources": {"A": {}, "B": {"DeletionPolicy": "Retain"}, "C": {"DeletionPolicy": "RetainExceptOnCreate"},
            "D": {"DeletionPolicy": {"Fn::If": ["A", "Retain", "Delete"]}}, "E": {"DeletionPolicy": "Delete"},
            "F": {"DeletionPolicy": {"Ref": "Policy"}}}}"#;
        let [deleted, kept, unknown] = [Deletion::Deleted, Deletion::Kept, Deletion::Unknown];
        let expected = [deleted, kept, kept, unknown, deleted, unknown];
        for template in [yaml, json] {
            let found: Vec<_> = deletions(template).unwrap().into_values().collect();
            assert_eq!(found, expected, "{template}");
        }
        assert_eq!(deletions("").unwrap(), BTreeMap::new());
        assert!(deletions("Resources: [").is_err());
    }

    #[test]
    fn our_own_template_is_understood() {
        let found = deletions(include_str!("../../../infra/template.yaml")).unwrap();
        assert_eq!(found["ScanRecords"], Deletion::Kept);
        assert_eq!(found["ScanQueue"], Deletion::Deleted);
    }
}
