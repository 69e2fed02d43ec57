//! Reads what a plan is made of, and does what it says.

use std::{collections::BTreeMap, error::Error};

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    types::{NotificationConfiguration, ServerSideEncryptionConfiguration},
};

use super::plan::{Deployed, Found, Plan, PolicyChange};
use crate::{
    deploy::NewValuesError,
    deployment::{Deployment, DeploymentError, Part},
    stack::Stacks,
};

/// Why a bucket was not attached or detached, or not to the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecuteError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Stack(#[from] NewValuesError),
    #[error(
        "the bucket {0} cannot be scanned by a stack in {1}: it is in another region, or does not exist, or these credentials may not see it"
    )]
    Bucket(String, String, #[source] Option<Box<dyn Error + Send + Sync>>),
    #[error("the bucket {0} is not of this account: give --owner with the account that it is of")]
    OtherAccount(String),
    #[error("{of} cannot be read or changed: check that the credentials may call {call}")]
    Call {
        of: String,
        call: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the notifications or the policy of {0} changed meanwhile: run this again")]
    Changed(String),
}

fn failed<E: Error + Send + Sync + 'static>(of: &str, call: &'static str) -> impl FnOnce(E) -> ExecuteError {
    let of = of.to_owned();
    move |error| ExecuteError::Call { of, call, source: error.into() }
}

/// A deployment and S3.
pub(crate) struct Executor<'a> {
    pub(super) deployment: &'a Deployment,
    s3: aws_sdk_s3::Client,
    pub(super) deployed: Deployed,
    pub(super) account: String,
}

impl<'a> Executor<'a> {
    /// Reads the stack.
    pub(crate) async fn open(deployment: &'a Deployment) -> Result<Self, ExecuteError> {
        let trigger = deployment.name(Part::ScannerTrigger, None).await?;
        let mut parts = trigger.split(':').skip(1);
        let partition = parts.next().unwrap_or("aws").to_owned();
        let account = parts.nth(2).unwrap_or_default().to_owned();
        let parameters = deployment.parameters().await?.clone();
        let deployed = Deployed {
            partition,
            trigger,
            scanner_role: deployment.name(Part::ScannerRole, None).await?,
            own: deployment.name(Part::ScannedBucket, None).await?,
            makes_own: parameters.get("ScannedBucketName").is_none_or(String::is_empty),
            parameters,
        };
        Ok(Self { s3: aws_sdk_s3::Client::new(&deployment.sdk), deployment, deployed, account })
    }

    /// That a bucket is of this region and account.
    pub(crate) async fn check(&self, bucket: &str) -> Result<(), ExecuteError> {
        let region = self.deployment.region();
        let refused = |error| ExecuteError::Bucket(bucket.to_owned(), region.clone(), error);
        let head = self.s3.head_bucket().bucket(bucket).send().await.map_err(|error| refused(Some(error.into())))?;
        // S3 publishes to topics of its own region only.
        if head.bucket_region().is_some_and(|its| its != region) {
            return Err(refused(None));
        }
        let own = self.s3.head_bucket().bucket(bucket).expected_bucket_owner(&self.account).send().await;
        own.map(|_| ()).map_err(|_| ExecuteError::OtherAccount(bucket.to_owned()))
    }

    /// What a bucket has.
    pub(crate) async fn read(&self, bucket: &str) -> Result<Found, ExecuteError> {
        let kms_key = match self.s3.get_bucket_encryption().bucket(bucket).send().await {
            Ok(found) => {
                let rules = found
                    .server_side_encryption_configuration()
                    .map(ServerSideEncryptionConfiguration::rules)
                    .unwrap_or_default();
                let default = rules.iter().find_map(|rule| rule.apply_server_side_encryption_by_default());
                let key = default.and_then(|default| default.kms_master_key_id());
                let trigger = &self.deployed.trigger;
                key.and_then(|key| key_arn(key, trigger))
            }
            Err(error) if error.code() == Some("ServerSideEncryptionConfigurationNotFoundError") => None,
            Err(error) => return Err(failed(bucket, "s3:GetEncryptionConfiguration")(error)),
        };
        let (notification, policy) = self.settings(bucket).await?;
        Ok(Found { notification, policy, kms_key })
    }

    /// Notifications and policy.
    async fn settings(&self, bucket: &str) -> Result<(NotificationConfiguration, Option<String>), ExecuteError> {
        let found = self.s3.get_bucket_notification_configuration().bucket(bucket).send().await;
        let found = found.map_err(failed(bucket, "s3:GetBucketNotification"))?;
        let notification = NotificationConfiguration::builder()
            .set_topic_configurations(found.topic_configurations)
            .set_queue_configurations(found.queue_configurations)
            .set_lambda_function_configurations(found.lambda_function_configurations)
            .set_event_bridge_configuration(found.event_bridge_configuration)
            .build();
        let policy = match self.s3.get_bucket_policy().bucket(bucket).send().await {
            Ok(found) => found.policy,
            Err(error) if error.code() == Some("NoSuchBucketPolicy") => None,
            Err(error) => return Err(failed(bucket, "s3:GetBucketPolicy")(error)),
        };
        Ok((notification, policy))
    }

    /// Attaches: the stack may read the bucket before its events come.
    pub(crate) async fn attach(&self, plan: &Plan, found: &Found) -> Result<(), ExecuteError> {
        self.give(&plan.parameters).await?;
        self.unchanged(plan, found).await?;
        self.set_policy(plan).await?;
        self.set_notification(plan).await
    }

    /// Detaches: the stack may read the bucket as long as its events come.
    pub(crate) async fn detach(&self, plan: &Plan, found: &Found) -> Result<(), ExecuteError> {
        self.unchanged(plan, found).await?;
        self.set_notification(plan).await?;
        self.set_policy(plan).await?;
        self.give(&plan.parameters).await
    }

    /// Gives the stack new parameters.
    pub(crate) async fn give(&self, parameters: &BTreeMap<String, String>) -> Result<(), ExecuteError> {
        if !parameters.is_empty() {
            Stacks::new(&self.deployment.sdk).give(self.deployment.stack(), parameters).await?;
        }
        Ok(())
    }

    /// That nobody changed what is about to be written over: S3 has no conditional form of either call.
    async fn unchanged(&self, plan: &Plan, found: &Found) -> Result<(), ExecuteError> {
        let (notification, policy) = self.settings(&plan.bucket).await?;
        if notification == found.notification && policy == found.policy {
            Ok(())
        } else {
            Err(ExecuteError::Changed(plan.bucket.clone()))
        }
    }

    async fn set_policy(&self, plan: &Plan) -> Result<(), ExecuteError> {
        let bucket = &plan.bucket;
        match &plan.policy {
            PolicyChange::Unchanged => Ok(()),
            PolicyChange::Put(policy) => {
                let put =
                    self.s3.put_bucket_policy().bucket(bucket).policy(policy).expected_bucket_owner(&self.account);
                put.send().await.map(|_| ()).map_err(failed(bucket, "s3:PutBucketPolicy"))
            }
            PolicyChange::Delete => {
                let delete = self.s3.delete_bucket_policy().bucket(bucket).expected_bucket_owner(&self.account);
                delete.send().await.map(|_| ()).map_err(failed(bucket, "s3:DeleteBucketPolicy"))
            }
        }
    }

    async fn set_notification(&self, plan: &Plan) -> Result<(), ExecuteError> {
        let Some(notification) = &plan.notification else { return Ok(()) };
        let put = self.s3.put_bucket_notification_configuration().bucket(&plan.bucket);
        let put = put.notification_configuration(notification.clone()).expected_bucket_owner(&self.account);
        put.send().await.map(|_| ()).map_err(failed(&plan.bucket, "s3:PutBucketNotification"))
    }
}

/// The ARN of a key as a bucket's encryption names it; `None` of S3's own, and of an alias, of which only KMS knows the key.
fn key_arn(key: &str, trigger: &str) -> Option<String> {
    if key.contains("alias/") {
        return None;
    }
    if key.starts_with("arn:") {
        return Some(key.to_owned());
    }
    // arn:PARTITION:sns:REGION:ACCOUNT:NAME
    let parts: Vec<&str> = trigger.split(':').collect();
    let [_, partition, _, region, account, ..] = parts[..] else { return None };
    Some(format!("arn:{partition}:kms:{region}:{account}:key/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_arn() {
        let trigger = "arn:aws-cn:sns:cn-north-1:1:nacre-ScannerTrigger";
        assert_eq!(key_arn("1234-ab", trigger).unwrap(), "arn:aws-cn:kms:cn-north-1:1:key/1234-ab");
        assert_eq!(key_arn("arn:aws:kms:eu-west-1:1:key/2", trigger).unwrap(), "arn:aws:kms:eu-west-1:1:key/2");
        assert_eq!(key_arn("arn:aws:kms:eu-west-1:1:alias/aws/s3", trigger), None);
    }
}
