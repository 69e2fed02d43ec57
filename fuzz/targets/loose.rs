//! Loose signature files: what is wrong with them, under the name that the first byte chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_clamav::loose::{faults, foreign_name};

const NAMES: [&str; 10] = ["x.ndb", "x.ldb", "x.hdb", "x.hsb", "x.sfp", "x.ign2", "x.yar", "x.cdb", "x.mdb", "x.pdb"];

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(faults(name, bytes, 213).iter().all(|fault| fault.line.is_none_or(|line| (1..=lines).contains(&line))));
    assert!(foreign_name(name, bytes).is_none_or(|line| (1..=lines).contains(&line)));
});
