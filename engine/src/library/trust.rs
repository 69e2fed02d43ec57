//! Objects that the definitions trust by their digests.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
    time::Instant,
};

use nacre_engine_protocol::{Failure, Limits};

use super::{LoadedEngine, internal, milliseconds};
use crate::observation::{Observation, observe};

impl LoadedEngine {
    /// The targets whose matchers ran on an object that the definitions trust by its digest (`fp`, `sfp`); 0 when they do not.
    ///
    /// libclamav takes back every match on such an object, those of the probes too, so that it seems not to have been matched on at
    /// all. The object with a byte more has another digest: where the probes match on that, only trust explains their silence, and what
    /// else matches there is what the definitions take back.
    pub(super) fn trusted_targets(
        &mut self,
        seen: &Observation,
        file: &File,
        limits: &Limits,
        scratch: &Path,
        started: Instant,
    ) -> Result<u16, Failure> {
        // A program may be trusted by its certificate as well, and what libclamav ignores is not matched on with any digest.
        let is_silent = seen.alerts.is_empty()
            && seen.programs == 0
            && seen.layers.first().is_some_and(|layer| layer.file_type != "CL_TYPE_IGNORED");
        let Some(left) =
            limits.max_scan_time_ms.checked_sub(milliseconds(started.elapsed()).try_into().unwrap_or(u32::MAX))
        else {
            return Ok(0);
        };
        if !is_silent || left == 0 {
            return Ok(0);
        }
        let copy = scratch.join("with-a-byte-more");
        let longer = longer_copy(file, &copy).map_err(|error| internal("cannot copy the object", &error))?;
        let more = Limits {
            max_file_size: limits.max_file_size.saturating_add(1),
            max_scan_size: limits.max_scan_size.saturating_add(1),
            max_scan_time_ms: left,
            ..*limits
        };
        self.configure(&more, scratch)?;
        let (_, seen) = observe(|| self.engine.scan(&longer));
        Ok(self.probes.sort(seen.alerts).targets)
    }
}

/// An open copy of a file with a line's end after it, at `path`, which is removed.
fn longer_copy(file: &File, path: &Path) -> io::Result<File> {
    let mut copy = File::options().read(true).write(true).create_new(true).open(path)?;
    fs::remove_file(path)?;
    let mut file = file;
    file.rewind()?;
    io::copy(&mut file, &mut copy)?;
    copy.write_all(b"\n")?;
    copy.rewind()?;
    Ok(copy)
}
