//! The scanned objects, in S3.

use std::path::Path;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    types::{Tag as S3Tag, Tagging, TaggingDirective},
};
use nacre_core::{
    object::{NULL_VERSION, ObjectId},
    port::{Call, ObjectHead, ObjectStore, StoreError},
    tag_policy::Tag,
};

use crate::{
    bare_etag, copy_source,
    download::download,
    instant, quoted_etag,
    store_error::{failed, store_error, unexpected},
};

/// The objects of every bucket that the caller's role may read and tag.
///
/// The role needs `s3:ListBucket` and `s3:ListBucketVersions`: without them S3 answers 403 for what is not there, and a
/// missing object reads as [`StoreError::Denied`].
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
}

impl S3Objects {
    /// Uses S3 as configured.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Whether a write may take the place of this version. The version `null` is overwritten where the bucket keeps no versions or
    /// has stopped to; where it keeps them, a newer version is the latest, and `null` stays as it is.
    async fn is_overwritable(&self, object: &ObjectId) -> Result<bool, StoreError> {
        if object.is_immutable() {
            return Ok(false);
        }
        let latest = match self.head(&ObjectId { version_id: None, ..object.clone() }).await {
            Ok(head) => head.version_id,
            // Behind a delete marker, which only a bucket that keeps versions has, or gone.
            Err(StoreError::NotFound(_)) => return Ok(object.version_id.is_none()),
            Err(error) => return Err(error),
        };
        Ok(latest.is_none_or(|latest| latest == NULL_VERSION))
    }

    /// Why a HEAD was refused, which has no body to say so: a GET of its first byte has.
    async fn refusal(&self, object: &ObjectId) -> Option<StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        request.range("bytes=0-0").send().await.err().map(failed(call("GetObject", object)))
    }
}

fn call(operation: &'static str, object: &ObjectId) -> Call {
    Call::new(operation, object.to_string())
}

impl ObjectStore for S3Objects {
    async fn head(&self, object: &ObjectId) -> Result<ObjectHead, StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let call = call("HeadObject", object);
        let request = self.client.head_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        let head = match request.send().await {
            Ok(head) => head,
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 400) => {
                return Err(self.refusal(object).await.unwrap_or_else(|| store_error(call, error)));
            }
            Err(error) => return Err(store_error(call, error)),
        };
        if head.delete_marker() == Some(true) {
            return Err(StoreError::NotFound(call));
        }
        let size = head.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(ObjectHead {
            version_id: head.version_id().map(str::to_owned),
            etag: head.e_tag().map(bare_etag).ok_or_else(|| unexpected(&call, "the response has no ETag"))?,
            size: size.ok_or_else(|| unexpected(&call, "the response has no size"))?,
            written_at: head.last_modified().and_then(instant),
        })
    }

    async fn download(&self, object: &ObjectId, head: &ObjectHead, path: &Path) -> Result<(), StoreError> {
        download(&self.client, object, head, path).await
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.get_object_tagging().bucket(bucket).key(key).set_version_id(version_id.clone());
        let response = request.send().await.map_err(failed(call("GetObjectTagging", object)))?;
        Ok(response.tag_set().iter().map(|tag| Tag::new(tag.key(), tag.value())).collect())
    }

    async fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> Result<(), StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let call = call("PutObjectTagging", object);
        let s3_tag = |tag: &Tag| S3Tag::builder().key(&tag.key).value(&tag.value).build();
        let tag_set = tags.iter().map(s3_tag).collect::<Result<_, _>>();
        let tagging = tag_set.and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build());
        let tagging = tagging.map_err(|error| StoreError::Unexpected(call.clone(), error.into()))?;
        let request = self.client.put_object_tagging().bucket(bucket).key(key).set_version_id(version_id.clone());
        request.tagging(tagging).send().await.map(|_| ()).map_err(failed(call))
    }

    async fn copy(&self, object: &ObjectId, etag: &str, to: &ObjectId) -> Result<(), StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let source = copy_source(bucket, key, version_id.as_deref());
        let request = self.client.copy_object().copy_source(source).copy_source_if_match(quoted_etag(etag));
        let request = request.bucket(&to.bucket).key(&to.key).tagging_directive(TaggingDirective::Replace);
        request.send().await.map(|_| ()).map_err(failed(call("CopyObject", object)))
    }

    async fn write(&self, object: &ObjectId, bytes: Vec<u8>) -> Result<(), StoreError> {
        let request = self.client.put_object().bucket(&object.bucket).key(&object.key).body(bytes.into());
        request.send().await.map(|_| ()).map_err(failed(call("PutObject", object)))
    }

    async fn delete(&self, object: &ObjectId, etag: &str) -> Result<(), StoreError> {
        let ObjectId { bucket, key, .. } = object;
        let request = self.client.delete_object().bucket(bucket).key(key);
        // A version that can be overwritten is deleted on condition of its bytes, which S3 knows for the latest version alone.
        let request = if self.is_overwritable(object).await? {
            request.if_match(quoted_etag(etag))
        } else {
            request.set_version_id(object.version_id.clone())
        };
        match request.send().await.map(|_| ()).map_err(failed(call("DeleteObject", object))) {
            Err(StoreError::NotFound(_)) => Ok(()),
            outcome => outcome,
        }
    }
}
