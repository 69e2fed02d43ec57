//! The set of the next generation, before its test.

use std::collections::BTreeMap;

use nacre_core::generation::{
    Generation,
    manifest::{CustomEntry, DatabaseEntry},
};

use crate::{custom::CustomPart, database_update::StagedDatabase};

/// The set of a generation to come.
pub(super) struct NextSet {
    pub(super) parts: Vec<StagedDatabase>,
    pub(super) custom: Vec<CustomPart>,
    pub(super) signed_files: BTreeMap<String, Vec<u8>>,
    pub(super) not_current: Vec<String>,
}

impl NextSet {
    pub(super) fn databases(&self) -> Vec<&DatabaseEntry> {
        self.parts.iter().map(|part| &part.entry).collect()
    }

    pub(super) fn custom(&self) -> Vec<&CustomEntry> {
        self.custom.iter().map(|part| &part.entry).collect()
    }

    /// The set in words, such as `daily 27780, main 62, local.ign2`.
    pub(super) fn label(&self) -> String {
        let databases = self.parts.iter().map(|part| labelled(&part.entry));
        databases.chain(self.custom.iter().map(|part| part.entry.name.clone())).collect::<Vec<_>>().join(", ")
    }
}

/// What follows from the updates of the databases.
pub(super) enum Next {
    /// A set to test.
    Set(NextSet),
    /// The set that is published.
    Same { generation: Generation, not_current: Vec<String> },
    /// A database is missing.
    Incomplete,
}

pub(super) fn labelled(entry: &DatabaseEntry) -> String {
    format!("{} {}", entry.name, entry.version.0)
}
