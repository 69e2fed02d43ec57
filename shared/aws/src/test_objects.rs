//! The objects of self-tests, in S3.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use nacre_core::{
    object::ObjectId,
    port::{Call, Reading, StoreError, TestObjects},
    tag_policy::Tag,
};

use crate::store_error::failed;

/// Objects under the prefix that the caller's role may write.
#[derive(Clone, Debug)]
pub struct S3TestObjects {
    client: Client,
}

impl S3TestObjects {
    /// Uses S3 as configured.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }
}

fn call(operation: &'static str, object: &ObjectId) -> Call {
    Call::new(operation, object.to_string())
}

impl TestObjects for S3TestObjects {
    async fn upload(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<ObjectId, StoreError> {
        let object = ObjectId::new(bucket, key, None);
        let request = self.client.put_object().bucket(bucket).key(key).body(bytes.into());
        let response = request.send().await.map_err(failed(call("PutObject", &object)))?;
        Ok(object.at_version(response.version_id().map(str::to_owned)))
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.get_object_tagging().bucket(bucket).key(key).set_version_id(version_id.clone());
        let response = request.send().await.map_err(failed(call("GetObjectTagging", object)))?;
        Ok(response.tag_set().iter().map(|tag| Tag::new(tag.key(), tag.value())).collect())
    }

    async fn read(&self, object: &ObjectId) -> Result<Reading, StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        match request.send().await.map(|_| ()).map_err(failed(call("GetObject", object))) {
            Ok(()) => Ok(Reading::Readable),
            Err(StoreError::Denied(..)) => Ok(Reading::Refused),
            Err(StoreError::NotFound(_)) => Ok(Reading::Missing),
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, object: &ObjectId) -> Result<(), StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.delete_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        match request.send().await.map(|_| ()).map_err(failed(call("DeleteObject", object))) {
            Err(StoreError::NotFound(_)) => Ok(()),
            outcome => outcome,
        }
    }
}
