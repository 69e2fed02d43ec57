//! How many random cases are tried, and from which seed.
//!
//! `make test` tries few, and the same ones each time, so that it fails for a change and not by chance. `make differential` sets
//! `NACRE_DIFFERENTIAL_CASES`, and draws others each time unless `NACRE_DIFFERENTIAL_SEED` says which.

use std::{env, time::SystemTime};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sha2::{Digest, Sha256};

/// Cases of `make test`.
const FEW: u32 = 3;

/// A runner of `share` cases for each one that is asked for. It prints its seed.
#[expect(clippy::disallowed_methods, reason = "a test is its own composition root")]
pub(crate) fn runner(share: u32) -> TestRunner {
    let number = |name: &str| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let wanted = number("NACRE_DIFFERENTIAL_CASES").and_then(|cases| u32::try_from(cases).ok());
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs());
    let seed = number("NACRE_DIFFERENTIAL_SEED").unwrap_or_else(|| wanted.map_or(0, |_| now()));
    println!("NACRE_DIFFERENTIAL_SEED={seed}");
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &Sha256::digest(seed.to_le_bytes()));
    let cases = wanted.unwrap_or(FEW).saturating_mul(share);
    TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, random)
}
