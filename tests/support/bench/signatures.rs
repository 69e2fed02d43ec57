//! Synthetic signatures in the proportions of ClamAV's own, the same in every run.

use std::io::Write as _;

use crate::Random;

/// Kinds of signatures by the extension of their files, and of each thousand so many are of that kind. Hashes of PE sections
/// and of files are nearly all that ClamAV has; what is left costs an engine most.
const KINDS: [(&str, u32); 5] = [("mdb", 550), ("hdb", 250), ("hsb", 180), ("ndb", 15), ("ldb", 5)];

/// How many signatures of each kind are among so many, with the extension of their file.
pub fn shares(signatures: u32) -> impl Iterator<Item = (&'static str, u32)> {
    KINDS.into_iter().map(move |(kind, of_thousand)| (kind, signatures / 1000 * of_thousand))
}

/// Appends a signature line of a kind. `number` makes its name unique in its database.
pub fn append(kind: &str, database: &str, number: u64, random: &mut Random, lines: &mut Vec<u8>) {
    let name = format!("Win.Trojan.{database}-{number}-0");
    let size = 512 * (1 + random.below(4096));
    // Writing to memory cannot fail.
    let _ = match kind {
        "mdb" => writeln!(lines, "{size}:{}:{name}", random.hex(2)),
        "hdb" => writeln!(lines, "{}:{size}:{name}", random.hex(2)),
        "hsb" => writeln!(lines, "{}:{size}:{name}", random.hex(4)),
        "ndb" => writeln!(lines, "{name}:1:*:{}{{4-40}}{}", random.hex(3), random.hex(3)),
        _ => writeln!(lines, "{name};Engine:81-255,Target:1;0&1;{};{}", random.hex(3), random.hex(2)),
    };
}

/// The lines as they are a day later: of each file's lines every `pace`th is dropped or replaced in turn, and as many as both
/// together are added.
pub(super) fn a_day_later(kind: &str, lines: &[u8], pace: usize, database: &str, random: &mut Random) -> Vec<u8> {
    let first = random.below(pace);
    let (mut later, mut touched) = (Vec::with_capacity(lines.len()), 0_u64);
    // Past the names that the first version gave, and apart from those of other days.
    let fresh = 1_000_000_000 + random.next() % (1 << 40);
    for (at, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !(at + first).is_multiple_of(pace) {
            later.extend_from_slice(line);
            continue;
        }
        touched += 1;
        if touched.is_multiple_of(2) {
            append(kind, database, fresh + touched, random, &mut later);
        }
    }
    for added in 1..=touched {
        append(kind, database, fresh + touched + added, random, &mut later);
    }
    later
}
