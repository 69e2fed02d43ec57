//! Every key and prefix that Nacre writes in the definitions bucket, but the flat prefix, whose name is a setting.

/// The pointer to the published generation: the only key that is ever overwritten by a newer generation.
pub const POINTER_KEY: &str = "nacre/current.json";

/// The updater's state between runs.
pub const UPDATER_STATE_KEY: &str = "nacre/updater.json";

/// Prefix of the bodies of databases and loose signature files, by their SHA-256.
pub const BODIES_PREFIX: &str = "nacre/databases/";

/// Prefix of what cold starts load of a database instead of its body, by SHA-256.
pub const SCAN_SETS_PREFIX: &str = "nacre/scan-sets/";

/// Prefix of the manifests, by generation.
pub const MANIFESTS_PREFIX: &str = "nacre/manifests/";

/// Prefix of the deltas between generations.
pub const DELTAS_PREFIX: &str = "nacre/deltas/";

/// Prefix of the reports on rejected sets.
pub const REJECTED_PREFIX: &str = "nacre/rejected/";

/// Prefix of passes and their reports.
pub const PASSES_PREFIX: &str = "nacre/passes/";

/// Prefix of the progress of backfills.
pub const BACKFILLS_PREFIX: &str = "nacre/backfills/";
