//! Data beside the checkout that only some machines have: databases signed by `ClamAV`'s own keys.

use std::path::{Path, PathBuf};

/// Path of a file or folder of `../shared/data`, beside the checkout; `None`, with a line that says `skipped`, where that folder is
/// absent. This is the one place that knows the way: a path relative to a crate would be wrong as soon as the crate moves, and its
/// test would skip itself unseen.
///
/// # Panics
/// When the folder is there, and the requested file is not in it.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    let data = checkout.and_then(Path::parent).map(|beside| beside.join("shared/data")).filter(|data| data.is_dir());
    let Some(data) = data else {
        eprintln!("skipped: ../shared/data is absent, and with it {name}");
        return None;
    };
    let path = data.join(name);
    assert!(path.exists(), "{} is absent, though its folder is there", path.display());
    Some(path)
}
