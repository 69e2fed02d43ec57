//! Several lines of one import table, or of one URL: the order decides which of them counts.

use sha2::{Digest, Sha256};

use super::{Case, FILLER, case, loose};
use crate::incremental::genes::md5_hex;

const MAIL: &[u8] =
    b"From: a@b.example\nTo: c@d.example\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/html\n\n<html><body>\
<a href=\"http://evil.example.org/x\">https://www.bank.example/</a></body></html>\n";

/// What libclamav makes an MD5 of for the program here: its length is the size in the line.
const IMPORTS: &str = "kernel32.exitprocess";

pub(super) fn twins() -> Vec<Case> {
    [imports(), urls()].into_iter().flatten().collect()
}

/// A program of Windows that imports one function.
pub(super) fn program() -> Vec<u8> {
    let words = |values: &[u32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let halves = |values: &[u16]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let mut file = [b"MZ".to_vec(), vec![0; 58], words(&[64]), b"PE\0\0".to_vec(), halves(&[0x14c, 1])].concat();
    file.extend([words(&[0, 0, 0]), halves(&[224, 0x102, 0x10b, 6])].concat());
    file.extend(words(&[0, 512, 0, 0x1000, 0x1000, 0x1000, 0x40_0000, 0x1000, 512, 4, 0, 4, 0, 0x2000, 512, 0]));
    file.extend(words(&[3, 0x10_0000, 0x1000, 0x10_0000, 0x1000, 0, 16, 0, 0, 0x1000, 128]));
    file.extend(words(&[0; 28]));
    file.extend([b".idata\0\0".to_vec(), words(&[128, 0x1000, 512, 512, 0, 0, 0, 0xc000_0040])].concat());
    file.resize(512, 0);
    file.extend(words(&[0x1028, 0, 0, 0x1046, 0x1030, 0, 0, 0, 0, 0, 0x1038, 0, 0x1038, 0]));
    file.extend(b"\0\0ExitProcess\0KERNEL32.dll\0");
    file.resize(1024, 0x90);
    file
}

fn imports() -> Vec<Case> {
    let md5 = md5_hex(IMPORTS.as_bytes());
    let line = |name: &str, size: &str| format!("{md5}:{size}:{name}\n");
    let (a, b, zero) = (line("I.A", "20"), line("I.B", "20"), line("I.A", "020"));
    let (of, file) = (|text: &str| loose(&[("own.imp", text)]), program());
    let pair = |name, old: &str, new: &str| Case { name, old: of(old), new: of(new), object: file.clone() };
    vec![
        pair("two names of an import table change places", &format!("{a}{b}"), &format!("{b}{a}")),
        pair(
            "two names of an import table, whose size is written in two ways",
            &line("No", "7"),
            &format!("{b}{zero}"),
        ),
        case(
            "the file of an import table is renamed",
            &[("a.imp", &a), ("m.imp", &b)],
            &[("z.imp", &a), ("m.imp", &b)],
            &file,
        ),
    ]
}

fn urls() -> Vec<Case> {
    let url = hex::encode_upper(Sha256::digest(b"evil.example.org/x"));
    let line = |kind: &str| format!("{kind}:{url}\n");
    let (listed, other, allowed) = (line("S1:F"), line("S2:F"), line("S:W"));
    let pair = |name, old: &str, new: &str| case(name, &[("own.gdb", old)], &[("own.gdb", new)], MAIL);
    let domain = "H:www.bank.example\n";
    vec![
        Case {
            name: "a hash of a URL",
            old: vec![("filler.ndb".into(), FILLER.into())],
            new: loose(&[("own.gdb", &listed)]),
            object: MAIL.to_vec(),
        },
        pair("a hash of a URL that is allowed", &listed, &format!("{allowed}{listed}")),
        pair("a hash of a URL that is allowed after it", &listed, &format!("{listed}{allowed}")),
        pair("a second kind of a URL's hash", &listed, &format!("{listed}{other}")),
        pair("two kinds of a URL's hash change places", &format!("{listed}{other}"), &format!("{other}{listed}")),
        case(
            "a hash of a URL that is allowed in another file",
            &[("own.gdb", &listed)],
            &[("own.gdb", &listed), ("local.gdb", &allowed)],
            MAIL,
        ),
        case(
            "hashes of URLs among domains",
            &[("own.pdb", &listed)],
            &[("own.pdb", &format!("{allowed}{listed}"))],
            MAIL,
        ),
        case(
            "a hash of a URL of a domain that is imitated",
            &[("own.pdb", domain)],
            &[("own.pdb", domain), ("own.gdb", &listed)],
            MAIL,
        ),
        case(
            "a link that a second line matches",
            &[("own.pdb", "R:.+\\.example\\.org([/?].*)?:.+\\.bank\\.example\n")],
            &[("own.pdb", &format!("R:.+\\.example\\.org([/?].*)?:.+\\.bank\\.example\n{domain}"))],
            MAIL,
        ),
    ]
}
