//! Does to the scanned bucket what the plan says, and writes down what came of it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream};
use nacre_core::{object::ObjectId, tag_policy::Tag};
use nacre_test_support::Stack;

use crate::{
    content::Content,
    plan::{KeyPlan, Step},
};

/// Keys that are worked on at a time.
const UPLOADERS: usize = 12;

/// Messages that may wait: beyond, everybody waits for the scanner, so that kills, duplicates and uploads go on side by side.
pub(crate) const BACKLOG: usize = 100;

/// A version that was written.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) object: ObjectId,
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) content: Content,
    /// The tags that its uploader gave it.
    pub(crate) tags: Vec<Tag>,
    /// Whether it was removed for good.
    pub(crate) removed: bool,
}

/// How far everything is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Versions written.
    pub(crate) written: AtomicUsize,
    /// Messages that wait or are under way, when last counted.
    pub(crate) backlog: AtomicUsize,
}

/// Carries the plan out.
pub(crate) async fn upload(stack: &Stack, keys: &[KeyPlan], progress: &Progress) -> Vec<Version> {
    let versions = stream::iter(keys).map(|key| carry_out(stack, key, progress)).buffer_unordered(UPLOADERS);
    versions.collect::<Vec<_>>().await.concat()
}

async fn carry_out(stack: &Stack, plan: &KeyPlan, progress: &Progress) -> Vec<Version> {
    let (s3, bucket, key) = (stack.s3(), stack.scanned_bucket(), &plan.key);
    let mut versions: Vec<Version> = Vec::new();
    while progress.backlog.load(Ordering::Relaxed) > BACKLOG {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for step in &plan.steps {
        match *step {
            Step::Put { content, salt, tags } => {
                let tags: Vec<_> = (0..tags).map(|n| Tag::new(format!("foreign-{n}"), format!("{salt}"))).collect();
                let bytes = content.bytes(salt);
                let size = bytes.len() as u64;
                let tagging: Vec<_> = tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
                let put = s3.put_object().bucket(bucket).key(key).body(bytes.into());
                let put = put.set_tagging((!tags.is_empty()).then(|| tagging.join("&")));
                let written = put.send().await.unwrap_or_else(|error| panic!("uploading {key:?}: {error:?}"));
                let version_id = written.version_id().map(str::to_owned);
                assert!(version_id.is_some(), "the bucket keeps versions");
                let object = ObjectId::new(bucket, key, version_id);
                let etag = written.e_tag().unwrap_or_default().to_owned();
                versions.push(Version { object, etag, size, content, tags, removed: false });
                progress.written.fetch_add(1, Ordering::Relaxed);
            }
            Step::Remove { after_ms } => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                let version = versions.last_mut().unwrap();
                let delete = s3.delete_object().bucket(bucket).key(key);
                let delete = delete.set_version_id(version.object.version_id.clone()).send().await;
                delete.unwrap_or_else(|error| panic!("removing {}: {error:?}", version.object));
                version.removed = true;
            }
            Step::Hide => {
                let hide = s3.delete_object().bucket(bucket).key(key).send().await;
                hide.unwrap_or_else(|error| panic!("hiding {key:?}: {error:?}"));
            }
            Step::Pause { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
    }
    versions
}
