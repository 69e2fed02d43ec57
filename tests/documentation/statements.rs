//! Each action of each statement of the template's policies, with the call that needs it. `MiniStack` enforces few of them; here a
//! statement or an action that is taken away fails, and so does one that no call needs any more.

mod roles;

use std::{collections::BTreeSet, fs, path::Path};

use roles::{
    Needed::{Call, Missing, Service},
    ROLES,
};

/// Calls of adapters that no function makes: commands run by the operator's own credentials.
const COMMANDS_ONLY: [&str; 1] = ["batch_get_item"];

/// The statements by which services may do something: owner, name, the condition without which others' resources may do it, too, and
/// what in the template needs it.
const SERVICES: [(&str, &str, &str, &str); 9] = [
    (
        "AnnouncementDeadLettersPolicy",
        "UndeliveredAnnouncements",
        "{ArnEquals: {aws:SourceArn: !Ref DefinitionsPublished}}",
        "RedrivePolicy: {deadLetterTargetArn: !GetAtt AnnouncementDeadLetters.Arn}",
    ),
    (
        "ScannerTriggerPolicy",
        "ObjectEventsOfThisAccount",
        "{StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}",
        "{Event: \"s3:ObjectCreated:*\", Topic: !Ref ScannerTrigger}",
    ),
    (
        "AlertsPolicy",
        "AlarmsOfThisAccount",
        "{StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}",
        "AlarmActions: [!Ref Alerts, ",
    ),
    (
        "ScanQueuePolicy",
        "ScannerTrigger",
        "{ArnEquals: {aws:SourceArn: !Ref ScannerTrigger}}",
        "Endpoint: !GetAtt ScanQueue.Arn",
    ),
    (
        "RescanQueuePolicy",
        "RescanTrigger",
        "{ArnEquals: {aws:SourceArn: !Ref RescanTrigger}}",
        "Endpoint: !GetAtt RescanQueue.Arn",
    ),
    (
        "UndeliveredPolicy",
        "Undelivered",
        "{ArnEquals: {aws:SourceArn: [!Ref ScannerTrigger, !Ref RescanTrigger]}}",
        "RedrivePolicy: {deadLetterTargetArn: !GetAtt ScanDeadLetters.Arn}",
    ),
    (
        "ScannerTriggerPolicy",
        "ObjectEventsOfOtherAccounts",
        "{StringEquals: {aws:SourceAccount: !Ref BucketOwnerAccounts}}",
        "Description: Ids of other accounts whose buckets are scanned",
    ),
    (
        "ScanQueuePolicy",
        "ObjectEvents",
        "{ArnEquals: {aws:SourceArn: !GetAtt ObjectEventsRule.Arn}}",
        "Arn: !GetAtt ScanQueue.Arn",
    ),
    (
        "UndeliveredPolicy",
        "UndeliveredObjectEvents",
        "{ArnEquals: {aws:SourceArn: !GetAtt ObjectEventsRule.Arn}}",
        "DeadLetterConfig: {Arn: !GetAtt ScanDeadLetters.Arn}",
    ),
];

/// The other statements of resources' policies, each with the test that fails without it, but for those of TLS: the local stack has none.
const OTHERS: [(&str, &str, &str, &str); 9] = [
    ("DefinitionsBucketPolicy", "MirrorClientsRead", MIRROR, "MirrorClients"),
    ("DefinitionsBucketPolicy", "MirrorClientsList", MIRROR, "MirrorClients"),
    ("DefinitionsBucketPolicy", "MirrorClientsOfEndpointRead", ENDPOINT, "MirrorClientsVpce"),
    ("DefinitionsBucketPolicy", "MirrorClientsOfEndpointList", ENDPOINT, "MirrorClientsVpce"),
    ("ScannedBucketPolicy", "DenyReading", OBJECTS, "INFECTED"),
    ("ScannedBucketPolicy", "DenyRetaggingInfectedObjects", OBJECTS, "INFECTED"),
    // MiniStack knows no condition on the keys of requested tags.
    ("ScannedBucketPolicy", "DenyForgedVerdicts", "tests/documentation/statements.rs", "DenyForgedVerdicts"),
    ("QuarantineBucketPolicy", "DenyReading", "tests/end_to_end/quarantine.rs", "get_status(&user, &copy)"),
    ("QuarantineBucketPolicy", "DenyWithoutTls", "tests/documentation/statements.rs", "DenyWithoutTls"),
];
const MIRROR: &str = "tests/end_to_end/mirror_to_others.rs";
const ENDPOINT: &str = "tests/support/policies.rs";
const OBJECTS: &str = "tests/end_to_end/objects.rs";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Owner, name and lines of each statement.
fn statements(template: &str) -> Vec<(String, String, String)> {
    let resources = template.split_once("\nResources:\n").unwrap().1.split_once("\nOutputs:\n").unwrap().0;
    let (mut owner, mut statements) = (String::new(), Vec::new());
    for line in resources.lines() {
        if let Some(name) = line.strip_prefix("  ").filter(|rest| rest.ends_with(':') && !rest.starts_with([' ', '#']))
        {
            name.trim_end_matches(':').clone_into(&mut owner);
        } else if let Some((_, name)) = line.split_once("- Sid: ") {
            statements.push((owner.clone(), name.to_owned(), String::new()));
        } else if let Some((_, _, text)) = statements.last_mut().filter(|(of, ..)| *of == owner) {
            text.push_str(line);
            text.push('\n');
        }
    }
    statements
}

/// The actions of a statement: `s3:GetObject`, or such in a list.
fn actions(statement: &str) -> BTreeSet<String> {
    let after = statement.split_once("Action:").unwrap().1;
    let end = ["Resource:", "Condition:"].iter().filter_map(|next| after.find(next)).min().unwrap_or(after.len());
    let parts = after[..end].split([',', '\n', '[', ']', ' ']).map(|part| part.trim_matches('"'));
    parts.filter(|part| part.contains(':')).map(str::to_owned).collect()
}

/// The methods of SDK clients that a file calls.
fn calls(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let dense: String = source.split_whitespace().collect();
    let after = dense.split("client.").skip(1);
    let names = after.filter_map(|rest| rest.split_once("()").map(|(name, _)| name.to_owned()));
    names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())).collect()
}

#[test]
fn each_action_of_a_role_is_needed_by_a_call_and_each_call_has_its_action() {
    let template = read("infra/template.yaml");
    let found = statements(&template);
    let of_roles = found.iter().filter(|(owner, ..)| owner.ends_with("Role"));
    let of_roles: BTreeSet<_> =
        of_roles.map(|(owner, name, text)| (owner.as_str(), name.as_str(), actions(text))).collect();
    let listed = ROLES.iter().map(|(owner, name, needs)| {
        (*owner, *name, needs.iter().map(|(action, _)| (*action).to_owned()).collect::<BTreeSet<_>>())
    });
    for (owner, name, actions) in listed {
        let has = of_roles.iter().find(|(of, named, _)| (*of, *named) == (owner, name));
        let has = has.map(|(.., has)| has.clone()).unwrap_or_default();
        let (_, _, needs) = ROLES.iter().find(|(of, named, _)| (*of, *named) == (owner, name)).unwrap();
        if let Some(action) = actions.difference(&has).next() {
            let (_, needed) = needs.iter().find(|(known, _)| known == action).unwrap();
            let (what, file) = match needed {
                Call(file, call) => (*call, *file),
                Missing(file, how) => (*how, *file),
                Service(text) => (*text, "infra/template.yaml"),
            };
            panic!("{owner} may not {action} any more ({name}), and {what} of {file} fails");
        }
        assert_eq!(has, actions, "{owner} may do more by {name} than any call needs");
    }
    // A key is used through the service that holds what it encrypts, and not by itself.
    for (owner, name, text) in found.iter().filter(|(_, _, text)| text.contains("kms:")) {
        assert!(text.contains("Condition: {StringEquals: {kms:ViaService: !Sub "), "{owner}: {name}");
    }
    assert_eq!(of_roles.len(), ROLES.len(), "a statement of a role is not listed here");

    let mut made = BTreeSet::new();
    for (owner, name, needs) in ROLES {
        for (action, needed) in *needs {
            let (path, text) = match needed {
                Call(file, method) => {
                    made.insert(*method);
                    let path = format!("shared/aws/src/{file}");
                    assert!(
                        calls(&read(&path)).contains(*method),
                        "{owner}, {name}: nothing needs {action}: {path} has no {method}"
                    );
                    continue;
                }
                Missing(path, text) => ((*path).to_owned(), text),
                Service(text) => ("infra/template.yaml".to_owned(), text),
            };
            assert!(read(&path).contains(*text), "{owner}, {name}: nothing needs {action}: {path} has no {text}");
        }
    }
    let mut adapters = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/aws/src");
    let files = [folder.clone(), folder.join("records")].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    for entry in files {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            adapters.extend(calls(&fs::read_to_string(path).unwrap()));
        }
    }
    let made: BTreeSet<_> = made.into_iter().chain(COMMANDS_ONLY).map(str::to_owned).collect();
    assert_eq!(adapters, made, "calls of the adapters, and those that have an action here");
}

#[test]
fn each_statement_of_a_resource_has_its_use_and_services_act_for_our_resources_alone() {
    let template = read("infra/template.yaml");
    let found = statements(&template);
    let mut known = BTreeSet::new();
    for (owner, name, condition, needs) in SERVICES {
        let has = found.iter().find(|(of, named, _)| (of.as_str(), named.as_str()) == (owner, name));
        let (_, _, text) = has.unwrap_or_else(|| panic!("{owner} has no {name}, and `{needs}` comes to nothing"));
        assert!(text.contains(&format!("Condition: {condition}")), "{owner}: anybody's resources may do {name}");
        assert!(template.contains(needs), "nothing needs {name}: no `{needs}`");
        known.insert((owner, name));
    }
    for (owner, name, test, shows) in OTHERS {
        let has = found.iter().any(|(of, named, _)| (of.as_str(), named.as_str()) == (owner, name));
        assert!(has, "{owner} has no {name}: see {test}");
        assert!(read(test).contains(shows), "{test} shows nothing of {name}");
        known.insert((owner, name));
    }
    for (owner, name, text) in found.iter().filter(|(owner, ..)| !owner.ends_with("Role")) {
        let is_tls = name == "DenyWithoutTls";
        assert!(is_tls || known.contains(&(owner.as_str(), name.as_str())), "{owner}: {name} is not listed here");
        assert!(!is_tls || text.contains("Condition: {Bool: {aws:SecureTransport: \"false\"}}"), "{owner}: {name}");
        if text.contains("Principal: {Service:") {
            assert!(text.contains("aws:SourceArn") || text.contains("aws:SourceAccount"), "{owner}: {name}");
        }
    }
}

/// Buckets and topics take calls without TLS from whoever makes one.
#[test]
fn each_bucket_and_topic_refuses_calls_without_tls() {
    let template = read("infra/template.yaml");
    let found = statements(&template);
    let resources: Vec<_> = template
        .match_indices("\n    Type: AWS::S3::Bucket\n")
        .chain(template.match_indices("\n    Type: AWS::SNS::Topic\n"))
        .map(|(at, _)| template[..at].lines().last().unwrap().trim().trim_end_matches(':'))
        .collect();
    assert_eq!(resources.len(), 8, "{resources:?}");
    for resource in resources {
        let policy = format!("{resource}Policy");
        let denies = found.iter().find(|(owner, name, _)| *owner == policy && name == "DenyWithoutTls");
        let (_, _, text) = denies.unwrap_or_else(|| panic!("{policy} has no DenyWithoutTls"));
        let whole = [format!("!GetAtt {resource}.Arn"), format!("Resource: !Ref {resource}\n")];
        assert!(whole.iter().any(|whole| text.contains(whole)), "{policy}: {text}");
        assert!(text.contains("Effect: Deny"), "{policy}: {text}");
    }
}
