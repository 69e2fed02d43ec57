//! The figures, as a table and as a file.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::start::Start;

/// Everything that was measured.
pub(crate) struct Figures {
    pub(crate) signatures: u32,
    pub(crate) full: Start,
    pub(crate) full_limited: Start,
    pub(crate) full_pss_kib: Option<u64>,
    pub(crate) ours: Start,
    pub(crate) ours_limited: Start,
    pub(crate) ours_pss_kib: Option<u64>,
}

impl Figures {
    /// Writes `bench/cold.json` into cargo's target directory.
    pub(crate) fn write(&self, target: &Path) -> io::Result<()> {
        let value = json!({
            "signatures": self.signatures,
            "full_cpu_s": seconds(self.full.cpu_ms),
            "ours_cpu_s": seconds(self.ours.cpu_ms),
            "full_bytes": self.full.bytes,
            "ours_bytes": self.ours.bytes,
            "full_pss_mb": self.full_pss_kib.map(megabytes),
            "ours_pss_mb": self.ours_pss_kib.map(megabytes),
            "first_verdict_s": seconds(self.ours_limited.wall_ms),
            "full_first_verdict_s": seconds(self.full_limited.wall_ms),
            "full_parts_ms": parts(&self.full_limited),
            "ours_parts_ms": parts(&self.ours_limited),
        });
        let directory = target.join("bench");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("cold.json"), format!("{value:#}\n"))
    }

    /// Prints a table.
    pub(crate) fn print(&self, out: &mut impl Write, processor: &str) -> io::Result<()> {
        writeln!(out, "Cold start to the first verdict, {} signatures, {processor}\n", self.signatures)?;
        writeln!(out, "| | CPU s | s | s at 80 MB/s | MB read | peak PSS MB |\n|---|---|---|---|---|---|")?;
        for (name, start, limited, pss) in [
            ("full load", &self.full, &self.full_limited, self.full_pss_kib),
            ("scan sets", &self.ours, &self.ours_limited, self.ours_pss_kib),
        ] {
            let [cpu, wall, limited] = [start.cpu_ms, start.wall_ms, limited.wall_ms].map(seconds);
            let read = megabytes(start.bytes / 1024);
            let pss = pss.map_or_else(|| "-".to_owned(), |pss| format!("{:.0}", megabytes(pss)));
            writeln!(out, "| {name} | {cpu:.2} | {wall:.2} | {limited:.2} | {read:.1} | {pss} |")?;
        }
        let times = |full: u64, ours: u64| format!("{:.1}", seconds(full) / seconds(ours.max(1)));
        let pss = self.full_pss_kib.zip(self.ours_pss_kib).map_or_else(String::new, |(full, ours)| times(full, ours));
        writeln!(
            out,
            "| times less | {} | {} | {} | {} | {pss} |",
            times(self.full.cpu_ms, self.ours.cpu_ms),
            times(self.full.wall_ms, self.ours.wall_ms),
            times(self.full_limited.wall_ms, self.ours_limited.wall_ms),
            times(self.full.bytes, self.ours.bytes),
        )?;
        for (name, start) in [("full load", &self.full_limited), ("scan sets", &self.ours_limited)] {
            let parts: Vec<_> = start.parts.iter().map(|(part, ms)| format!("{part} {ms} ms")).collect();
            writeln!(out, "\n{name}, at 80 MB/s: {}", parts.join(", "))?;
        }
        Ok(())
    }
}

fn parts(start: &Start) -> Map<String, Value> {
    start.parts.iter().map(|(part, ms)| (part.clone(), json!(ms))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no figure is that large")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "no figure is that large")]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
