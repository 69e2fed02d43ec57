//! The first generation of definitions: what the stack's own update published, or one more attempt.

use std::{error::Error, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_lambda::{primitives::Blob, types::InvocationType};
use nacre_aws::S3Definitions;
use nacre_core::{
    generation::{
        Generation,
        published::{PointerRead, PublishedError, read_pointer},
        updater_state::UpdaterState,
    },
    port::StoreError,
};
use tokio::time::{Instant, sleep};

use crate::stack::spinner;

/// How often the definitions bucket is read.
const INTERVAL: Duration = Duration::from_secs(2);

/// The updater's timeout, and what Lambda takes besides.
const TIME_LIMIT: Duration = Duration::from_mins(16);

/// Why it is not known whether anything is published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerationError {
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("the updater's memory cannot be read")]
    Memory(#[source] StoreError),
    #[error("{0} cannot be invoked: check that the credentials may call lambda:InvokeFunction")]
    Invoke(String, #[source] Box<dyn Error + Send + Sync>),
}

/// What is published.
pub(crate) async fn published(store: &S3Definitions) -> Result<Option<Generation>, PublishedError> {
    Ok(match read_pointer(store, None).await? {
        PointerRead::Read { pointer, .. } => Some(pointer.generation),
        PointerRead::Missing | PointerRead::Unchanged => None,
    })
}

/// Runs the updater, unless something is published, and waits until it has ended; `None` when that published nothing.
///
/// It is invoked as an event: a client that waited for the response would give up before the updater is done, and invoke it again.
pub(crate) async fn publish(
    sdk: &SdkConfig,
    store: &S3Definitions,
    function: &str,
) -> Result<Option<Generation>, GenerationError> {
    if let Some(generation) = published(store).await? {
        return Ok(Some(generation));
    }
    let last_check = || async {
        let (memory, _) = UpdaterState::read(store).await.map_err(GenerationError::Memory)?;
        Ok::<_, GenerationError>(memory.last_check)
    };
    let before = last_check().await?;
    let request = aws_sdk_lambda::Client::new(sdk).invoke().function_name(function);
    let request = request.invocation_type(InvocationType::Event).payload(Blob::new("{}"));
    request.send().await.map_err(|error| GenerationError::Invoke(function.to_owned(), error.into()))?;
    let bar = spinner();
    bar.set_message("the updater fetches definitions, tests them and publishes them");
    let deadline = Instant::now() + TIME_LIMIT;
    let mut has_ended = false;
    while !has_ended && Instant::now() < deadline {
        sleep(INTERVAL).await;
        // Written when a run ends. Read first, so that what that run published is seen.
        has_ended = last_check().await? != before;
        if let Some(generation) = published(store).await? {
            bar.finish_and_clear();
            return Ok(Some(generation));
        }
    }
    bar.finish_and_clear();
    Ok(None)
}
