//! The bucket of packages: made when missing, never trusted by its name alone.

use std::error::Error;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::SdkError,
    types::{BucketLocationConstraint, CreateBucketConfiguration, PublicAccessBlockConfiguration},
};
use nacre_clamav::digest::Sha256Digest;

use super::packages::Package;

/// Why packages were not uploaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error(
        "the bucket {0} is not this account's, or may not be used by these credentials: name another with --artifacts"
    )]
    Foreign(String),
    #[error(
        "the bucket {bucket} of packages cannot be {what}: name another with --artifacts, or check the credentials"
    )]
    Bucket {
        bucket: String,
        what: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("{key} cannot be uploaded to {bucket}")]
    Upload {
        key: String,
        bucket: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The bucket that packages go to when none is named.
pub(crate) fn default_bucket(account: &str, region: &str) -> String {
    format!("nacre-packages-{account}-{region}")
}

/// A bucket of packages.
#[derive(Debug)]
pub(crate) struct Artifacts {
    client: Client,
    bucket: String,
    account: String,
    region: String,
    endpoint: Option<String>,
}

impl Artifacts {
    pub(crate) fn new(sdk: &SdkConfig, bucket: String, account: &str, region: &str) -> Self {
        Self {
            client: Client::new(sdk),
            bucket,
            account: account.to_owned(),
            region: region.to_owned(),
            endpoint: sdk.endpoint_url().map(str::to_owned),
        }
    }

    /// Makes the bucket unless it is there. The name can be guessed, so each call insists on the owner: who makes the bucket before us
    /// would otherwise give us functions of their own.
    pub(crate) async fn prepare(&self) -> Result<(), ArtifactError> {
        let bucket = &self.bucket;
        let head = self.client.head_bucket().bucket(bucket).expected_bucket_owner(&self.account).send().await;
        match head {
            Ok(_) => return Ok(()),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => {}
            Err(SdkError::ServiceError(error)) if matches!(error.raw().status().as_u16(), 301 | 400 | 403) => {
                return Err(ArtifactError::Foreign(bucket.clone()));
            }
            Err(error) => return Err(self.failed("read")(error)),
        }
        let mut create = self.client.create_bucket().bucket(bucket);
        // The oldest region has no name there.
        if self.region != "us-east-1" {
            let location = BucketLocationConstraint::from(self.region.as_str());
            let location = CreateBucketConfiguration::builder().location_constraint(location).build();
            create = create.create_bucket_configuration(location);
        }
        create.send().await.map_err(self.failed("made"))?;
        let block = PublicAccessBlockConfiguration::builder().block_public_acls(true).ignore_public_acls(true);
        let block = block.block_public_policy(true).restrict_public_buckets(true).build();
        let block = self.client.put_public_access_block().bucket(bucket).public_access_block_configuration(block);
        block.expected_bucket_owner(&self.account).send().await.map_err(self.failed("closed to the public"))?;
        Ok(())
    }

    /// Uploads what is not there yet; answers how many were not.
    pub(crate) async fn upload(&self, packages: &[Package]) -> Result<usize, ArtifactError> {
        let mut uploaded = 0;
        for package in packages {
            uploaded += usize::from(self.put(&package.key, &package.bytes).await?);
        }
        Ok(uploaded)
    }

    /// Uploads a template and answers its address.
    pub(crate) async fn upload_template(&self, template: &str) -> Result<String, ArtifactError> {
        let key = template_key(template);
        self.put(&key, template.as_bytes()).await?;
        Ok(self.address(&key))
    }

    fn address(&self, key: &str) -> String {
        let (bucket, region) = (&self.bucket, &self.region);
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        match &self.endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None => format!("https://{bucket}.s3.{region}.{domain}/{key}"),
        }
    }

    async fn has(&self, key: &str, bytes: &[u8]) -> bool {
        let head = self.client.head_object().bucket(&self.bucket).key(key).expected_bucket_owner(&self.account);
        head.send().await.is_ok_and(|head| head.content_length() == i64::try_from(bytes.len()).ok())
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<bool, ArtifactError> {
        let (bucket, account) = (&self.bucket, &self.account);
        if self.has(key, bytes).await {
            return Ok(false);
        }
        let put = self.client.put_object().bucket(bucket).key(key).expected_bucket_owner(account);
        let put = put.body(bytes.to_vec().into()).send().await;
        put.map(|_| true).map_err(|error| ArtifactError::Upload {
            key: key.to_owned(),
            bucket: bucket.clone(),
            source: error.into(),
        })
    }

    fn failed<E: Error + Send + Sync + 'static>(&self, what: &'static str) -> impl FnOnce(E) -> ArtifactError {
        let bucket = self.bucket.clone();
        move |source| ArtifactError::Bucket { bucket, what, source: source.into() }
    }
}

fn template_key(template: &str) -> String {
    format!("nacre/templates/{}.yaml", Sha256Digest::of(template.as_bytes()))
}
