//! Who calls the local AWS: its operator, and ordinary users. The operator is the account's root, whom policies do not bind, so
//! what a policy forbids must be tried as a user.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_iam::types::AccessKey;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use serde_json::json;

use crate::{
    error::{StackError, call},
    ministack::{ACCOUNT, REGION},
};

/// The clients' configuration for the account's root at `endpoint`.
pub(crate) async fn operator(endpoint: &str) -> SdkConfig {
    let credentials = credentials(ACCOUNT, "test");
    let region = Region::new(REGION);
    aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .load()
        .await
}

/// The same for another program.
pub(crate) fn operator_environment(endpoint: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCOUNT.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
}

/// Makes an IAM user who may read, write and tag the objects of `bucket`, and returns the user's configuration.
///
/// # Errors
/// [`StackError::Call`].
pub(crate) async fn ordinary_user(operator: &SdkConfig, name: &str, bucket: &str) -> Result<SdkConfig, StackError> {
    let iam = aws_sdk_iam::Client::new(operator);
    iam.create_user().user_name(name).send().await.map_err(call("making an IAM user"))?;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": ["s3:GetObject*", "s3:PutObject", "s3:PutObject*Tagging", "s3:DeleteObject*Tagging"],
        "Resource": format!("arn:aws:s3:::{bucket}/*"),
    }] });
    let put = iam.put_user_policy().user_name(name).policy_name("objects").policy_document(policy.to_string());
    put.send().await.map_err(call("giving the IAM user a policy"))?;
    let created = iam.create_access_key().user_name(name).send().await.map_err(call("making an access key"))?;
    let (id, secret) = created.access_key().map(key_pair).unwrap_or_default();
    Ok(operator.clone().into_builder().credentials_provider(credentials(&id, &secret)).build())
}

/// Makes an IAM user who may do everything that no policy denies, as an operator's own user may, and returns the environment in which
/// programs are this user.
///
/// # Errors
/// [`StackError::Call`].
pub(crate) async fn administrator(
    operator: &SdkConfig,
    endpoint: &str,
    name: &str,
) -> Result<[(&'static str, String); 4], StackError> {
    let iam = aws_sdk_iam::Client::new(operator);
    iam.create_user().user_name(name).send().await.map_err(call("making an administrator"))?;
    let policy =
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] });
    let put = iam.put_user_policy().user_name(name).policy_name("everything").policy_document(policy.to_string());
    put.send().await.map_err(call("giving the administrator a policy"))?;
    let created = iam.create_access_key().user_name(name).send().await.map_err(call("making an access key"))?;
    let (id, secret) = created.access_key().map(key_pair).unwrap_or_default();
    Ok([
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ])
}

fn key_pair(key: &AccessKey) -> (String, String) {
    (key.access_key_id().to_owned(), key.secret_access_key().to_owned())
}

fn credentials(id: &str, secret: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(id, secret, None, None, "local stack"))
}
