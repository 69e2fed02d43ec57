//! Removes what a deleted stack left: a bucket with every version in it, or a table.

use std::error::Error;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{Delete, EncodingType, ObjectIdentifier},
};
use percent_encoding::percent_decode_str;

use super::kept::{Kept, Kind};

/// Why something was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemovalError {
    #[error("{name} could not be {what}: run this again")]
    Call {
        name: String,
        what: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error(
        "{count} objects of {name} could not be deleted, the first with {reason}: remove what keeps them, then run this again"
    )]
    Objects { name: String, count: usize, reason: String },
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    Gone,
    /// These credentials may not see it.
    Unseen,
}

/// What removes.
#[derive(Debug)]
pub(crate) struct Remover {
    s3: aws_sdk_s3::Client,
    tables: aws_sdk_dynamodb::Client,
    /// Whose buckets are touched. The name of a bucket that was deleted may be somebody else's by now.
    account: String,
}

impl Remover {
    pub(crate) fn new(sdk: &SdkConfig, account: String) -> Self {
        Self { s3: aws_sdk_s3::Client::new(sdk), tables: aws_sdk_dynamodb::Client::new(sdk), account }
    }

    /// Whether it is there, and ours.
    pub(crate) async fn presence(&self, kept: &Kept) -> Result<Presence, RemovalError> {
        match kept.kind {
            Kind::Bucket => {
                let head = self.s3.head_bucket().bucket(&kept.name).expected_bucket_owner(&self.account).send().await;
                match head {
                    Ok(_) => Ok(Presence::There),
                    Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => Ok(Presence::Gone),
                    // Either another account has the name by now, or a policy keeps these credentials from it.
                    Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 403 => {
                        Ok(self.owned(&kept.name).await)
                    }
                    Err(error) => Err(failed(&kept.name, "read")(error)),
                }
            }
            Kind::Table => match self.tables.describe_table().table_name(&kept.name).send().await {
                Ok(_) => Ok(Presence::There),
                Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(Presence::Gone),
                Err(error) if error.code() == Some("AccessDeniedException") => Ok(Presence::Unseen),
                Err(error) => Err(failed(&kept.name, "read")(error)),
            },
            // It is there when its bucket is.
            Kind::Part => Ok(Presence::There),
        }
    }

    /// Whether the account's own buckets, which are listed whatever a bucket's policy says, have one of this name.
    async fn owned(&self, name: &str) -> Presence {
        let mut pages = self.s3.list_buckets().into_paginator().send();
        while let Some(page) = pages.next().await {
            let Ok(page) = page else { return Presence::Unseen };
            if page.buckets().iter().any(|bucket| bucket.name() == Some(name)) {
                return Presence::There;
            }
        }
        Presence::Gone
    }

    /// Removes it, and all that is in it.
    pub(crate) async fn remove(&self, kept: &Kept) -> Result<(), RemovalError> {
        match kept.kind {
            Kind::Bucket => {
                self.empty(&kept.name).await?;
                let request = self.s3.delete_bucket().bucket(&kept.name).expected_bucket_owner(&self.account);
                request.send().await.map(|_| ()).map_err(failed(&kept.name, "deleted"))
            }
            Kind::Table => {
                let request = self.tables.delete_table().table_name(&kept.name);
                request.send().await.map(|_| ()).map_err(failed(&kept.name, "deleted"))
            }
            Kind::Part => Ok(()),
        }
    }

    /// Deletes all versions and delete markers; a bucket without versions has one of each object.
    async fn empty(&self, bucket: &str) -> Result<(), RemovalError> {
        loop {
            // From the beginning each time: what was listed before is deleted, or is an error.
            let request = self.s3.list_object_versions().bucket(bucket).expected_bucket_owner(&self.account);
            // A key may have characters that XML has not.
            let page = request.encoding_type(EncodingType::Url).send().await.map_err(failed(bucket, "listed"))?;
            let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
            let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            let listed = versions.chain(markers).filter_map(|(key, version)| Some((decoded(key?), version)));
            let (odd, plain): (Vec<_>, Vec<_>) = listed.partition(|(key, _)| key.contains(char::is_control));
            if odd.is_empty() && plain.is_empty() {
                return Ok(());
            }
            for (key, version) in odd {
                let request = self.s3.delete_object().bucket(bucket).key(key);
                let request = request.set_version_id(version.map(str::to_owned));
                request.expected_bucket_owner(&self.account).send().await.map_err(failed(bucket, "emptied"))?;
            }
            self.delete(bucket, plain).await?;
        }
    }

    /// Deletes at most 1,000 versions, as a page of the listing has them.
    async fn delete(&self, bucket: &str, versions: Vec<(String, Option<&str>)>) -> Result<(), RemovalError> {
        if versions.is_empty() {
            return Ok(());
        }
        let objects = versions.into_iter().map(|(key, version)| {
            ObjectIdentifier::builder().key(key).set_version_id(version.map(str::to_owned)).build()
        });
        let objects = objects.collect::<Result<Vec<_>, _>>().map_err(failed(bucket, "emptied"))?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(failed(bucket, "emptied"))?;
        let request = self.s3.delete_objects().bucket(bucket).expected_bucket_owner(&self.account).delete(delete);
        let answer = request.send().await.map_err(failed(bucket, "emptied"))?;
        let Some(first) = answer.errors().first() else { return Ok(()) };
        let reason = first.code().unwrap_or("no reason given").to_owned();
        Err(RemovalError::Objects { name: bucket.to_owned(), count: answer.errors().len(), reason })
    }
}

/// A key of a listing, which has it form-encoded.
fn decoded(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn failed<E: Error + Send + Sync + 'static>(name: &str, what: &'static str) -> impl FnOnce(E) -> RemovalError {
    let name = name.to_owned();
    move |source| RemovalError::Call { name, what, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_encoded() {
        assert_eq!(decoded("a+b%2Bc/%0A%C3%BC"), "a b+c/\n\u{fc}");
    }
}
