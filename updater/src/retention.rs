//! Decides what of old generations has had its time. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use nacre_core::{
    bucket_keys::{BODIES_PREFIX, DELTAS_PREFIX, MANIFESTS_PREFIX, PASSES_PREFIX, REJECTED_PREFIX, SCAN_SETS_PREFIX},
    generation::{Generation, manifest::Manifest},
    port::Listed,
    rescan::pass::{self},
};

/// How long what no generation needs is left alone: a run may have written it a moment ago, for the next one.
const GRACE: TimeDelta = TimeDelta::days(2);

/// How long the report of a set that failed is kept, and what it consists of.
const REJECTED_FOR: TimeDelta = TimeDelta::days(30);

/// What is under `nacre/`, as far as it is kept for a time only.
pub const PREFIXES: [&str; 6] =
    [BODIES_PREFIX, DELTAS_PREFIX, MANIFESTS_PREFIX, PASSES_PREFIX, REJECTED_PREFIX, SCAN_SETS_PREFIX];

/// The generations that are kept, of those whose manifests are there: the newest `keep`, whatever their numbers, those that
/// were superseded within the grace, which scanners may be reading, and the published one.
pub fn kept(there: &[Listed], published: Generation, keep: usize, now: DateTime<Utc>) -> BTreeSet<Generation> {
    let number = |listed: &Listed| {
        let number: u64 = listed.key.strip_prefix(MANIFESTS_PREFIX)?.strip_suffix(".json")?.parse().ok()?;
        Some((number, listed.modified))
    };
    let mut generations: Vec<(u64, DateTime<Utc>)> = there.iter().filter_map(number).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let successors = generations.iter().map(|(_, written)| Some(*written));
    let superseded: Vec<Option<DateTime<Utc>>> = [None].into_iter().chain(successors).collect();
    let recent = |at: usize| superseded.get(at).copied().flatten().is_some_and(|since| now - since <= GRACE);
    let kept = generations.iter().enumerate().filter(|(at, _)| *at < keep || recent(*at));
    kept.map(|(_, (number, _))| *number).chain([published.0]).map(Generation).collect()
}

/// Whether this is the report of a set that failed, whose time has not come.
pub fn is_kept_report(listed: &Listed, now: DateTime<Utc>) -> bool {
    listed.key.starts_with(REJECTED_PREFIX) && now - listed.modified <= REJECTED_FOR
}

/// The keys to remove, given the manifests of every generation that is kept, and the bodies of sets that failed.
///
/// Never one that a kept generation needs; never a body, delta or manifest younger than the grace.
pub fn expired(there: &[Listed], kept: &[Manifest], rejected: &BTreeSet<String>, now: DateTime<Utc>) -> Vec<String> {
    let needed: BTreeSet<String> =
        kept.iter().flat_map(Manifest::object_keys).chain(rejected.iter().cloned()).collect();
    let newest = kept.iter().map(|manifest| manifest.generation).max();
    let is_expired = |listed: &&Listed| {
        let age = now - listed.modified;
        if listed.key.starts_with(REJECTED_PREFIX) {
            return !is_kept_report(listed, now);
        }
        // What passes found is kept with the generation that they were for.
        if let Some(generation) = pass::generation_of(&listed.key) {
            let of_kept = kept.iter().any(|manifest| manifest.generation == generation) || newest < Some(generation);
            return !of_kept && age > GRACE;
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

#[cfg(test)]
mod tests {
    use nacre_core::{builder::engine_proof, generation::manifest::DatabaseEntry};
    use proptest::prelude::*;

    use super::*;

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(days)
    }

    fn listed(key: String, days: i64) -> Listed {
        Listed { key, etag: String::new(), size: 1, modified: at(days) }
    }

    fn manifest(generation: u64, body: u64) -> Manifest {
        let entry: DatabaseEntry = serde_json::from_value(serde_json::json!({
            "name": "daily", "version": generation, "kind": "cvd", "built": 1, "functionality_level": 90, "signatures": 1, "size": 1,
            "builder": "us", "md5": "0".repeat(32), "sha256": format!("{body:064x}"), "object_key": format!("{BODIES_PREFIX}{body:064x}"), "members": [],
        }))
        .unwrap();
        Manifest::new(Generation(generation), at(0), "test".into(), vec![entry], engine_proof())
    }

    #[test]
    fn a_generation_that_was_superseded_a_moment_ago_is_kept_for_whoever_reads_it() {
        let there = [1_i64, 5, 9].map(|days| listed(format!("{MANIFESTS_PREFIX}{}.json", days / 4 + 1), days));
        let kept = |days| kept(&there, Generation(3), 1, at(days)).into_iter().map(|one| one.0).collect::<Vec<_>>();
        assert_eq!(kept(10), [2, 3], "superseded a day ago");
        assert_eq!(kept(12), [3]);
    }

    #[test]
    fn reports_of_passes_are_kept_with_their_generation() {
        let keys = [1, 2, 3].map(|generation| format!("{PASSES_PREFIX}{generation}/1/0.json"));
        let there: Vec<Listed> = keys.iter().map(|key| listed(key.clone(), 0)).collect();
        let expired = |days| expired(&there, &[manifest(2, 0)], &BTreeSet::new(), at(days));
        assert_eq!(expired(3), [keys[0].clone()], "the third is of a generation to come");
        assert!(expired(1).is_empty());
    }

    proptest! {
        #[test]
        fn what_a_kept_generation_needs_stays_and_old_bodies_of_others_go(
            bodies in proptest::collection::vec((0_u64..9, 0_i64..40), 1..12),
            keep in 1_usize..6,
            published in 1_u64..12,
        ) {
            let manifests: Vec<_> = (1..).zip(&bodies).map(|(n, (body, _))| manifest(n, *body)).collect();
            let written: std::collections::BTreeMap<u64, i64> = bodies.iter().copied().collect();
            let there: Vec<Listed> = (1..)
                .zip(&bodies)
                .map(|(n, (_, days))| listed(format!("{MANIFESTS_PREFIX}{n}.json"), *days))
                .chain(written.iter().map(|(body, days)| listed(format!("{BODIES_PREFIX}{body:064x}"), *days)))
                .chain([listed(POINTER.into(), 0), listed("clamav_defs/daily.cvd".into(), 0)])
                .collect();
            let published = Generation(published.min(bodies.len() as u64));
            let now = at(41);
            let kept = kept(&there, published, keep, now);
            prop_assert!(kept.contains(&published));
            let kept: Vec<Manifest> = manifests.into_iter().filter(|one| kept.contains(&one.generation)).collect();
            let expired = expired(&there, &kept, &BTreeSet::new(), now);
            let needed: BTreeSet<String> = kept.iter().flat_map(Manifest::object_keys).collect();
            for listed in &there {
                let gone = expired.contains(&listed.key);
                let ours = PREFIXES.iter().any(|prefix| listed.key.starts_with(prefix));
                prop_assert!(!gone || (ours && !needed.contains(&listed.key) && now - listed.modified > GRACE), "{}", listed.key);
                let of_nobody = listed.key.starts_with(BODIES_PREFIX) && !needed.contains(&listed.key);
                prop_assert!(gone || !of_nobody || now - listed.modified <= GRACE, "{} stays", listed.key);
            }
        }
    }

    const POINTER: &str = "nacre/current.json";
}
