//! The scanned objects, in S3.

use std::path::Path;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    types::{Tag as S3Tag, Tagging, TaggingDirective},
};
use nacre_core::{
    object::ObjectId,
    port::{ObjectHead, ObjectStore, StoreError},
    tag_policy::Tag,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    bare_etag,
    download::download,
    instant, quoted_etag,
    store_error::{store_error, unexpected},
};

/// The objects of every bucket that the caller's role may read and tag.
///
/// The role needs `s3:ListBucket` and `s3:ListBucketVersions`: without them S3 answers 403 for what is not there, and an
/// object that is gone reads as [`StoreError::Denied`].
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
}

impl S3Objects {
    /// Uses S3 as configured.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Why a HEAD was refused, which has no body to say so: a GET of its first byte has.
    async fn refusal(&self, object: &ObjectId) -> Option<StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        request.range("bytes=0-0").send().await.err().map(store_error)
    }
}

impl ObjectStore for S3Objects {
    async fn head(&self, object: &ObjectId) -> Result<ObjectHead, StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.head_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        let head = match request.send().await {
            Ok(head) => head,
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 400) => {
                return Err(self.refusal(object).await.unwrap_or_else(|| store_error(error)));
            }
            Err(error) => return Err(store_error(error)),
        };
        if head.delete_marker() == Some(true) {
            return Err(StoreError::NotFound);
        }
        let size = head.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(ObjectHead {
            version_id: head.version_id().map(str::to_owned),
            etag: head.e_tag().map(bare_etag).ok_or_else(|| unexpected("HEAD tells no ETag"))?,
            size: size.ok_or_else(|| unexpected("HEAD tells no size"))?,
            written_at: head.last_modified().and_then(instant),
        })
    }

    async fn download(&self, object: &ObjectId, head: &ObjectHead, path: &Path) -> Result<(), StoreError> {
        download(&self.client, object, head, path).await
    }

    async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.get_object_tagging().bucket(bucket).key(key).set_version_id(version_id.clone());
        let response = request.send().await.map_err(store_error)?;
        Ok(response.tag_set().iter().map(|tag| Tag::new(tag.key(), tag.value())).collect())
    }

    async fn put_tags(&self, object: &ObjectId, tags: &[Tag]) -> Result<(), StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let s3_tag = |tag: &Tag| S3Tag::builder().key(&tag.key).value(&tag.value).build();
        let tag_set = tags.iter().map(s3_tag).collect::<Result<_, _>>();
        let tagging = tag_set.and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build());
        let tagging = tagging.map_err(|error| StoreError::Unexpected(error.into()))?;
        let request = self.client.put_object_tagging().bucket(bucket).key(key).set_version_id(version_id.clone());
        request.tagging(tagging).send().await.map(|_| ()).map_err(store_error)
    }

    async fn copy(&self, object: &ObjectId, etag: &str, to: &ObjectId) -> Result<(), StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        // The source is a URL's path: all but what is safe in any URL is encoded, slashes too.
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let version = version_id.as_ref().map(|id| format!("?versionId={}", encoded(id))).unwrap_or_default();
        let source = format!("{}/{}{version}", encoded(bucket), encoded(key));
        let request = self.client.copy_object().copy_source(source).copy_source_if_match(quoted_etag(etag));
        let request = request.bucket(&to.bucket).key(&to.key).tagging_directive(TaggingDirective::Replace);
        request.send().await.map(|_| ()).map_err(store_error)
    }

    async fn write(&self, object: &ObjectId, bytes: Vec<u8>) -> Result<(), StoreError> {
        let request = self.client.put_object().bucket(&object.bucket).key(&object.key).body(bytes.into());
        request.send().await.map(|_| ()).map_err(store_error)
    }

    async fn delete(&self, object: &ObjectId, etag: &str) -> Result<(), StoreError> {
        let ObjectId { bucket, key, version_id } = object;
        let request = self.client.delete_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        // What no version id names may have been written over.
        let request = if version_id.is_some() { request } else { request.if_match(quoted_etag(etag)) };
        match request.send().await.map(|_| ()).map_err(store_error) {
            Err(StoreError::NotFound) => Ok(()),
            outcome => outcome,
        }
    }
}
