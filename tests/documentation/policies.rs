//! Every statement of the template's policies allows no more than it names, and every wildcard has a reason.

use std::{collections::BTreeSet, fs, path::Path};

/// Statements that may have a wildcard, each with its reason.
const WILDCARDS: [(&str, &str); 1] = [("DenyWithoutTls", "it denies: all of S3 without TLS")];

/// Statements that anybody is meant by, each with its reason.
const ANYBODY: [(&str, &str); 8] = [
    ("DenyReading", "it denies"),
    ("DenyRetaggingInfectedObjects", "it denies"),
    ("DenyForgedVerdicts", "it denies"),
    ("DenyWithoutTls", "it denies"),
    ("MirrorClientsRead", "freshclam signs no requests; bound to the operator's addresses"),
    ("MirrorClientsList", "likewise"),
    ("MirrorClientsOfEndpointRead", "likewise, to the operator's endpoint"),
    ("MirrorClientsOfEndpointList", "likewise"),
];

/// The statements of the template, by their names.
fn statements(template: &str) -> Vec<(&str, &str)> {
    // Outputs have a policy too, as JSON; it repeats that of the scanned bucket.
    let resources = template.split_once("\nOutputs:\n").unwrap().0;
    let statements = resources.split("- Sid: ").skip(1);
    let named = statements.map(|statement| {
        let (name, rest) = statement.split_once('\n').unwrap();
        // Up to the next resource, which is indented by two.
        let end = rest.find("\n\n").unwrap_or(rest.len());
        (name.trim(), rest.get(..end).unwrap())
    });
    named.collect()
}

/// The values of a key: on its line, or in the list below it.
fn values<'s>(statement: &'s str, key: &str) -> Vec<&'s str> {
    let mut lines = statement.lines().skip_while(|line| !line.trim_start().starts_with(key));
    let Some(first) = lines.next() else { return Vec::new() };
    let inline = first.trim_start().trim_start_matches(key).trim();
    let below = lines.map(str::trim_start).take_while(|line| line.starts_with("- "));
    let found =
        if inline.is_empty() { below.map(|line| &line[2..]).collect() } else { inline.split(", ").collect::<Vec<_>>() };
    found.into_iter().map(|value| value.trim_matches(|c| "[]\" ".contains(c))).collect()
}

#[test]
fn every_wildcard_of_a_policy_has_its_reason() {
    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/template.yaml")).unwrap();
    let statements = statements(&template);
    assert!(statements.len() > 40, "{}", statements.len());
    let mut used = BTreeSet::new();
    for (name, statement) in &statements {
        let (actions, resources) = (values(statement, "Action:"), values(statement, "Resource:"));
        assert!(!actions.is_empty() && !resources.is_empty(), "{name} has no action or no resource");
        assert!(
            !statement.contains("NotAction:") && !statement.contains("NotResource:"),
            "{name} allows what it does not name"
        );
        let wild = actions.iter().any(|action| action.contains('*')) || resources.contains(&"*");
        if wild {
            assert!(
                WILDCARDS.iter().any(|(known, _)| known == name),
                "{name} has a wildcard: {actions:?} {resources:?}"
            );
            assert!(statement.contains("Effect: Deny"), "{name} allows by a wildcard");
            used.insert(*name);
        }
        if statement.contains("Principal: \"*\"") {
            assert!(ANYBODY.iter().any(|(known, _)| known == name), "{name} means anybody");
            assert!(statement.contains("Condition:"), "{name} means anybody, whatever the condition");
            used.insert(*name);
        }
    }
    for (known, _) in WILDCARDS.iter().chain(&ANYBODY) {
        assert!(used.contains(known), "{known} is no exception any more");
    }
}
