//! Collects what libclamav reports through its callbacks.
//!
//! libclamav calls back on the thread that it works on, so the running observation is that thread's own. Collecting
//! never unwinds into libclamav and never grows beyond its caps.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs::File,
    iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use nacre_engine_protocol::{Layer, MAX_LAYERS, MAX_NAMES, Message, Severity};
use nacre_scan_set::propose::Digests;

use crate::{
    archive::{ArchiveIndex, crc32, index},
    derived::Derived,
    lookup::Lookup,
    marks::{Coverage, Marks},
    probes::is_generic_probe,
    second_reader::SecondReader,
};

/// Most messages kept.
const MAX_MESSAGES: usize = 100;
/// Longest kept text of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;

/// libclamav's type of programs of Windows, and the bit of its matcher's target.
const PROGRAM: &[u8] = b"CL_TYPE_MSEXE";
const PROGRAM_TARGET: u16 = 1 << 1;

thread_local! {
    static CURRENT: RefCell<Option<Observation>> = const { RefCell::new(None) };
}

/// Everything reported during one scan or load.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Names of all signatures that matched, our own probes among them.
    pub(crate) alerts: BTreeSet<String>,
    /// Number of these that are not about the scan itself.
    matches: usize,
    /// The layers, at most [`MAX_LAYERS`].
    pub(crate) layers: Vec<Layer>,
    /// The archive index of each layer.
    pub(crate) indexes: Vec<ArchiveIndex>,
    /// The CRC-32 of each layer.
    pub(crate) sums: Vec<u32>,
    /// Of each scan of content that the second reader found: its first layer, and the layer that it came out of.
    pub(crate) found: Vec<(usize, usize)>,
    /// Depth of the running scan's first layer.
    depth: u32,
    /// Reads the layers as well; none while definitions are loaded.
    pub(crate) reader: Option<SecondReader>,
    /// Looks contents up in filters, if there are any.
    pub(crate) lookup: Option<Lookup>,
    /// What the layers' own bytes say.
    pub(crate) marks: Marks,
    /// Number of layers, those past the cap included.
    pub(crate) layer_count: u64,
    /// The bit of the target of programs of Windows, where a layer is one.
    pub(crate) programs: u16,
    /// Other content that libclamav matched on.
    pub(crate) derived: Derived,
    /// Messages of severity warning and above, at most a hundred.
    pub(crate) messages: Vec<Message>,
    /// Something could not be recorded.
    pub(crate) incomplete: bool,
}

/// Runs `work` and returns its result and what libclamav reported meanwhile.
pub(crate) fn observe<T>(work: impl FnOnce() -> T) -> (T, Observation) {
    observe_more(Observation::default(), work)
}

/// Runs `work`, and adds what libclamav reports meanwhile to an earlier observation.
pub(crate) fn observe_more<T>(earlier: Observation, work: impl FnOnce() -> T) -> (T, Observation) {
    CURRENT.set(Some(earlier));
    let done = work();
    (done, CURRENT.take().unwrap_or_default())
}

/// Applies `event` to the running observation, if there is one. Never unwinds.
pub(crate) fn record(event: impl FnOnce(&mut Observation)) {
    let outcome = catch_unwind(AssertUnwindSafe(|| CURRENT.with_borrow_mut(|current| current.as_mut().map(event))));
    if let Err(panic) = outcome {
        // The payload's own destructor might panic again, on the way into libclamav.
        mem::forget(panic);
        CURRENT.with(|current| {
            if let Ok(mut current) = current.try_borrow_mut()
                && let Some(observation) = current.as_mut()
            {
                observation.incomplete = true;
            }
        });
    }
}

impl Observation {
    /// Records the name of a signature that matched, and the file that it matched on, if any.
    pub(crate) fn alert(&mut self, name: &[u8], matched: Option<&File>) {
        // The generic probe matches once on all content that reaches the matcher.
        let is_hashed = self.derived.matched();
        if is_generic_probe(name) {
            self.derived.matched_on(matched, is_hashed, self.lookup.as_mut());
        }
        let name = String::from_utf8_lossy(name).into_owned();
        // Alerts about the scan itself are never dropped.
        let is_of_scan = |name: &String| name.starts_with("Nacre.") || name.starts_with("Heuristics.");
        if is_of_scan(&name) {
            self.alerts.insert(name);
            return;
        }
        self.matches += usize::from(self.alerts.insert(name));
        if self.matches > MAX_NAMES
            && let Some(last) = self.alerts.iter().rev().find(|name| !is_of_scan(name)).cloned()
        {
            self.alerts.remove(&last);
            self.matches -= 1;
        }
    }

    /// Records a layer, and has the second reader read it. Content that libclamav could not read leaves the observation incomplete.
    pub(crate) fn layer(&mut self, file_type: &[u8], content: Option<&[u8]>, depth: u32) {
        self.layer_count += 1;
        if file_type == PROGRAM {
            self.programs = PROGRAM_TARGET;
        }
        let Some(content) = content else {
            self.incomplete = true;
            return;
        };
        // An archive bomb must not fill the report; the count still shows that layers are missing.
        let is_past_the_cap = self.layers.len() >= MAX_LAYERS;
        if is_past_the_cap && self.lookup.is_none() {
            return;
        }
        let digests = Digests::of(content);
        if let Some(lookup) = &mut self.lookup {
            lookup.layer(content, &digests);
        }
        if is_past_the_cap {
            return;
        }
        let depth = depth.saturating_add(self.depth);
        let Digests { md5, sha1, sha256 } = digests;
        self.derived.is_layer(sha256);
        let mut index = index(content);
        if let Some(reader) = &mut self.reader {
            reader.is_shown(sha256);
            index.add(reader.read(content, self.layers.len(), depth));
            if file_type == b"CL_TYPE_IGNORED" {
                let whole = reader.keep_ignored(content, self.layers.len(), depth);
                let covered = if whole { content.len() } else { 0 };
                index.coverage = Coverage { whole, covered, members: iter::once(0..covered).collect() };
            }
        }
        let (at, reader) = (self.layers.len(), &mut self.reader);
        self.marks.inspect(at, file_type, content, &index.coverage, &mut |piece| {
            if let Some(reader) = reader {
                reader.keep(piece, at, depth);
            }
        });
        index.coverage.members = Vec::new();
        self.indexes.push(index);
        self.sums.push(crc32(content));
        self.layers.push(Layer {
            file_type: String::from_utf8_lossy(file_type).into_owned(),
            size: content.len() as u64,
            depth,
            md5: hex::encode(md5),
            sha1: hex::encode(sha1),
            sha256: hex::encode(sha256),
        });
    }

    /// Has the layers that follow counted as what the second reader found in an earlier one.
    pub(crate) fn begin_found(&mut self, (layer, depth): (usize, u32)) {
        self.found.push((self.layers.len(), layer));
        self.depth = depth + 1;
    }

    /// Records a message of severity `CL_MSG_WARN` (64) or `CL_MSG_ERROR` (128); drops lesser ones.
    pub(crate) fn message(&mut self, severity: i32, text: &[u8]) {
        let severity = match severity {
            ..64 => return,
            64..128 => Severity::Warning,
            128.. => Severity::Error,
        };
        let text = String::from_utf8_lossy(text);
        let text = text.trim();
        let text = text.get(..text.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or_default().to_owned();
        let message = Message { severity, text };
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push(message);
        } else if severity == Severity::Error
            && let Some(last) = self.messages.last_mut()
            && last.severity == Severity::Warning
        {
            // A flood of warnings must not hide the error after it.
            *last = message;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caps_hold_and_the_count_goes_on() {
        let ((), seen) = observe(|| {
            for _ in 0..MAX_LAYERS + 5 {
                record(|o| o.layer(b"CL_TYPE_ANY", Some(b"x"), 1));
            }
            for _ in 0..200 {
                record(|o| o.message(64, "é".repeat(400).as_bytes()));
            }
            record(|o| o.message(128, b"the one that matters\n"));
        });
        assert_eq!(seen.layers.len(), MAX_LAYERS);
        assert_eq!(seen.layer_count, MAX_LAYERS as u64 + 5);
        assert_eq!(seen.messages.len(), MAX_MESSAGES);
        assert!(seen.messages.iter().all(|message| message.text.len() <= MAX_MESSAGE_BYTES));
        assert_eq!(seen.messages[MAX_MESSAGES - 1].text, "the one that matters");
        assert!(!seen.incomplete);
    }

    #[test]
    fn a_flood_of_matches_hides_nothing_about_the_scan() {
        let ((), seen) = observe(|| {
            for n in (0..10_000).rev() {
                record(|o| o.alert(format!("Known.Pattern.{n:05}").as_bytes(), None));
            }
            record(|o| o.alert(b"Heuristics.Limits.Exceeded.MaxFiles", None));
            record(|o| o.alert(b"Nacre.0000000000000000.Target.0", None));
        });
        assert_eq!(seen.alerts.len(), MAX_NAMES + 2);
        assert!(seen.alerts.contains("Known.Pattern.00000") && !seen.alerts.contains("Known.Pattern.00256"));
    }

    #[test]
    fn a_panic_in_a_callback_is_caught_and_recorded() {
        let ((), seen) = observe(|| record(|_| panic!("held")));
        assert!(seen.incomplete);
    }

    #[test]
    fn unread_content_is_recorded() {
        let ((), seen) = observe(|| record(|o| o.layer(b"CL_TYPE_ANY", None, 0)));
        assert!(seen.incomplete);
    }

    #[test]
    fn reports_outside_an_observation_are_dropped() {
        record(|o| o.alert(b"lost", None));
        let ((), seen) = observe(|| ());
        assert!(seen.alerts.is_empty());
    }
}
