//! The second reader: marks within content, streams in a row, directories of a zip, libarchive behind them, and the limits of it all.
#![no_main]

use std::{env, fs, path::PathBuf, process, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let scratch = env::temp_dir().join(format!("nacre-fuzz-{}", process::id()));
    fs::create_dir_all(&scratch).expect("a directory");
    scratch
});

fuzz_target!(|data: &[u8]| nacre_engine::fuzz::second_reader(data, &SCRATCH));
