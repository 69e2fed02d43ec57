//! Scan sets in a directory that an engine loads: each body in the place of its database, its filter beside it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use futures::future::{try_join, try_join_all};
use nacre_clamav::{context, delta::SignatureFile, load_order::member_rank};
use nacre_core::{
    generation::{manifest::ScanSetEntry, published::read_entry},
    port::DefinitionsStore,
};
use nacre_scan_set::{body, mini};
use tokio::task::spawn_blocking;

use super::filter_file;
use crate::local_definitions::{DefinitionsError, disk};

/// Downloads the bodies and filters of scan sets, all at once, and lays them out; the bodies first, and while filters still come.
/// Returns the sets; a database that is none of theirs is to be laid out whole. `official` says whether the databases are ClamAV's own.
///
/// # Errors
/// [`DefinitionsError`].
pub async fn lay_out(
    store: &impl DefinitionsStore,
    sets: &[ScanSetEntry],
    official: bool,
    directory: &Path,
) -> Result<Vec<ScanSetEntry>, DefinitionsError> {
    let bodies = sets.iter().map(async |set| {
        let body = read_entry(store, &set.body).await?;
        let (of, place) = (set.clone(), directory.to_owned());
        let laid_out = spawn_blocking(move || lay_out_body(&of, &body, official, &place)).await;
        laid_out.unwrap_or_else(|error| Err(disk(directory)(io::Error::other(error))))
    });
    let filters = sets.iter().map(async |set| {
        let filter = read_entry(store, &set.filter).await?;
        let path = directory.join(filter_file(set));
        fs::write(&path, filter).map_err(disk(&path))
    });
    let (laid_out, _) = try_join(try_join_all(bodies), try_join_all(filters)).await?;
    let mut found = Vec::new();
    for (set, is_laid_out) in sets.iter().zip(laid_out) {
        if is_laid_out {
            found.push(set.clone());
        } else {
            let path = directory.join(filter_file(set));
            fs::remove_file(&path).map_err(disk(&path))?;
        }
    }
    if !found.is_empty() {
        for (name, bytes) in mini::fillers() {
            let path = directory.join(name);
            fs::write(&path, bytes).map_err(disk(&path))?;
        }
    }
    Ok(found)
}

/// Writes the body of a scan set in the place of its database: what an `ign2` reaches depends on the order of loading. Returns whether it
/// has such a place.
fn lay_out_body(set: &ScanSetEntry, body: &[u8], official: bool, directory: &Path) -> Result<bool, DefinitionsError> {
    let key = set.body.object_key.clone();
    let mut files = body::files(body).map_err(|source| DefinitionsError::ScanSet { key, source })?;
    // libclamav takes no container of nothing: all that this database has is behind its filter.
    if files.is_empty() {
        return Ok(true);
    }
    if !official {
        // As `engine_form` has them.
        files.sort_by_cached_key(|(name, _)| (member_rank(name), name.clone()));
    }
    let database = set.database.as_str();
    let files: Vec<_> =
        files.into_iter().map(|(name, bytes)| SignatureFile::member(database, true, name, bytes)).collect();
    // It gets the name of a container once it is one.
    let partial = directory.join(format!("{database}.partial"));
    let mut file = File::create(&partial).map_err(disk(&partial))?;
    let mut written = Ok(());
    let name = context::cud_in_pieces(database, &files, |piece| {
        if written.is_ok() {
            written = file.write_all(piece);
        }
    });
    written.map_err(disk(&partial))?;
    match name {
        Some(name) => fs::rename(&partial, directory.join(name)).map_err(disk(&partial)).map(|()| true),
        None => fs::remove_file(&partial).map_err(disk(&partial)).map(|()| false),
    }
}
