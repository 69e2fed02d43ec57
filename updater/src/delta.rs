//! Tells what changes from the published generation to the next. Pure.

use std::collections::BTreeMap;

use nacre_clamav::database::DatabaseName;
use nacre_core::generation::{
    Generation,
    manifest::{Change, CustomEntry, DatabaseEntry, Delta, Manifest, ScriptEntry},
};

use crate::bring::AppliedScript;

/// The scripts that led to the new databases, by database.
pub type Scripts = BTreeMap<DatabaseName, Vec<AppliedScript>>;

/// The delta from what is published to these databases and loose files.
pub fn delta(
    before: &Manifest,
    to: Generation,
    databases: &[&DatabaseEntry],
    custom: &[&CustomEntry],
    scripts: &Scripts,
) -> Delta {
    let from = before.generation;
    let mut changes = Vec::new();
    for entry in databases {
        let name = entry.name.to_string();
        let elder = before.databases.iter().find(|elder| elder.name == entry.name);
        match (elder, scripts.get(&entry.name).filter(|scripts| !scripts.is_empty())) {
            (Some(elder), _) if elder.sha256 == entry.sha256 => {}
            (Some(_), Some(scripts)) => {
                let described =
                    |applied: &AppliedScript| ScriptEntry::of(from, to, &entry.name, applied.version, &applied.script);
                changes.push(Change::Patched { name, scripts: scripts.iter().map(described).collect() });
            }
            _ => changes.push(Change::Replaced { name }),
        }
    }
    for entry in custom {
        let elder = before.custom.iter().find(|elder| elder.name == entry.name);
        if elder.is_none_or(|elder| elder.sha256 != entry.sha256) {
            changes.push(Change::Replaced { name: entry.name.clone() });
        }
    }
    let gone = before.databases.iter().filter(|elder| !databases.iter().any(|entry| entry.name == elder.name));
    changes.extend(gone.map(|elder| Change::Removed { name: elder.name.to_string() }));
    let gone = before.custom.iter().filter(|elder| !custom.iter().any(|entry| entry.name == elder.name));
    changes.extend(gone.map(|elder| Change::Removed { name: elder.name.clone() }));
    Delta { from, changes }
}
