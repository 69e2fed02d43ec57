//! Why freshclam downloaded nothing, by how it ended.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    output::last_lines,
    process::{Ended, Limits},
};

/// The signal of a file that outgrew its limit, on the processors that we run on.
const FILE_TOO_LARGE: i32 = 25;

/// libcurl's `CURLE_WRITE_ERROR`, as freshclam prints it.
const WRITE_CUT_SHORT: &str = "Download failed (23)";

/// Why freshclam downloaded no databases.
#[derive(Debug, thiserror::Error)]
pub enum FreshclamError {
    /// There is no such program.
    #[error(
        "there is no freshclam beside the updater, nor on PATH: deploy the package that `make package` builds, install \
         clamav-freshclam, or set NACRE_FETCHER=native where the mirror serves other clients"
    )]
    NotFound,
    /// A value cannot be written into `freshclam.conf`.
    #[error(
        "{setting} cannot be given to freshclam as its {name}: each value must be of ASCII without blanks, quotes and #, and short"
    )]
    Value {
        /// Our setting that it comes from.
        setting: &'static str,
        /// freshclam's name of it.
        name: &'static str,
    },
    /// The scratch disk failed.
    #[error("{path} could not be read or written")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not start.
    #[error("{program} could not be started")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long, and was killed.
    #[error("freshclam did not end within {} s: the mirror is too slow, or the function's timeout too short ({said})", limit.as_secs())]
    TooSlow {
        /// How long it had.
        limit: Duration,
        /// The last lines of its output.
        said: String,
    },
    /// It was sent more than is taken, or than there is room for.
    #[error("a file of freshclam's is larger than {limit} bytes (NACRE_MAX_DATABASE_BYTES), or the disk is full")]
    TooLarge {
        /// How many bytes are taken.
        limit: usize,
    },
    /// The mirrors do not want to be asked, and it did not say for how long.
    #[error("freshclam was refused ({said})")]
    Refused {
        /// The last lines of its output.
        said: String,
    },
    /// It failed otherwise.
    #[error("freshclam failed: {reason} ({said})")]
    Failed {
        /// What its exit status means, or how it was ended.
        reason: String,
        /// The last lines of its output.
        said: String,
    },
}

pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> FreshclamError {
    let path = path.to_owned();
    move |source| FreshclamError::Disk { path, source }
}

/// The error of a run that did not end well. Pure.
pub(super) fn failure(ended: Ended, limits: Limits, printed: &str) -> FreshclamError {
    let said = last_lines(printed);
    match ended {
        Ended::OutOfTime => FreshclamError::TooSlow { limit: limits.time, said },
        Ended::Signalled(FILE_TOO_LARGE) => FreshclamError::TooLarge { limit: limits.file_bytes },
        // The last write before that is cut short, which already ends a download.
        Ended::Exited(_) if printed.contains(WRITE_CUT_SHORT) => FreshclamError::TooLarge { limit: limits.file_bytes },
        Ended::Signalled(signal) => FreshclamError::Failed { reason: format!("signal {signal} ended it"), said },
        Ended::Exited(17) => FreshclamError::Refused { said },
        Ended::Exited(status) => FreshclamError::Failed { reason: meaning(status), said },
    }
}

/// What an exit status means. Source: libfreshclam.h `fc_error_t`, ClamAV 1.4 and 1.5.
fn meaning(status: i32) -> String {
    let meaning = match status {
        2 => "it could not begin",
        3 | 4 | 10 => "its directory could not be used",
        5 => "no connection could be made, or it broke off",
        6 => "a mirror sent an empty file",
        7 => "a database was damaged, or not signed by ClamAV",
        9 => "its settings are wrong",
        11 => "a file could not be downloaded",
        12 => "the mirror's files are not of one time",
        14 => "CDIFFs could not be applied",
        15 => "there was not enough memory",
        126 | 127 => "it could not be run here: a library of its may be missing",
        _ => return format!("exit status {status}"),
    };
    format!("{meaning} (exit status {status})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_distinguished() {
        let limits = Limits { time: Duration::from_secs(9), file_bytes: 1000 };
        let text = |ended| failure(ended, limits, "WARNING: one\nERROR: two\n").to_string();
        for (ended, expected) in [
            (Ended::OutOfTime, "freshclam did not end within 9 s"),
            (Ended::Signalled(25), "larger than 1000 bytes"),
            (Ended::Signalled(9), "signal 9 ended it"),
            (Ended::Exited(17), "freshclam was refused (WARNING: one; ERROR: two)"),
            (
                Ended::Exited(7),
                "a database was damaged, or not signed by ClamAV (exit status 7) (WARNING: one; ERROR: two)",
            ),
            (Ended::Exited(77), "exit status 77"),
        ] {
            assert!(text(ended).contains(expected), "{}", text(ended));
        }
        let cut = failure(Ended::Exited(5), limits, "ERROR: Download failed (23) ERROR:  Message: Failed writing\n");
        assert!(matches!(cut, FreshclamError::TooLarge { limit: 1000 }), "{cut}");
    }
}
