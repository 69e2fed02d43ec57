//! Signatures that change what others find, or are taken for something else: by patterns that libclamav takes for one, by their names, by
//! their number, and by failing.

use super::{Case, MARKER, TEXT, body, loose};

/// What [`TEXT`] has before `_ONE`, in hexadecimal.
const BEFORE: &str = "4d414c574152455f4d41524b4552";

fn pair(name: &'static str, old: &[(&str, &str)], new: &[(&str, &str)], object: &[u8]) -> Case {
    Case { name, old: loose(old), new: loose(new), object: object.to_vec() }
}

/// Two signatures, of which one comes and goes beside the other, and both change their order.
fn beside(name: &'static str, one: (&str, &str), other: (&str, &str), object: &[u8]) -> Vec<Case> {
    vec![
        pair(name, &[other], &[one, other], object),
        pair(name, &[one], &[one, other], object),
        pair(name, &[(&format!("a.{}", one.0), one.1), other], &[other, (&format!("z.{}", one.0), one.1)], object),
    ]
}

pub(super) fn mistaken() -> Vec<Case> {
    let alternatives = |name: &str, all: &str| format!("{name}:0:*:{BEFORE}({all})20??\n");
    let logical = |name: &str, all: &str| format!("{name};Engine:81-255,Target:0,FileSize:1-2;0;{BEFORE}({all})20??\n");
    let (first, second) = ("61626364|5f4f4e45|6162", "61626566|5f4f4f4f|6162");
    let (narrow, wide) = (format!("N:0:*:{BEFORE}[1-3]45\n"), format!("W:0:*:{BEFORE}[1-30]45\n"));
    let at_start = b"acdefgh and more than that, enough of it\n";
    let uneven = "(61|6262)63646566";
    let (offset, twin) = (format!("A:0:0:{uneven}\n"), format!("U;Engine:81-255,Target:0,FileSize:1-2;0;{uneven}\n"));
    let (group, sub) = ("D:0:$12:626262\n", "S;Engine:81-255,Target:0,FileSize:1-2;0;626262\n");
    let of_group = "M;Engine:81-255,Target:0;0&1;616161;${4-9}12$\n";
    let encrypted = format!("Heuristics.Encrypted.Own:0:*:{MARKER}\n");
    let limit = format!("Heuristics.Limits.Exceeded.Own:0:*:{MARKER}\n");
    let regex = format!("S.Re;Engine:81-255,Target:0;0&1;{MARKER};0/MARKER_O[N]E/\n");
    let failing = format!("P.Utf;Engine:81-255,Target:0;0&1;{MARKER};0/(*UTF)zzz/\n");
    let binary = [TEXT, &[0x81, 0x82, 0xFF, 0xFE]].concat();
    let many = |prefix: &str, from: u32| -> String {
        (from..from + 300).rev().map(|n| body(&format!("{prefix}.{n:04}"))).collect()
    };
    let long = format!("Long:0:*:{}9e9e\n", "9e9e{127}".repeat(40));
    let mut cases = Vec::new();
    for (other, object) in [(second, &b"MALWARE_MARKERabef and more"[..]), (second, TEXT), ("6161|61", TEXT)] {
        cases.extend(beside(
            "alternatives",
            ("ndb", &alternatives("A", first)),
            ("b.ndb", &alternatives("B", other)),
            object,
        ));
        cases.extend(beside("of a size", ("ldb", &logical("A", first)), ("b.ndb", &alternatives("B", other)), object));
    }
    cases.extend(beside("distances", ("ndb", &narrow), ("w.ndb", &wide), b"MALWARE_MARKER0123456789E and more"));
    cases.extend(beside("an offset and uneven alternatives", ("ldb", &twin), ("o.ndb", &offset), at_start));
    cases.extend([
        pair(
            "a pattern of a group",
            &[("d.ndb", group), ("m.ldb", of_group)],
            &[("a.ldb", sub), ("d.ndb", group), ("m.ldb", of_group)],
            b"aaa12345bbb aaa12345bbb",
        ),
        pair("a name as of encryption", &[("a.ndb", &encrypted)], &[], TEXT),
        pair("a name as of a limit", &[("a.ndb", &limit), ("b.ndb", &body("S"))], &[("b.ndb", &body("S"))], TEXT),
        pair("a regular expression that fails", &[("a.ldb", &failing)], &[], &binary),
        pair("one beside another", &[("a.ldb", &failing), ("s.ldb", &regex)], &[("a.ldb", &failing)], &binary),
        pair("more names than are kept", &[], &[("a.ndb", &many("S", 0))], TEXT),
        pair(
            "others than are kept",
            &[("a.ndb", &many("A", 0)), ("b.ndb", &many("B", 0))],
            &[("b.ndb", &many("B", 0)), ("z.ndb", &many("A", 9))],
            TEXT,
        ),
        pair(
            "a file that is called as added lines are",
            &[("added-custom.ndb", &long)],
            &[("added-custom.ndb", &long), ("own.ndb", &body("S"))],
            TEXT,
        ),
    ]);
    cases
}
