//! Decides what of old generations has had its time. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use nacre_shared::{
    definitions::manifest::{BODIES_PREFIX, DELTAS_PREFIX, Generation, MANIFESTS_PREFIX, Manifest, REJECTED_PREFIX},
    port::Listed,
};

/// How long what no generation needs is left alone: a run may have written it a moment ago, for the next one.
const GRACE: TimeDelta = TimeDelta::days(2);

/// How long the report of a set that failed is kept, and what it consists of.
const REJECTED_FOR: TimeDelta = TimeDelta::days(30);

/// What is under `nacre/`, as far as it is kept for a time only.
pub const PREFIXES: [&str; 4] = [BODIES_PREFIX, DELTAS_PREFIX, MANIFESTS_PREFIX, REJECTED_PREFIX];

/// The generations that are kept, of those whose manifests are there: the newest `keep`, whatever their numbers, and the
/// published one.
pub fn kept(there: &[Listed], published: Generation, keep: usize) -> BTreeSet<Generation> {
    let number = |listed: &Listed| listed.key.strip_prefix(MANIFESTS_PREFIX)?.strip_suffix(".json")?.parse().ok();
    let mut generations: Vec<u64> = there.iter().filter_map(number).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    generations.into_iter().take(keep).chain([published.0]).map(Generation).collect()
}

/// The keys to remove, given the manifests of every generation that is kept.
///
/// Never one that a kept generation needs; never a body, delta or manifest younger than the grace.
pub fn expired(there: &[Listed], kept: &[Manifest], now: DateTime<Utc>) -> Vec<String> {
    let needed: BTreeSet<String> = kept.iter().flat_map(Manifest::object_keys).collect();
    let newest = kept.iter().map(|manifest| manifest.generation).max();
    let is_expired = |listed: &&Listed| {
        let age = now - listed.modified;
        if listed.key.starts_with(REJECTED_PREFIX) {
            return age > REJECTED_FOR;
        }
        // A manifest above the published one is a run's that has yet to move the pointer.
        let number = listed.key.strip_prefix(MANIFESTS_PREFIX).and_then(|rest| rest.strip_suffix(".json"));
        let to_come =
            number.and_then(|number| number.parse().ok()).is_some_and(|number| newest < Some(Generation(number)));
        !to_come && age > GRACE && !needed.contains(&listed.key)
    };
    let prefixed = |listed: &&Listed| PREFIXES.iter().any(|prefix| listed.key.starts_with(prefix));
    there.iter().filter(prefixed).filter(is_expired).map(|listed| listed.key.clone()).collect()
}
