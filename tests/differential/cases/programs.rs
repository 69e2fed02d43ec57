//! Programs of Windows: those that libclamav trusts by Authenticode, and those whose import table is damaged.

use std::fs;

use sha2::{Digest, Sha256};

use super::{Case, FILLER, case, twins::program};
use crate::incremental::genes::md5_hex;

/// Where Debian's package `clamav-testfiles` puts them; without it there are fewer cases.
const TEST_FILES: &str = "/usr/share/clamav-testfiles";

pub(super) fn programs() -> Vec<Case> {
    let file = program();
    // All but its checksum and where its signature is.
    let signed = [&file[..152], &file[156..216], &file[224..]].concat();
    let found = format!("P.One:1:*:{}\n", hex::encode(&file[560..580]));
    let trust = |size: &str| format!("{}:{size}:Trust:73\n", hex::encode(Sha256::digest(&signed)));
    let trusting =
        |name, size| case(name, &[("own.ndb", &found)], &[("own.ndb", &found), ("own.sfp", &trust(size))], &file);
    let mut cases =
        vec![trusting("a program that is trusted by Authenticode", "2"), trusting("a digest of no file", "3")];
    cases.extend(["clam-aspack.exe", "clam-petite.exe", "clam-wwpack.exe"].into_iter().filter_map(damaged).flatten());
    cases
}

/// A packed program, the first name in whose import table is nowhere.
fn damaged(name: &'static str) -> Option<[Case; 2]> {
    let unpacked = md5_hex(&fs::read(format!("{TEST_FILES}/clam.exe")).ok()?);
    let mut file = fs::read(format!("{TEST_FILES}/{name}")).ok()?;
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?) as usize);
    let header = word(60)?;
    let table = word(header + 128)?;
    let sections = header + 24 + (word(header + 20)? & 0xffff);
    let raw = (0..word(header + 4)? >> 16).find_map(|number| {
        let at = sections + 40 * number;
        let offset = table.checked_sub(word(at + 12)?)?;
        (offset < word(at + 16)?).then_some(word(at + 20)? + offset)
    })?;
    file.get_mut(raw + 12..raw + 16)?.copy_from_slice(&0x7fff_ff00_u32.to_le_bytes());
    let found = format!("{unpacked}:544:Unpacked\n");
    let imports = format!("{}:20:Imports:73\n", "ab".repeat(16));
    let with = |imports: &str| case(name, &[("own.imp", imports), ("own.hdb", &found)], &[("own.hdb", &found)], &file);
    let first = case(name, &[("own.imp", &imports)], &[("own.ndb", FILLER), ("own.hdb", &found)], &file);
    Some([with(&imports), first])
}
