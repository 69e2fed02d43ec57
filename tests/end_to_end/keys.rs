//! The KMS keys of a stack: `nacre doctor` names those that do not let its roles in.

use nacre_test_support::deployed::World;
use serde_json::{Value, json};

use crate::{deploy::deploy, operations::nacre};

/// The faults that are found, by their names, and all that was printed.
async fn faults(world: &World) -> (Vec<String>, String) {
    let (_, printed) = nacre(&world.stack, &["doctor", "--json"]).await;
    let name = |line: &str| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned();
    (printed.lines().map(name).collect(), printed)
}

#[tokio::test]
async fn a_key_that_does_not_let_a_role_in_is_named_until_its_policy_does() {
    let world = World::by_command(&[("StalenessLimitHours", "10000000")]).await;
    let kms = aws_sdk_kms::Client::new(world.stack.sdk_config());
    let role = world.stack.output("ScannerRole");
    let account = role.split(':').nth(4).unwrap();
    let policy = |principal: &str| {
        let statement = json!({ "Effect": "Allow", "Action": "kms:*", "Resource": "*",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:{principal}") } });
        json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
    };
    let key = kms.create_key().policy(policy("user/somebody")).send().await.unwrap().key_metadata.unwrap();
    let (id, parameter) = (key.key_id(), format!("KmsKeyArns={}", key.arn().unwrap()));
    let (code, report, printed) = deploy(&world, &["--parameter", &parameter, "--no-self-test"]).await;
    assert_eq!((code, &report["outcome"]), (Some(0), &json!("updated")), "{printed}");

    let (found, printed) = faults(&world).await;
    assert!(!found.is_empty() && found.iter().all(|name| name == "key_refuses"), "{printed}");
    assert!(printed.contains(role) && printed.contains("kms:Decrypt"), "{printed}");
    // New keys leave permissions to IAM, where the template gives them.
    let put = |text: String| kms.put_key_policy().key_id(id).policy_name("default").policy(text).send();
    put(policy("root")).await.unwrap();
    assert_eq!(faults(&world).await.0, [] as [&str; 0]);
    kms.disable_key().key_id(id).send().await.unwrap();
    assert_eq!(faults(&world).await.0, ["key_disabled"]);
    world.end().await;
}
