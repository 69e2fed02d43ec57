//! The files of mini engines.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nacre_engine_protocol::FILTER_EXTENSION;
use nacre_scan_set::{mini, shard::Hit};

use super::DecideError;

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> DecideError + use<> {
    let path = path.to_owned();
    move |source| DecideError::Disk { path: path.clone(), source }
}

/// Writes what every mini engine of a directory needs of it; returns where.
pub(super) fn write_context(directory: &Path, work: &Path) -> Result<PathBuf, DecideError> {
    let context = work.join("context");
    // What an attempt that failed has left.
    match fs::remove_dir_all(&context) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&context)(error)),
        _ => {}
    }
    fs::create_dir_all(&context).map_err(failed(&context))?;
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let to = context.join(name);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(FILTER_EXTENSION) => {}
            // A database without a scan set is loaded whole: its bytecode runs from its container only.
            Some("cvd" | "cld" | "cud") => fs::hard_link(&path, &to).map_err(failed(&to))?,
            _ => {
                let bytes = fs::read(&path).map_err(failed(&path))?;
                if let Some(needed) = mini::context_of(name, &bytes) {
                    fs::write(&to, needed).map_err(failed(&to))?;
                }
            }
        }
    }
    Ok(context)
}

/// Writes a mini engine's directory.
pub(super) fn write_mini(context: &Path, directory: &Path, hits: &[Hit]) -> Result<(), DecideError> {
    fs::create_dir_all(directory).map_err(failed(directory))?;
    for entry in fs::read_dir(context).map_err(failed(context))? {
        let entry = entry.map_err(failed(context))?;
        let to = directory.join(entry.file_name());
        fs::hard_link(entry.path(), &to).map_err(failed(&to))?;
    }
    for (name, bytes) in mini::files_of(hits) {
        let to = directory.join(name);
        fs::write(&to, bytes).map_err(failed(&to))?;
    }
    Ok(())
}
