//! What an object store must do.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use nacre_core::{
    object::ObjectId,
    port::{ObjectHead, ObjectStore, StoreError},
    tag_policy::Tag,
};

/// Keys that a careless implementation mangles.
pub const AWKWARD_KEYS: [&str; 6] =
    ["with space", "plus+and%percent%2B", "ünï/çødé €", "../../etc/passwd", "a//b/", "?versionId=null&x=#"];

/// Versions in a bucket that keeps them.
#[derive(Clone, Debug)]
pub struct Versions {
    /// An older version, with the content `older` and no tags.
    pub older: ObjectId,
    /// The latest version of the same key, with the content `latest` and no tags.
    pub latest: ObjectId,
    /// A version of the same key that was deleted for good.
    pub removed: ObjectId,
    /// A delete marker, the latest version of another key.
    pub marker: ObjectId,
}

/// Objects are read and tagged at exactly the version that is named; `scratch` is an empty directory.
///
/// # Panics
/// When a law is broken.
pub async fn objects_are_exact(store: &impl ObjectStore, versions: &Versions, scratch: &Path) {
    let Versions { older, latest, removed, marker } = versions;
    let head = store.head(older).await.expect("the older version is there");
    assert_eq!((&head.version_id, head.size), (&older.version_id, 5), "HEAD answers for the named version");
    assert!(head.written_at.is_some(), "HEAD says when it was written");
    assert!(!head.etag.contains('"'), "an ETag comes without its quotes");
    let unnamed = ObjectId { version_id: None, ..older.clone() };
    let current = store.head(&unnamed).await.expect("the latest version is there");
    assert_eq!(current.version_id, latest.version_id, "without a version the latest is meant");

    tags_stay_on_their_version(store, older, latest).await;
    bytes_are_those_that_head_says(store, older, &head, scratch).await;

    let hidden = ObjectId { version_id: None, ..marker.clone() };
    let missing = ObjectId { key: "no such key".into(), ..unnamed };
    let elsewhere = ObjectId { bucket: format!("{}-no-such-bucket", older.bucket), ..missing.clone() };
    for object in [removed, marker, &hidden, &missing, &elsewhere] {
        let found = store.head(object).await;
        assert!(matches!(found, Err(StoreError::NotFound(_))), "{object} is not there: {found:?}");
        let read = store.download(object, &head, &scratch.join("absent")).await;
        assert!(matches!(read, Err(StoreError::NotFound(_))), "{object} has no bytes: {read:?}");
        let tags = store.tags(object).await;
        assert!(matches!(tags, Err(StoreError::NotFound(_))), "{object} has no tags: {tags:?}");
        let tagged = store.put_tags(object, &[Tag::new("k", "v")]).await;
        assert!(matches!(tagged, Err(StoreError::NotFound(_))), "{object} takes no tags: {tagged:?}");
    }
}

/// In a bucket that keeps no versions, an object that was overwritten is not deleted, whether it is named without a version or as
/// `null`, as records name it.
///
/// # Panics
/// When a law is broken.
pub async fn overwritten_objects_are_not_deleted(store: &impl ObjectStore, bucket: &str) {
    for version in [None, Some("null".to_owned())] {
        let object = ObjectId::new(bucket, "to be deleted", version);
        store.write(&object, b"scanned".into()).await.expect("it can be written");
        let scanned = store.head(&object).await.expect("it is there").etag;
        store.write(&object, b"newer".into()).await.expect("it can be overwritten");
        let lost = store.delete(&object, &scanned).await;
        assert!(matches!(lost, Err(StoreError::PreconditionFailed(_))), "{object}: {lost:?}");
        let newer = store.head(&object).await.expect("the newer bytes stay").etag;
        store.delete(&object, &newer).await.expect("these bytes can be deleted");
        assert!(matches!(store.head(&object).await, Err(StoreError::NotFound(_))), "{object} is deleted");
        store.delete(&object, &newer).await.expect("a missing object is no error");
    }
}

async fn tags_stay_on_their_version(store: &impl ObjectStore, older: &ObjectId, latest: &ObjectId) {
    let foreign = [Tag::new("owner", "someone else")];
    store.put_tags(latest, &foreign).await.expect("the latest version takes tags");
    assert!(store.tags(older).await.expect("it may have tags").is_empty(), "tags stay on the named version");
    for tags in [vec![Tag::new("a key", "a+value=1/@:_"), Tag::new("b", "")], vec![Tag::new("c", "1")], vec![]] {
        store.put_tags(older, &tags).await.expect("the older version takes tags");
        let mut found = store.tags(older).await.expect("it may have tags");
        found.sort();
        assert_eq!(found, tags, "a new set takes the place of the whole old one");
    }
    assert_eq!(store.tags(latest).await.expect("it has tags"), foreign, "another version's tags survive");
}

async fn bytes_are_those_that_head_says(store: &impl ObjectStore, older: &ObjectId, head: &ObjectHead, scratch: &Path) {
    let path = scratch.join("older");
    store.download(older, head, &path).await.expect("the older version can be read");
    assert_eq!(fs::read(&path).expect("it was written"), b"older", "the named version's bytes arrive");
    let mode = fs::metadata(&path).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads an object's bytes");
    assert!(store.download(older, head, &path).await.is_err(), "no file that exists is written over");

    let unnamed = ObjectId { version_id: None, ..older.clone() };
    let other = store.download(&unnamed, head, &scratch.join("other")).await;
    assert!(matches!(other, Err(StoreError::PreconditionFailed(_))), "bytes of another ETag do not arrive: {other:?}");
    assert!(!scratch.join("other").exists(), "nothing is written of bytes with another ETag");
    for size in [4, 6] {
        let wrong = ObjectHead { size, ..head.clone() };
        let cut = store.download(older, &wrong, &scratch.join(size.to_string())).await;
        assert!(matches!(cut, Err(StoreError::Unexpected(..))), "5 bytes are not {size}: {cut:?}");
        let written = fs::metadata(scratch.join(size.to_string())).map_or(0, |file| file.len());
        assert!(written <= size, "no more is written than HEAD says");
    }
}

/// Objects of every key can be read and tagged; each has its own key as content, in a bucket that never kept versions.
///
/// # Panics
/// When a law is broken.
pub async fn awkward_keys_are_found(store: &impl ObjectStore, objects: &[ObjectId], scratch: &Path) {
    for (n, object) in objects.iter().enumerate() {
        let head = store.head(object).await.expect("it is there");
        assert_eq!(head.version_id, None, "{object}: a bucket that never kept versions names none");
        let path = scratch.join(format!("awkward-{n}"));
        store.download(object, &head, &path).await.expect("it can be read");
        assert_eq!(fs::read(&path).expect("it was written"), object.key.as_bytes(), "{object} is itself");
        let tags = [Tag::new("n", n.to_string())];
        store.put_tags(object, &tags).await.expect("it takes tags");
        assert_eq!(store.tags(object).await.expect("it has tags"), tags, "{object} has its own tags");
    }
}
