//! The updater's state between runs, changed by compare-and-swap.

use nacre_core::bucket_keys::UPDATER_STATE_KEY;
pub use nacre_core::generation::updater_state::{FlatFile, UpdaterState};
use nacre_core::port::{Call, DefinitionsStore, StoreError, WriteCondition};

/// Attempts to change the state while other runs change it.
const MAX_RACES: u32 = 8;

/// Reads the state; it gets its installation UUID when it has none.
///
/// # Errors
/// The store's.
pub async fn load(store: &impl DefinitionsStore) -> Result<UpdaterState, StoreError> {
    let (state, _) = UpdaterState::read(store).await?;
    if state.installation.is_empty() { change(store, |_| ()).await } else { Ok(state) }
}

/// Changes the state, together with the changes of other runs.
///
/// # Errors
/// The store's; [`StoreError::PreconditionFailed`] when other runs changed it in every attempt.
pub async fn change(
    store: &impl DefinitionsStore,
    change: impl Fn(&mut UpdaterState),
) -> Result<UpdaterState, StoreError> {
    for _ in 0..MAX_RACES {
        let (mut state, etag) = UpdaterState::read(store).await?;
        if state.installation.is_empty() {
            state.installation = uuid::Uuid::new_v4().to_string();
        }
        change(&mut state);
        // Serialising to memory cannot fail: keys are strings and numbers finite.
        let bytes = serde_json::to_vec_pretty(&state).unwrap_or_default();
        let condition = etag.as_deref().map_or(WriteCondition::Absent, WriteCondition::Etag);
        match store.write(UPDATER_STATE_KEY, bytes, &[], condition).await {
            Ok(_) => return Ok(state),
            Err(StoreError::PreconditionFailed(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::PreconditionFailed(Call::new("PutObject", UPDATER_STATE_KEY)))
}

#[cfg(test)]
mod tests {
    use nacre_testing::memory_definitions::MemoryDefinitions;

    use chrono::DateTime;

    use super::*;

    #[tokio::test]
    async fn the_installation_is_the_same_for_ever() {
        let store = MemoryDefinitions::default();
        let first = load(&store).await.unwrap().installation;
        assert_eq!(uuid::Uuid::parse_str(&first).unwrap().get_version_num(), 4);
        change(&store, |state| state.settled_generation = 7).await.unwrap();
        let state = load(&store).await.unwrap();
        assert_eq!((state.installation, state.settled_generation), (first, 7));
    }

    #[tokio::test]
    async fn no_change_is_lost_to_a_racing_one() {
        let store = MemoryDefinitions::default();
        load(&store).await.unwrap();
        let changes = (0..4).map(|n| {
            let store = &store;
            async move { change(store, |state| state.cool_downs.extend([(n.to_string(), DateTime::UNIX_EPOCH)])).await }
        });
        for change in futures::future::join_all(changes).await {
            change.unwrap();
        }
        assert_eq!(load(&store).await.unwrap().cool_downs.len(), 4);
    }

    #[tokio::test]
    async fn what_an_earlier_updater_remembered_is_kept() {
        let store = MemoryDefinitions::default();
        let earlier = br#"{"installation": "one", "settled_generation": 7, "cool_downs": {}}"#;
        store.write(UPDATER_STATE_KEY, earlier.to_vec(), &[], WriteCondition::Always).await.unwrap();
        let state = load(&store).await.unwrap();
        assert_eq!((state.installation.as_str(), state.settled_generation, state.freshclam_data), ("one", 7, None));
    }

    #[tokio::test]
    async fn a_spoilt_memory_is_as_good_as_none() {
        let store = MemoryDefinitions::default();
        store.write(UPDATER_STATE_KEY, b"nonsense".to_vec(), &[], WriteCondition::Always).await.unwrap();
        assert_eq!(load(&store).await.unwrap().settled_generation, 0);
    }
}
