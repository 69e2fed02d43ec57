//! What the fuzz targets share: the keys that the seeds were signed with, and limits small enough to be reached.

use std::{env, fs, path::PathBuf, sync::OnceLock};

use nacre_clamav::{archive::ArchiveLimits, detached_signature::RootCertificate, signing::SigningKeys, trust_anchor::TrustAnchors};


/// Names the directory with the seeds and their keys.
const SEEDS: &str = "NACRE_FUZZ_SEEDS";

/// Bounds that inputs of some kilobytes can reach.
pub const LIMITS: ArchiveLimits = ArchiveLimits { unpacked_bytes: 64 << 10, member_bytes: 16 << 10, members: 8 };

/// The directory with the seeds and their keys.
///
/// # Panics
/// When nobody said where it is: `make fuzz` does.
pub fn seeds() -> PathBuf {
    env::var_os(SEEDS).map(PathBuf::from).expect("NACRE_FUZZ_SEEDS is set: run `make fuzz`")
}

/// The keys that the seeds were signed with: with others, no input would ever get past its signature.
///
/// # Panics
/// When the seeds were not made.
pub fn anchors() -> &'static TrustAnchors {
    static ANCHORS: OnceLock<TrustAnchors> = OnceLock::new();
    ANCHORS.get_or_init(|| {
        let text = fs::read_to_string(seeds().join("keys.json")).expect("the seeds' keys");
        SigningKeys::from_json(&text).expect("keys").trust_anchors()
    })
}

/// The root that the seeds' detached signatures chain to.
///
/// # Panics
/// When the seeds were not made.
pub fn root() -> &'static RootCertificate {
    static ROOT: OnceLock<RootCertificate> = OnceLock::new();
    ROOT.get_or_init(|| {
        let text = fs::read_to_string(seeds().join("root.pem")).expect("the seeds' root");
        RootCertificate::from_pem(&text).expect("a root")
    })
}
