//! Records as rows: the auditor's question, object by object.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use chrono::SecondsFormat;

use super::{ReportError, create, tally::Row};
use crate::printable::printable;

/// A file of rows, which several readers of the table write to.
pub(crate) struct RowsFile {
    path: PathBuf,
    rows: Mutex<Rows<BufWriter<File>>>,
}

impl RowsFile {
    pub(super) fn create(path: &Path) -> Result<Self, ReportError> {
        let rows = Rows::begin(create(path)?).map_err(|error| ReportError::Write(path.to_owned(), error))?;
        Ok(Self { path: path.to_owned(), rows: Mutex::new(rows) })
    }

    pub(super) fn write(&self, row: &Row) -> Result<(), ReportError> {
        let written = self.rows.lock().map_err(|_| failed()).and_then(|mut rows| rows.write(row));
        written.map_err(|error| ReportError::Write(self.path.clone(), error))
    }

    pub(super) fn finish(self) -> Result<(), ReportError> {
        let finished = self.rows.into_inner().map_err(|_| failed()).and_then(Rows::finish);
        finished.map_err(|error| ReportError::Write(self.path, error))
    }
}

fn failed() -> io::Error {
    io::Error::other("a reader of the table failed")
}

/// Rows of a file.
struct Rows<W: Write>(csv::Writer<W>);

/// Names of the columns.
const COLUMNS: [&str; 13] = [
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
    "written_at",
    "first_infected",
];

impl<W: Write> Rows<W> {
    /// Writes the names of the columns.
    fn begin(to: W) -> io::Result<Self> {
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(to);
        writer.write_record(COLUMNS)?;
        Ok(Self(writer))
    }

    fn write(&mut self, row: &Row) -> io::Result<()> {
        let [scanned_at, written_at, first_infected] = [row.scanned_at, row.written_at, row.first_infected]
            .map(|at| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default());
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
            written_at,
            first_infected,
        ])?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
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
        let rest = r#""7","1.4.6","2026-11-28T10:00:00Z","yes","2026-11-20T10:00:00Z""#;
        let first = r#""2026-11-25T10:00:00Z""#;
        assert_eq!(lines[1], format!(r#""uploads","a,""key""","v1","10","INFECTED","","A B",{rest},{first}"#));
        assert_eq!(lines[2], format!(r#""uploads","'=1+1","v1","10","CLEAN","","",{rest},"""#));
        assert_eq!(inert("\u{ff1d}1\u{1b}"), "'\u{ff1d}1\\u{1b}");
    }
}
