//! What stands around a match, or is held in memory, and is no layer: trust in it, given and taken back.

use super::{Case, FILLER, Files, digest, loose};
use crate::incremental::{
    corpus::unseen::{alz, lha, self_extracting},
    genes::md5_hex,
};

fn long_text() -> Vec<u8> {
    b"a plain little file of many words, ".repeat(20)
}

fn fp(of: &[u8]) -> String {
    format!("{}:{}:Trust\n", md5_hex(of), of.len())
}

fn sfp(of: &[u8]) -> String {
    digest(of, "Trust")
}

/// A file in which something is found by its digest, with and without trust.
fn trusting(name: &'static str, found: &[u8], (extension, trust): (&str, String), object: &[u8]) -> Case {
    let found = digest(found, "Found");
    let new: Files = loose(&[("own.hsb", &found), (&format!("own.{extension}"), &trust)]);
    Case { name, old: loose(&[("own.hsb", &found)]), new, object: object.to_vec() }
}

pub(super) fn unseen() -> Vec<Case> {
    let text = long_text();
    let (program, archive) = self_extracting("inner.txt", &text);
    let mut cases = vec![
        trusting("the archive in a program", &text, ("fp", fp(&archive)), &program),
        trusting("the archive in a program, by SHA-256", &text, ("sfp", sfp(&archive)), &program),
        trusting("the archive in a program in a file of an archive", &text, ("fp", fp(&archive)), &lha(&program)),
        trusting("a file in memory", &text, ("sfp", sfp(&text)), &lha(&text)),
        trusting("an archive in memory", &text, ("fp", fp(&lha(&text))), &alz(&lha(&text))),
    ];
    cases.extend([lha(&text), alz(&text)].into_iter().map(|object| Case {
        name: "a digest of a file in memory",
        old: vec![("filler.ndb".into(), FILLER.into())],
        new: loose(&[("own.hsb", &digest(&text, "Found"))]),
        object,
    }));
    cases
}
