//! The policies that the template gives, as the local stack keeps them.

use serde_json::{Value, json};

use crate::{Stack, deploy::physical_name, tests::Running};

/// The statements of a role's only policy, by their names.
async fn statement(stack: &Stack, role: &str, name: &str) -> Option<Value> {
    let iam = aws_sdk_iam::Client::new(stack.sdk_config());
    let role = physical_name(stack.sdk_config(), role).await.unwrap();
    let policies = iam.list_role_policies().role_name(&role).send().await.unwrap();
    let policy = policies.policy_names().iter().find(|name| *name != "batches").unwrap();
    let policy = iam.get_role_policy().role_name(&role).policy_name(policy).send().await.unwrap();
    let document = percent_encoding::percent_decode_str(policy.policy_document()).decode_utf8().unwrap().into_owned();
    let document: Value = serde_json::from_str(&document).unwrap();
    document["Statement"].as_array().unwrap().iter().find(|statement| statement["Sid"] == name).cloned()
}

#[tokio::test]
async fn the_scanner_may_use_the_keys_that_it_is_given_each_for_its_purpose() {
    let key = |name: &str| format!("arn:aws:kms:eu-west-1:210987654321:key/{name}");
    let objects = format!("{},{}", key("a"), key("b"));
    let (quarantine, topic) = (key("quarantine"), key("topic"));
    let running = Running::start_with(&[
        ("KmsKeyArns", &objects),
        ("InfectedObjects", "quarantine"),
        ("QuarantineKmsKeyArn", &quarantine),
        ("ScanStartTopic", "arn:aws:sns:eu-west-1:210987654321:starts"),
        ("TopicKmsKeyArn", &topic),
    ])
    .await;
    for (name, actions, keys, service) in [
        ("ReadEncryptedObjects", json!("kms:Decrypt"), json!([key("a"), key("b")]), "s3"),
        ("EncryptInQuarantine", json!(["kms:GenerateDataKey", "kms:Decrypt"]), json!(quarantine), "s3"),
        ("PublishScanStartsEncrypted", json!(["kms:GenerateDataKey", "kms:Decrypt"]), json!(topic), "sns"),
    ] {
        let statement = statement(&running.stack, "ScannerRole", name).await.unwrap();
        assert_eq!((&statement["Action"], &statement["Resource"]), (&actions, &keys), "{name}");
        let through = json!({ "StringEquals": { "kms:ViaService": format!("{service}.eu-west-1.amazonaws.com") } });
        assert_eq!(statement["Condition"], through, "{name}");
    }
    running.stack.stop().await.unwrap();

    let running = Running::start().await;
    for name in ["ReadEncryptedObjects", "EncryptInQuarantine", "PublishScanStartsEncrypted"] {
        assert_eq!(statement(&running.stack, "ScannerRole", name).await, None, "no key is named");
    }
    running.stack.stop().await.unwrap();
}

#[tokio::test]
async fn an_account_with_rules_of_its_own_may_place_roles_and_let_endpoints_read_the_mirror() {
    let running = Running::start_with(&[
        ("PermissionsBoundary", "arn:aws:iam::aws:policy/PowerUserAccess"),
        ("RolePath", "/nacre/"),
        ("UpdaterReservedConcurrency", "1"),
        ("MirrorClientsVpce", "vpce-1"),
    ])
    .await;
    let stack = &running.stack;
    let iam = aws_sdk_iam::Client::new(stack.sdk_config());
    for role in ["UpdaterRole", "RescannerRole", "ScannerRole"] {
        let name = physical_name(stack.sdk_config(), role).await.unwrap();
        let role = iam.get_role().role_name(name).send().await.unwrap().role.unwrap();
        assert_eq!(role.path(), "/nacre/");
    }
    let policy = stack.s3().get_bucket_policy().bucket(stack.output("DefinitionsBucket")).send().await.unwrap();
    let policy: Value = serde_json::from_str(policy.policy().unwrap()).unwrap();
    let names: Vec<_> = policy["Statement"].as_array().unwrap().iter().map(|statement| &statement["Sid"]).collect();
    let endpoints = ["MirrorClientsOfEndpointRead", "MirrorClientsOfEndpointList"];
    assert_eq!(names, ["DenyWithoutTls", endpoints[0], endpoints[1]]);
    running.stack.stop().await.unwrap();
}
