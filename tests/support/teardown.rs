//! What outlives a stack, and a new stack on it, by the steps of `docs/teardown.md`.

use std::{future::Future, time::Duration};

use aws_sdk_cloudformation::{
    Client,
    types::{Capability, ChangeSetStatus, ChangeSetType, Parameter, ResourceToImport, Stack as Description},
};

use crate::{
    deploy::{STACK_NAME, physical_name},
    tests::{Running, read, tag},
};

/// Waits until the stack is in this state, or is not there where that is none.
async fn await_status(client: &Client, wanted: Option<&str>) {
    let mut found = None;
    for _ in 0..600 {
        let described = client.describe_stacks().stack_name(STACK_NAME).send().await;
        let stacks = described.map(|described| described.stacks.unwrap_or_default()).unwrap_or_default();
        found = stacks.first().and_then(Description::stack_status).map(|status| status.as_str().to_owned());
        if found.as_deref() == wanted || (wanted.is_none() && found.as_deref() == Some("DELETE_COMPLETE")) {
            return;
        }
        assert!(!found.as_deref().is_some_and(|status| status.contains("FAILED")), "{found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the stack is {found:?} and not {wanted:?}");
}

/// The template in the page's block that begins like one.
fn kept_template() -> String {
    let page = include_str!("../../docs/teardown.md");
    let blocks = page.split("\n```").map(|block| block.trim_start_matches('\n'));
    blocks.into_iter().find(|block| block.starts_with("AWSTemplateFormatVersion")).unwrap().to_owned()
}

fn parameter(key: &str, value: &str) -> Parameter {
    Parameter::builder().parameter_key(key).parameter_value(value).build()
}

#[tokio::test]
async fn data_and_the_ban_on_malware_outlive_the_stack_and_a_new_one_takes_them_over() {
    let running = Running::start().await;
    let (stack, sdk) = (&running.stack, running.stack.sdk_config());
    let client = Client::new(sdk);
    let (scanned, definitions) = (stack.output("ScannedBucket"), stack.output("DefinitionsBucket"));
    let (table, user) = (stack.output("ScanRecords"), stack.ordinary_user().await.unwrap());
    stack.s3().put_object().bucket(scanned).key("virus").body(b"x".to_vec().into()).send().await.unwrap();
    assert_eq!(tag(&stack.s3(), scanned, "virus", "INFECTED").await, 200);
    let described = client.describe_stacks().stack_name(STACK_NAME).send().await.unwrap();
    let parameters: Vec<Parameter> = described.stacks()[0].parameters().to_vec();
    client.delete_stack().stack_name(STACK_NAME).send().await.unwrap();
    await_status(&client, None).await;

    assert!(stack.dynamodb().describe_table().table_name(table).send().await.is_ok());
    assert!(stack.s3().head_bucket().bucket(definitions).send().await.is_ok());
    assert_eq!(read(&user, scanned, "virus").await, 403, "the ban stands without the stack");

    let import = |id: &str, of_type: &str, key: &str, name: &str| {
        let resource = ResourceToImport::builder().logical_resource_id(id).resource_type(of_type);
        resource.resource_identifier(key, name).build()
    };
    let names = [parameter("DefinitionsBucketName", definitions), parameter("ScanRecordsTableName", table)];
    let create =
        client.create_change_set().stack_name(STACK_NAME).change_set_name("kept").template_body(kept_template());
    let create = create.change_set_type(ChangeSetType::Import).set_parameters(Some(names.to_vec()));
    let create = create.resources_to_import(import("DefinitionsBucket", "AWS::S3::Bucket", "BucketName", definitions));
    let create = create.resources_to_import(import("ScanRecords", "AWS::DynamoDB::Table", "TableName", table));
    create.send().await.unwrap();
    until(|| async {
        let change = client.describe_change_set().stack_name(STACK_NAME).change_set_name("kept").send().await.unwrap();
        change.status() == Some(&ChangeSetStatus::CreateComplete)
    })
    .await;
    client.execute_change_set().stack_name(STACK_NAME).change_set_name("kept").send().await.unwrap();
    await_status(&client, Some("IMPORT_COMPLETE")).await;

    let replaced = ["DefinitionsBucketName", "ScanRecordsTableName", "ScannedBucketName"];
    let kept =
        parameters.into_iter().filter(|parameter| !replaced.contains(&parameter.parameter_key().unwrap_or_default()));
    let all: Vec<Parameter> = kept.chain(names).chain([parameter("ScannedBucketName", scanned)]).collect();
    let url = format!("{}/nacre-code/template.yaml", stack.endpoint());
    let update = client.update_stack().stack_name(STACK_NAME).template_url(url).set_parameters(Some(all));
    let update = update.capabilities(Capability::CapabilityIam).capabilities(Capability::CapabilityAutoExpand);
    update.send().await.unwrap();
    await_status(&client, Some("UPDATE_COMPLETE")).await;
    assert_eq!(physical_name(sdk, "ScanRecords").await.unwrap(), table);
    assert_eq!(physical_name(sdk, "DefinitionsBucket").await.unwrap(), definitions);
    running.stack.stop().await.unwrap();
}

async fn until<Done: Future<Output = bool>>(done: impl Fn() -> Done) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not in a minute");
}
