//! The last passes, as their records have them.

use nacre_core::{
    generation::manifest::Manifest,
    port::DefinitionsStore,
    rescan::pass::{Pass, PassStoreError, Progress, StoredPass, is_cancelled, read_pass, reports},
};

/// Most passes that are shown.
const PASSES: usize = 10;

/// The last passes of these generations, newest first.
///
/// # Errors
/// The store's.
pub(super) async fn last(
    store: &impl DefinitionsStore,
    generations: &[Manifest],
) -> Result<Vec<(Pass, Progress)>, PassStoreError> {
    let mut passes = Vec::new();
    for manifest in generations {
        let Some(StoredPass { pass, .. }) = read_pass(store, manifest.generation).await? else { continue };
        let progress = pass.progress(&reports(store, pass.id).await?, is_cancelled(store, pass.id).await?);
        passes.push((pass, progress));
        if passes.len() >= PASSES {
            break;
        }
    }
    Ok(passes)
}
