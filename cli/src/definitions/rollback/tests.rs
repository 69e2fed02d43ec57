//! Rolling back, against a definitions bucket in memory.

use std::sync::atomic::{AtomicU32, Ordering};

use nacre_core::{
    bucket_keys::POINTER_KEY,
    generation::published::Published,
    port::{Listed, StoreError, Stored, WriteCondition},
    tag_policy::Tag,
};
use nacre_testing::memory_definitions::MemoryDefinitions;

use super::*;
use crate::definitions::generations_of_tests::{at, publish, published};

#[tokio::test]
async fn the_set_before_comes_back_as_a_new_generation_and_stays() {
    let store = published(&[100, 101, 102]).await;
    let restored = rollback(&store, None, at(9)).await.unwrap();
    assert_eq!((restored.generation, restored.restores), (Generation(4), Some(Generation(2))));
    let now = Published::read(&store).await.unwrap();
    assert!(now.pinned);
    assert_eq!(now.manifest.unwrap().databases[0].version.0, 101);
    // Once more goes further back, never to what was just left.
    let again = rollback(&store, None, at(10)).await.unwrap();
    assert_eq!((again.generation, again.restores), (Generation(5), Some(Generation(1))));
    let named = rollback(&store, Some(Generation(3)), at(11)).await.unwrap();
    assert_eq!((named.generation, named.databases[0].version.0), (Generation(6), 102));

    assert_eq!(unpin(&store).await.unwrap(), (Generation(6), true));
    assert!(!Published::read(&store).await.unwrap().pinned);
    assert_eq!(unpin(&store).await.unwrap(), (Generation(6), false));
}

#[tokio::test]
async fn what_cannot_be_restored_is_named_with_the_remedy() {
    let store = published(&[100, 101]).await;
    for (requested, message) in [
        (Some(2), "generation 2 is the published one"),
        (Some(7), "there is no generation 7, or it is not kept any more"),
    ] {
        let error = rollback(&store, requested.map(Generation), at(9)).await.unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("nacre definitions list"), "{error}");
    }
    let error = rollback(&published(&[100]).await, None, at(9)).await.unwrap_err();
    assert!(matches!(error, RollbackError::NoOther), "{error}");
    // A set with a missing body cannot be published again.
    let older = kept(&store, Generation(1)).await.unwrap().remove(0);
    store.remove(&older.databases[0].object_key).await.unwrap();
    let error = rollback(&store, None, at(9)).await.unwrap_err();
    assert!(matches!(error, RollbackError::Publish(_)), "{error}");
    assert_eq!(current(&store).await.unwrap().1.generation, Generation(2));
}

#[tokio::test]
async fn what_other_keys_signed_is_not_restored() {
    let store = published(&[100, 101]).await;
    let mut older = kept(&store, Generation(1)).await.unwrap().remove(0);
    older.trust_anchor = "others#1".into();
    let key = Manifest::object_key(Generation(1));
    store.write(&key, older.to_bytes(), &[], WriteCondition::Always).await.unwrap();
    let error = rollback(&store, Some(Generation(1)), at(9)).await.unwrap_err().to_string();
    assert!(error.starts_with("generation 1 is signed by others#1") && error.contains("name another"), "{error}");
    let error = rollback(&store, None, at(9)).await.unwrap_err();
    assert!(matches!(error, RollbackError::NoOther), "{error}");
}

/// A bucket whose updater publishes, each time another version, just before our writes of one key.
struct Racing {
    store: MemoryDefinitions,
    key: &'static str,
    races: AtomicU32,
}

impl Racing {
    async fn new(key: &'static str, races: u32) -> Self {
        Self { store: published(&[100, 101]).await, key, races: races.into() }
    }
}

impl DefinitionsStore for Racing {
    async fn read(&self, key: &str, limit: u64) -> Result<Stored, StoreError> {
        self.store.read(key, limit).await
    }

    async fn read_changed(&self, key: &str, etag: Option<&str>, limit: u64) -> Result<Option<Stored>, StoreError> {
        self.store.read_changed(key, etag, limit).await
    }

    async fn read_part(&self, key: &str, from: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.store.read_part(key, from, length).await
    }

    async fn write(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[Tag],
        condition: WriteCondition<'_>,
    ) -> Result<String, StoreError> {
        let left = self.races.load(Ordering::SeqCst);
        if key.starts_with(self.key) && left > 0 {
            self.races.store(left - 1, Ordering::SeqCst);
            // Whose manifest of the next generation is there first, ours or theirs, is another matter.
            let before = Published::read(&self.store).await.unwrap();
            let ours = Manifest::object_key(before.next_generation());
            if self.store.read(&ours, 1 << 20).await.is_ok() {
                before
                    .advance(&self.store, &kept(&self.store, before.next_generation()).await.unwrap()[0], false)
                    .await
                    .unwrap();
            } else {
                publish(&self.store, 200 + left, 5).await;
            }
        }
        self.store.write(key, bytes, tags, condition).await
    }

    async fn copy(&self, from: &str, etag: &str, to: &str, tags: &[Tag]) -> Result<String, StoreError> {
        self.store.copy(from, etag, to, tags).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.store.list(prefix, limit).await
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.store.remove(key).await
    }
}

#[tokio::test]
async fn an_updater_that_publishes_meanwhile_changes_neither_the_choice_nor_the_outcome() {
    for (key, races) in [("nacre/manifests/", 1), ("nacre/manifests/", 3), (POINTER_KEY, 1), (POINTER_KEY, 3)] {
        let racing = Racing::new(key, races).await;
        let restored = rollback(&racing, None, at(9)).await.unwrap();
        assert_eq!(restored.databases[0].version.0, 100, "as of when the command began: {key} {races}");
        let now = Published::read(&racing).await.unwrap();
        assert!(now.pinned && now.manifest.as_ref() == Some(&restored), "{key} {races}: {now:?}");
    }
}

#[tokio::test]
async fn an_updater_that_always_wins_is_given_up_on_with_a_remedy() {
    let racing = Racing::new("nacre/manifests/", 1000).await;
    let error = rollback(&racing, None, at(9)).await.unwrap_err();
    assert!(error.to_string().contains("stop the updater's schedule"), "{error}");
    assert!(!Published::read(&racing).await.unwrap().pinned);
}

#[tokio::test]
async fn unpinning_survives_an_updater_that_moves_the_pointer_meanwhile() {
    let racing = Racing::new(POINTER_KEY, 0).await;
    rollback(&racing, None, at(9)).await.unwrap();
    racing.races.store(1, Ordering::SeqCst);
    let (generation, _) = unpin(&racing).await.unwrap();
    let now = Published::read(&racing).await.unwrap();
    assert!(!now.pinned && now.manifest.unwrap().generation == generation);
}
