//! Mirrors whole CVDs for clients that take nothing else.

use std::path::Path;

use nacre_clamav::database::ContainerKind;
use nacre_core::{
    generation::manifest::DatabaseEntry,
    port::{DefinitionsStore, Topic},
    telemetry::error_chain,
};

use super::{UpdateError, Updater};
use crate::{
    mirror::{Advertised, Mirrors},
    publish::{PublishError, Publisher},
};

impl<Store: DefinitionsStore, Announcements: Topic> Updater<'_, Store, Announcements> {
    /// Mirrors whole CVDs where CDIFFs have led us past them: only their makers can make them. They are for others, so that
    /// no trouble with them fails a run.
    pub(super) async fn serve_cvds(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
        scratch: &Path,
    ) -> Result<(), UpdateError> {
        let Some(flat) = bucket.flat.as_ref().filter(|flat| flat.keep_cvds) else { return Ok(()) };
        // freshclam is configured to take whole CVDs, which are published as they are; our own client is not served.
        if self.freshclam.is_some() {
            return Ok(());
        }
        let Some(manifest) = bucket.published().await?.manifest else { return Ok(()) };
        let state = bucket.state().await?;
        for entry in manifest.databases.iter().filter(|entry| entry.kind == ContainerKind::Cld) {
            let file = format!("{}.cvd", entry.name);
            let served = state.flat.get(&file).map_or(0, |file| file.version);
            if served >= entry.version.0 || mirrors.cooling().is_some() {
                continue;
            }
            let there = mirrors.advertised(&entry.name, None).await;
            if !there.is_ok_and(|there| there.version.0 > served && there.kind == ContainerKind::Cvd) {
                continue;
            }
            let wanted = Advertised { version: entry.version, kind: ContainerKind::Cvd };
            match self.database_updater(mirrors, scratch, true).fetch_full(&entry.name, wanted).await {
                // Only what was tested, as its makers packed it.
                Ok(full) if DatabaseEntry::of(&full.verified).same_content(entry) => {
                    for (file, bytes) in full.signed_files {
                        bucket.put_signed_file(&file, bytes).await?;
                    }
                    let written = flat.write(&DatabaseEntry::of(&full.verified), full.file).await;
                    let written = written.map_err(PublishError::from)?;
                    bucket.remember(|state| drop(state.flat.insert(file.clone(), written.clone()))).await?;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(file, cause = error_chain(&error), "whole database not mirrored"),
            }
        }
        Ok(())
    }
}
