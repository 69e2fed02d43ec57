//! What is in a CDIFF: how often each command is there, and what files it changes.

use std::collections::BTreeMap;

use nacre_clamav::{
    cdiff::{Cdiff, Command, commands},
    trust_anchor::TrustAnchors,
};
use nacre_core::telemetry::error_chain;
use serde::Serialize;

use super::{super::file_kind::version_of_cdiff, Verification};

/// What was found in a CDIFF.
#[derive(Debug, Serialize)]
pub(super) struct Script {
    version: Option<u32>,
    // Not under its own name: the file's `size` is beside it.
    #[serde(rename = "script_bytes")]
    size: Option<u64>,
    /// How often each command is there.
    commands: BTreeMap<&'static str, usize>,
    /// Of which, by the file that they change.
    files: BTreeMap<String, BTreeMap<&'static str, usize>>,
    /// Why the script, or a line of it, cannot be read.
    unreadable: Option<String>,
    verification: Verification,
}

impl Script {
    pub(super) fn of(name: &str, file: &[u8]) -> Self {
        let anchors = TrustAnchors::clamav();
        let cdiff = Cdiff::parse(file);
        let parsed = cdiff.as_ref().ok().copied();
        let verified = cdiff.and_then(|cdiff| cdiff.verify(version_of_cdiff(name).unwrap_or(cdiff.version), &anchors));
        let mut script = Self {
            version: parsed.map(|cdiff| cdiff.version.0),
            size: parsed.map(|cdiff| cdiff.script_bytes),
            commands: BTreeMap::new(),
            files: BTreeMap::new(),
            unreadable: None,
            verification: Verification::of(verified.map(drop), &anchors),
        };
        match parsed.map(|cdiff| cdiff.script()) {
            Some(Ok(bytes)) => script.count(&bytes),
            Some(Err(error)) => script.unreadable = Some(error_chain(&error)),
            // The verification reports it.
            None => {}
        }
        script
    }

    fn count(&mut self, script: &[u8]) {
        let mut open = None;
        for (line, command) in commands(script) {
            let command = match command {
                Ok(command) => command,
                Err(error) => {
                    self.unreadable.get_or_insert_with(|| format!("line {line}: {error}"));
                    continue;
                }
            };
            let (kind, file) = match command {
                Command::Open(name) => {
                    open = Some(name);
                    ("OPEN", open)
                }
                Command::Add(_) => ("ADD", open),
                Command::Del { .. } => ("DEL", open),
                Command::Xchg { .. } => ("XCHG", open),
                Command::Close => ("CLOSE", open.take()),
                Command::Move { from, .. } => ("MOVE", Some(from)),
                Command::Unlink(name) => ("UNLINK", Some(name)),
            };
            *self.commands.entry(kind).or_default() += 1;
            if let Some(file) = file {
                *self.files.entry(file.to_owned()).or_default().entry(kind).or_default() += 1;
            }
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let in_words = |counts: &BTreeMap<&str, usize>| {
            let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            counts.join(", ")
        };
        let mut lines = Vec::new();
        if let Some((version, bytes)) = self.version.zip(self.size) {
            lines.push(format!("  header   to version {version}, {bytes} bytes of script"));
        }
        lines.push(format!("  script   {}", in_words(&self.commands)));
        lines.extend(self.files.iter().map(|(name, counts)| format!("  file     {name}: {}", in_words(counts))));
        lines.extend(self.unreadable.iter().map(|reason| format!("  script   cannot be read: {reason}")));
        lines.push(self.verification.line());
        lines
    }
}
