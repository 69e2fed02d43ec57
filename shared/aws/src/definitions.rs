//! The definitions bucket, in S3.

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{EncodingType, Object, TaggingDirective},
};
use nacre_core::{
    object::form_decoded,
    port::{Call, DefinitionsStore, Listed, StoreError, Stored, WriteCondition},
    tag_policy::Tag,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    bare_etag, copy_source, instant, quoted_etag,
    store_error::{failed, store_error, unexpected},
};

/// One definitions bucket.
#[derive(Clone, Debug)]
pub struct S3Definitions {
    client: Client,
    bucket: String,
}

impl S3Definitions {
    /// Uses this bucket.
    pub fn new(config: &SdkConfig, bucket: &str) -> Self {
        Self { client: Client::new(config), bucket: bucket.to_owned() }
    }

    fn call(&self, operation: &'static str, key: &str) -> Call {
        Call::new(operation, format!("s3://{}/{key}", self.bucket))
    }
}

impl DefinitionsStore for S3Definitions {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        let changed = self.read_changed(key, None, limit).await?;
        changed.ok_or_else(|| unexpected(&self.call("GetObject", key), "an unconditional GET was answered with 304"))
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        let call = self.call("GetObject", key);
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let request = request.set_if_none_match(etag.map(quoted_etag));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 304) => {
                return Ok(None);
            }
            Err(error) => return Err(store_error(call, error)),
        };
        let etag = response.e_tag().map(bare_etag).ok_or_else(|| unexpected(&call, "the response has no ETag"))?;
        let (mut body, mut bytes) = (response.body, Vec::new());
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| StoreError::Unavailable(call.clone(), error.into()))?;
            // Attack: a body without end, whatever its length header says.
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(unexpected(&call, format!("the body has more than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(Stored { bytes, etag }))
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let call = self.call("GetObject", key);
        let range = format!("bytes={from}-{}", from.saturating_add(length.into()).saturating_sub(1));
        let response = self.client.get_object().bucket(&self.bucket).key(key).range(range).send().await;
        let mut body = response.map_err(failed(call.clone()))?.body;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| StoreError::Unavailable(call.clone(), error.into()))?;
            // A store that ignores ranges answers with the whole object.
            if bytes.len() + chunk.len() > length as usize {
                return Err(unexpected(&call, format!("more than the {length} bytes asked for came")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() != length as usize {
            return Err(unexpected(&call, format!("{} of {length} bytes came", bytes.len())));
        }
        Ok(bytes)
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        let call = self.call("PutObject", key);
        let mut request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        // Tags travel with the body: an object without its `md5` tag is never seen by a predecessor's scanner.
        if !tags.is_empty() {
            request = request.tagging(query_string(tags));
        }
        request = match condition {
            WriteCondition::Always => request,
            WriteCondition::Absent => request.if_none_match("*"),
            WriteCondition::Etag(etag) => request.if_match(quoted_etag(etag)),
        };
        match (request.send().await.map_err(failed(call.clone())), condition) {
            (Ok(response), _) => {
                response.e_tag().map(bare_etag).ok_or_else(|| unexpected(&call, "the response has no ETag"))
            }
            // S3 answers 404 for If-Match on a missing key: the race is lost all the same.
            (Err(StoreError::NotFound(_)), WriteCondition::Etag(_)) => Err(StoreError::PreconditionFailed(call)),
            (Err(error), _) => Err(error),
        }
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        let call = self.call("CopyObject", &format!("{from}, to {to},"));
        let request = self
            .client
            .copy_object()
            .copy_source(copy_source(&self.bucket, from, None))
            .copy_source_if_match(quoted_etag(etag));
        let request = request.bucket(&self.bucket).key(to).tagging_directive(TaggingDirective::Replace);
        let response = request.tagging(query_string(tags)).send().await.map_err(failed(call.clone()))?;
        let etag = response.copy_object_result().and_then(|result| result.e_tag()).map(bare_etag);
        etag.ok_or_else(|| unexpected(&call, "the response has no ETag"))
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let call = self.call("ListObjectsV2", prefix);
        // Plain, a control character in one key would make the whole answer XML that cannot be read.
        let request =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let (mut pages, mut found) = (request.into_paginator().send(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed(call.clone()))?;
            let encoded = page.encoding_type() == Some(&EncodingType::Url);
            for object in page.contents() {
                if found.len() == limit {
                    return Err(unexpected(&call, format!("there are more than {limit} keys under {prefix}")));
                }
                found.push(listed(object, encoded, &call)?);
            }
        }
        Ok(found)
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        match deleted.map_err(failed(self.call("DeleteObject", key))) {
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn listed(object: &Object, encoded: bool, call: &Call) -> Result<Listed, StoreError> {
    let missing = |what: &str| unexpected(call, format!("a listed object has no {what}"));
    let modified = object.last_modified().and_then(instant);
    let key = object.key().and_then(|key| if encoded { form_decoded(key) } else { Some(key.to_owned()) });
    Ok(Listed {
        key: key.ok_or_else(|| missing("key"))?,
        size: object.size().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| missing("size"))?,
        etag: object.e_tag().map(bare_etag).ok_or_else(|| missing("ETag"))?,
        modified: modified.ok_or_else(|| missing("time"))?,
    })
}

fn query_string(tags: &[Tag]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = tags.iter().map(|tag| format!("{}={}", encoded(&tag.key), encoded(&tag.value)));
    pairs.collect::<Vec<_>>().join("&")
}
