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

#[cfg(test)]
mod tests {
    use nacre_shared::definitions::manifest::{DatabaseEntry, EngineProof};
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
        let proof = EngineProof {
            clamav_version: "1.4.6".into(),
            functionality_level: 216,
            signatures: 1,
            eicar: Vec::new(),
            expected_signatures: 1,
            clean_files: 1,
        };
        Manifest::new(Generation(generation), at(0), "test".into(), vec![entry], proof)
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
            let kept = kept(&there, published, keep);
            prop_assert!(kept.contains(&published) && kept.len() <= keep + 1);
            let kept: Vec<Manifest> = manifests.into_iter().filter(|one| kept.contains(&one.generation)).collect();
            let now = at(41);
            let expired = expired(&there, &kept, now);
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
