//! Deploys `infra/template.yaml` as an operator does: packages into a bucket, a stack through `CloudFormation`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::{Capability, Parameter, ResourceStatus, Stack, StackStatus};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use sha2::{Digest, Sha256};

use crate::{
    error::{StackError, call},
    ministack::REGION,
    packages::Packages,
};

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
pub(crate) const STACK_NAME: &str = "nacre";
const CODE_BUCKET: &str = "nacre-code";
/// It takes a few seconds; a busy machine may take longer.
const TIME_TO_DEPLOY: Duration = Duration::from_mins(10);

/// Deploys, waits until it is done, and returns the stack's outputs.
///
/// # Errors
/// [`StackError::Deployment`] with the resources that failed, [`StackError::Call`].
pub(crate) async fn deploy(
    sdk: &SdkConfig,
    packages: &Packages,
    parameters: &[(String, String)],
) -> Result<BTreeMap<String, String>, StackError> {
    let uploaded = upload(sdk, packages).await?;
    let template = upload_template(sdk).await?;
    let parameters: BTreeMap<_, _> = uploaded.into_iter().chain(parameters.iter().cloned()).collect();
    let parameters = parameters
        .into_iter()
        .map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build());

    let client = aws_sdk_cloudformation::Client::new(sdk);
    let create = client.create_stack().stack_name(STACK_NAME).template_url(template);
    let create = create.set_parameters(Some(parameters.collect()));
    let create = create.capabilities(Capability::CapabilityIam).capabilities(Capability::CapabilityAutoExpand);
    create.send().await.map_err(call("creating the stack"))?;

    let deadline = Instant::now() + TIME_TO_DEPLOY;
    loop {
        let described = client.describe_stacks().stack_name(STACK_NAME).send().await;
        let described = described.map_err(call("looking at the stack"))?;
        let stack = described.stacks().first();
        match stack.and_then(Stack::stack_status) {
            Some(StackStatus::CreateComplete) => return Ok(stack.map(outputs).unwrap_or_default()),
            Some(StackStatus::CreateInProgress) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            status => {
                let status = status.map_or("absent", StackStatus::as_str).to_owned();
                return Err(StackError::Deployment { status, reasons: failures(&client).await? });
            }
        }
    }
}

/// The physical name of one of the stack's resources.
///
/// # Errors
/// [`StackError::Call`].
#[cfg(test)]
pub(crate) async fn physical_name(sdk: &SdkConfig, resource: &str) -> Result<String, StackError> {
    let client = aws_sdk_cloudformation::Client::new(sdk);
    let described = client.describe_stack_resource().stack_name(STACK_NAME).logical_resource_id(resource).send().await;
    let described = described.map_err(call(format!("looking for {resource}")))?;
    let detail = described.stack_resource_detail();
    Ok(detail.and_then(|detail| detail.physical_resource_id()).unwrap_or_default().to_owned())
}

/// The template's names of the stack's alarms, by their physical names.
///
/// # Errors
/// [`StackError::Call`].
pub(crate) async fn alarms(sdk: &SdkConfig) -> Result<BTreeMap<String, String>, StackError> {
    let client = aws_sdk_cloudformation::Client::new(sdk);
    let described = client.describe_stack_resources().stack_name(STACK_NAME).send().await;
    let described = described.map_err(call("looking for alarms"))?;
    let alarms = described.stack_resources().iter();
    let alarms = alarms.filter(|resource| resource.resource_type() == Some("AWS::CloudWatch::Alarm"));
    let names = |resource: &aws_sdk_cloudformation::types::StackResource| {
        Some((resource.physical_resource_id()?.to_owned(), resource.logical_resource_id()?.to_owned()))
    };
    Ok(alarms.filter_map(names).collect())
}

/// Makes a bucket.
///
/// # Errors
/// [`StackError::Call`].
pub(crate) async fn create_bucket(client: &aws_sdk_s3::Client, name: &str) -> Result<(), StackError> {
    let location = BucketLocationConstraint::from(REGION);
    let location = CreateBucketConfiguration::builder().location_constraint(location).build();
    let create = client.create_bucket().bucket(name).create_bucket_configuration(location);
    create.send().await.map(|_| ()).map_err(call(format!("creating the bucket {name}")))
}

/// Uploads the packages, each under a key that names its content, and returns the parameters that name them.
async fn upload(sdk: &SdkConfig, packages: &Packages) -> Result<Vec<(String, String)>, StackError> {
    let client = aws_sdk_s3::Client::new(sdk);
    create_bucket(&client, CODE_BUCKET).await?;
    let mut parameters = vec![("CodeBucket".to_owned(), CODE_BUCKET.to_owned())];
    for (parameter, package) in [
        ("UpdaterCodeKey", &packages.updater),
        ("RescannerCodeKey", &packages.rescanner),
        ("ScannerCodeKey", &packages.scanner),
    ] {
        let key = format!("{}.zip", hex::encode(Sha256::digest(package)));
        let put = client.put_object().bucket(CODE_BUCKET).key(&key).body(package.clone().into());
        put.send().await.map_err(call("uploading a package"))?;
        parameters.push((parameter.to_owned(), key));
    }
    Ok(parameters)
}

/// Uploads the template beside the packages, and returns its URL: in a call itself, CloudFormation takes no more than 51,200 bytes.
async fn upload_template(sdk: &SdkConfig) -> Result<String, StackError> {
    let put = aws_sdk_s3::Client::new(sdk).put_object().bucket(CODE_BUCKET).key("template.yaml");
    put.body(TEMPLATE.as_bytes().to_vec().into()).send().await.map_err(call("uploading the template"))?;
    Ok(format!("{}/{CODE_BUCKET}/template.yaml", sdk.endpoint_url().unwrap_or_default()))
}

fn outputs(stack: &Stack) -> BTreeMap<String, String> {
    let pairs = stack.outputs().iter();
    pairs.filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))).collect()
}

/// The resources that failed, oldest first: what comes after the first is mostly its consequence.
async fn failures(client: &aws_sdk_cloudformation::Client) -> Result<String, StackError> {
    let events = client.describe_stack_events().stack_name(STACK_NAME).send().await;
    let events = events.map_err(call("reading the stack's events"))?;
    let failed = events.stack_events().iter().rev().filter(|event| {
        matches!(event.resource_status(), Some(ResourceStatus::CreateFailed | ResourceStatus::RollbackInProgress))
    });
    let line = |event: &aws_sdk_cloudformation::types::StackEvent| {
        let reason = event.resource_status_reason().unwrap_or("no reason given");
        format!("{}: {reason}", event.logical_resource_id().unwrap_or("?"))
    };
    Ok(failed.map(line).collect::<Vec<_>>().join("\n"))
}
