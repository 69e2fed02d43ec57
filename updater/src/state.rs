//! The updater's memory between runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use nacre_shared::{
    definitions::manifest::UPDATER_STATE_KEY,
    port::{DefinitionsStore, StoreError, WriteCondition},
};
use serde::{Deserialize, Serialize};

/// Largest memory that is read.
const MAX_BYTES: u64 = 1 << 20;

/// How often another run may change the memory while we do.
const MAX_RACES: u32 = 8;

/// What the updater remembers. Losing it repeats what is harmless to repeat, but for the cool-downs, which start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Who we are to mirrors: a random UUID, the same for as long as the definitions bucket lives.
    pub installation: String,
    /// The last generation that was announced.
    pub settled_generation: u64,
    /// What we last wrote into the flat prefix, by file name.
    pub flat: BTreeMap<String, FlatFile>,
    /// Until when each mirror wants to be left alone.
    pub cool_downs: BTreeMap<String, DateTime<Utc>>,
    /// Since when each database waits for a CDIFF that is announced.
    pub awaited: BTreeMap<String, DateTime<Utc>>,
    /// When mirrors were last asked.
    pub last_check: Option<DateTime<Utc>>,
    /// When a run last ended well.
    pub last_success: Option<DateTime<Utc>>,
}

/// A file that we wrote into the flat prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlatFile {
    /// SHA-256 of its content.
    pub sha256: String,
    /// The ETag that it got: another one there means that another run wrote it since.
    pub etag: String,
    /// The database's version.
    pub version: u32,
}

impl State {
    /// Reads the memory; it gets its installation UUID when it has none.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(store: &impl DefinitionsStore) -> Result<Self, StoreError> {
        let (state, _) = read(store).await?;
        if state.installation.is_empty() { Self::change(store, |_| ()).await } else { Ok(state) }
    }

    /// Changes the memory, whatever other runs change meanwhile.
    ///
    /// # Errors
    /// The store's; [`StoreError::PreconditionFailed`] when others changed it each time that we were about to.
    pub async fn change(store: &impl DefinitionsStore, change: impl Fn(&mut Self)) -> Result<Self, StoreError> {
        for _ in 0..MAX_RACES {
            let (mut state, etag) = read(store).await?;
            if state.installation.is_empty() {
                state.installation = uuid::Uuid::new_v4().to_string();
            }
            change(&mut state);
            // Serialising to memory cannot fail: keys are strings and numbers finite.
            let bytes = serde_json::to_vec_pretty(&state).unwrap_or_default();
            let condition = etag.as_deref().map_or(WriteCondition::Absent, WriteCondition::Etag);
            match store.write(UPDATER_STATE_KEY, bytes, &[], condition).await {
                Ok(_) => return Ok(state),
                Err(StoreError::PreconditionFailed) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::PreconditionFailed)
    }

    /// Until when this mirror wants to be left alone; `None` when it does not.
    pub fn cooling(&self, mirror: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cool_downs.get(mirror).copied().filter(|until| *until > now)
    }
}

async fn read(store: &impl DefinitionsStore) -> Result<(State, Option<String>), StoreError> {
    match store.read(UPDATER_STATE_KEY, MAX_BYTES).await {
        // A memory that cannot be read is as good as none.
        Ok(stored) => Ok((serde_json::from_slice(&stored.bytes).unwrap_or_default(), Some(stored.etag))),
        Err(StoreError::NotFound) => Ok((State::default(), None)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use nacre_shared::testing::memory_definitions::MemoryDefinitions;

    use super::*;

    #[tokio::test]
    async fn the_installation_is_the_same_for_ever() {
        let store = MemoryDefinitions::default();
        let first = State::load(&store).await.unwrap().installation;
        assert_eq!(uuid::Uuid::parse_str(&first).unwrap().get_version_num(), 4);
        State::change(&store, |state| state.settled_generation = 7).await.unwrap();
        let state = State::load(&store).await.unwrap();
        assert_eq!((state.installation, state.settled_generation), (first, 7));
    }

    #[tokio::test]
    async fn no_change_is_lost_to_a_racing_one() {
        let store = MemoryDefinitions::default();
        State::load(&store).await.unwrap();
        let changes = (0..4).map(|n| {
            let store = &store;
            async move {
                State::change(store, |state| state.cool_downs.extend([(n.to_string(), DateTime::UNIX_EPOCH)])).await
            }
        });
        for change in futures::future::join_all(changes).await {
            change.unwrap();
        }
        assert_eq!(State::load(&store).await.unwrap().cool_downs.len(), 4);
    }

    #[tokio::test]
    async fn a_spoilt_memory_is_as_good_as_none() {
        let store = MemoryDefinitions::default();
        store.write(UPDATER_STATE_KEY, b"nonsense".to_vec(), &[], WriteCondition::Always).await.unwrap();
        assert_eq!(State::load(&store).await.unwrap().settled_generation, 0);
    }
}
