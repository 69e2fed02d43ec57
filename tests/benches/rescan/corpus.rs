//! The objects, and what is new about them.

use sha2::{Digest, Sha256};

use crate::made_up::{ADDED, lines};
use nacre_test_support::{Random, bench::pe};

/// One object in so many is a program.
pub(crate) const PROGRAM_EVERY: usize = 100;
/// One in so many holds what a new signature knows.
const WICKED_EVERY: usize = 500;
/// The text whose digest is new.
pub(crate) const KNOWN_TEXT: usize = 7;

/// What a new signature for programs knows.
const PATTERN: &str = "what only the newest know of";

/// An object's bytes, the same in every process.
pub(crate) fn content(number: usize) -> Vec<u8> {
    let mut random = Random::new(number as u64 + 1);
    if !number.is_multiple_of(PROGRAM_EVERY) {
        let lines = (0..20 + number % 400).map(|line| format!("line {line} of text {}\n", random.hex(1)));
        return lines.collect::<Vec<_>>().concat().into_bytes();
    }
    let mut code = random.hex(300).into_bytes();
    if number.is_multiple_of(WICKED_EVERY) {
        code.extend_from_slice(PATTERN.as_bytes());
    }
    pe::program(&[(".text", code), (".data", random.hex(20).into_bytes())])
}

/// The five hundred signatures of the second generation, by the extension of their file: one finds some of the programs, one a text.
pub(crate) fn new_signatures() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random::new(7);
    let text = content(KNOWN_TEXT);
    let added = ADDED.map(|(kind, count)| {
        let known = match kind {
            "ndb" => Some(format!("Win.Newest.Program-1:1:*:{}\n", hex::encode(PATTERN))),
            "hsb" => Some(format!("{}:{}:Txt.Newest.Text-1\n", hex::encode(Sha256::digest(&text)), text.len())),
            _ => None,
        };
        let mut file = lines(kind, "newest", count - u32::from(known.is_some()), &mut random);
        file.extend(known.unwrap_or_default().into_bytes());
        (kind, file)
    });
    added.into()
}

/// Files that change how the engine scans, which a delta engine loads whole: a few hundred lines of each, as in ClamAV's daily.
pub(crate) fn context() -> [(&'static str, Vec<u8>); 3] {
    let mut random = Random::new(8);
    let trusted = (0..500).map(|number| format!("{}:{}:Trusted-{number}\n", random.hex(2), 1000 + number));
    let trusted = trusted.collect::<String>().into_bytes();
    let ignored = (0..500).map(|number| format!("Win.Trojan.Withdrawn-{number}\n"));
    let allowed = (0..200).map(|number| format!("M:www.shop{number}.example:mail.shop{number}.example\n"));
    let (ignored, allowed) = (ignored.collect::<String>().into_bytes(), allowed.collect::<String>().into_bytes());
    [("fp", trusted), ("ign2", ignored), ("wdb", allowed)]
}
