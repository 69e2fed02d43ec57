//! Records as rows: the auditor's question, object by object.

use std::io::{self, Write};

use chrono::SecondsFormat;

use super::tally::Row;
use crate::printable::printable;

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
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(to);
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

/// Attack: a key that a spreadsheet takes for a formula, or a terminal for a command. All cells are quoted, as spreadsheets part cells at
/// semicolons, too.
pub(crate) fn inert(text: &str) -> String {
    let text = printable(text);
    if text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text
    }
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
        assert_eq!(lines[0].replace('"', ""), COLUMNS.join(","));
        let rest = r#""7","1.4.6","2026-11-28T10:00:00Z","yes""#;
        assert_eq!(lines[1], format!(r#""uploads","a,""key""","v1","10","INFECTED","","A B",{rest}"#));
        assert_eq!(lines[2], format!(r#""uploads","'=1+1","v1","10","CLEAN","","",{rest}"#));
        assert_eq!(inert("\u{ff1d}1\u{1b}"), "'\u{ff1d}1\\u{1b}");
    }
}
