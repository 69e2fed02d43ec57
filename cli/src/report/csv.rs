//! Records as rows: the auditor's question, object by object.

use std::io::{self, Write};

use chrono::SecondsFormat;

use super::tally::Row;

/// Rows of a file.
pub(super) struct Rows<W: Write>(csv::Writer<W>);

/// Names of the columns.
const COLUMNS: [&str; 11] = [
    "bucket",
    "key",
    "version_id",
    "bytes",
    "verdict",
    "reason",
    "signatures",
    "definitions",
    "engine",
    "scanned_at",
    "reported",
];

impl<W: Write> Rows<W> {
    /// Writes the names of the columns.
    pub(super) fn begin(to: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(to);
        writer.write_record(COLUMNS)?;
        Ok(Self(writer))
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        let scanned_at = row.scanned_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default();
        let version = row.object.version_id.as_deref().unwrap_or_default();
        self.0.write_record([
            inert(&row.object.bucket),
            inert(&row.object.key),
            inert(version),
            row.size.to_string(),
            row.kind().name().to_owned(),
            row.reason().unwrap_or_default().to_owned(),
            inert(&row.signatures().join(" ")),
            row.generation.to_string(),
            inert(&row.engine),
            scanned_at,
            if row.reported { "yes" } else { "no" }.to_owned(),
        ])?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Attack: a key that a spreadsheet takes for a formula.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tally::tests::{infected, row};

    #[test]
    fn a_row_says_what_was_concluded_by_what_and_when() {
        let mut out = Vec::new();
        let mut rows = Rows::begin(&mut out).unwrap();
        rows.write(&row("a,\"key\"", infected(&["A", "B"]))).unwrap();
        rows.write(&row("=1+1", nacre_core::verdict::Verdict::Clean)).unwrap();
        rows.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], COLUMNS.join(","));
        assert_eq!(lines[1], "uploads,\"a,\"\"key\"\"\",v1,10,INFECTED,,A B,7,1.4.6,2026-11-28T10:00:00Z,yes");
        assert_eq!(lines[2], "uploads,'=1+1,v1,10,CLEAN,,,7,1.4.6,2026-11-28T10:00:00Z,yes");
    }
}
