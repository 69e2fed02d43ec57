//! What a layer's own bytes say about it: that it is encrypted, or a container that nothing here opens.
//!
//! libclamav calls both clean: it knows few kinds of encryption, and takes a format that it does not open for plain data. Each parser
//! here takes bytes and returns names, reads no more than it must, and opens nothing. The client decides what follows.

mod alz;
mod armour;
mod asn1;
mod base64;
mod bytes;
mod compressed_objects;
mod compressed_rtf;
mod containers;
mod disks;
mod empty;
mod forks;
mod intel_hex;
mod mail;
mod odf;
mod office;
mod ole2;
mod onenote;
mod openpgp;
mod package;
mod packers;
mod parts;
mod pdf;
mod pieces;
mod resources;
mod streams;
mod tnef;
mod uuencode;
mod volumes;

use std::{collections::BTreeSet, ops::Range};

use nacre_engine_protocol::Layer;

use crate::archive::arj;

/// What the layers of one object say.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Kinds of encryption, as `Nacre.Encrypted.Age`.
    pub(crate) encrypted: BTreeSet<&'static str>,
    /// Containers that nothing here opens.
    pub(crate) containers: BTreeSet<&'static str>,
    /// Indexes of archives that hold folders, empty files and others too small to be layers, and nothing else.
    pub(crate) empty: BTreeSet<usize>,
    /// Indexes of text layers that a mail program takes for a mail with parts.
    mails: Vec<usize>,
    /// A PDF that an empty password opens was written anew, and another one may be encrypted.
    opened: bool,
    unopened: bool,
}

/// What the second reader got out of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// All that is in it.
    pub(crate) whole: bool,
    /// Bytes from its start that are an archive's own, of which all came out.
    pub(crate) covered: usize,
    /// Parts of it that are layers by themselves, as they stand in it or unpacked, from front to back.
    pub(crate) members: Vec<Range<usize>>,
}

impl Marks {
    /// Inspects the layer that will be the `at`th. `coverage` says what the second reader got out of it. What is to be scanned as layers of
    /// its own is given to `keep`.
    pub(crate) fn inspect(
        &mut self,
        at: usize,
        file_type: &[u8],
        content: &[u8],
        coverage: &Coverage,
        keep: &mut dyn FnMut(&[u8]),
    ) {
        self.encrypted.extend(encryption(content));
        self.containers.extend(containers::container(content, coverage.whole));
        if empty::holds_nothing(content) {
            self.empty.insert(at);
        }
        let pdf = pdf::Pdf::of(content);
        let opened = if pdf.encrypted { pdf::opened(content) } else { None };
        if let Some(document) = &opened {
            keep(document);
        }
        self.opened |= opened.is_some();
        self.unopened |= opened.is_none() && pdf.names_encryption;
        if pdf.packed && opened.is_none() {
            self.containers.insert("a stream of a PDF that stays packed");
        }
        if pdf.encrypted && opened.is_none() {
            self.encrypted.insert("Nacre.Encrypted.PDF");
        }
        let mail = mail::Mail::of(content);
        self.encrypted.extend(mail.encrypted);
        if mail.partial {
            self.containers.insert("a piece of a mail");
        }
        if mail.is_taken_for_text(content, file_type) {
            self.mails.push(at);
        }
        if onenote::is_cut(content) {
            self.containers.insert("a file of OneNote that is cut");
        }
        if coverage.covered == 0 {
            self.containers.extend(pieces::pieces(content, file_type, opened.is_some(), keep));
            return;
        }
        // Attack: an archive before something else, or behind it, or around it, that tools find as well.
        let beyond = content.get(coverage.covered..).unwrap_or_default();
        self.containers.extend(pieces::around(content, &coverage.members, file_type, opened.is_some(), keep));
        if beyond.iter().any(|byte| *byte != 0) {
            keep(beyond);
        }
    }

    /// Whether an alert of libclamav's means an encryption that was opened here. It does not say of which layer it is: no other may be
    /// encrypted.
    pub(crate) fn is_opened(&self, alert: &str) -> bool {
        self.opened && !self.unopened && alert == "Heuristics.Encrypted.PDF"
    }

    /// Concludes when all layers are known, in the order in which libclamav showed them: a mail of which libclamav shows no part is one
    /// that it took for text. `found` has the first layer of each scan of what the second reader found: it is no part of the layer
    /// before it.
    pub(crate) fn conclude(&mut self, layers: &[Layer], found: &[(usize, usize)]) {
        let taken_for_text = |at: &usize| {
            let begins_a_scan = found.binary_search_by_key(&(at + 1), |(first, _)| *first).is_ok();
            let (mail, next) = (layers.get(*at), layers.get(at + 1).filter(|_| !begins_a_scan));
            mail.is_some_and(|mail| next.is_none_or(|next| next.depth <= mail.depth))
        };
        if self.mails.iter().any(taken_for_text) {
            self.containers.insert("a mail taken for text");
        }
    }
}

/// Encryption by marks at a fixed place.
const SCHEMES: [(usize, &[u8], &str); 16] = [
    (0, b"LUKS\xBA\xBE\0", "Nacre.Encrypted.LUKS"),
    // The second header of LUKS 2, where the first is lost or left out.
    (0x4000, b"SKUL\xBA\xBE\0\x02", "Nacre.Encrypted.LUKS"),
    (3, b"-FVE-FS-", "Nacre.Encrypted.BitLocker"),
    // BitLocker To Go: its identifier in a boot sector of FAT.
    (0x1A8, BITLOCKER, "Nacre.Encrypted.BitLocker"),
    (0, b"encrcdsa", "Nacre.Encrypted.DMG"),
    (0, b"age-encryption.org/v", "Nacre.Encrypted.Age"),
    (0, b"AES\x01\0", "Nacre.Encrypted.AESCrypt"),
    (0, b"AES\x02\0", "Nacre.Encrypted.AESCrypt"),
    (0, b"AES\x03\0", "Nacre.Encrypted.AESCrypt"),
    (0, b"\xC0\xB9\x07\x2E\x4F\x93\xF1\x46\xA0\x15\x79\x2C\xA1\xD9\xE8\x21", "Nacre.Encrypted.AxCrypt"),
    (0, b"scrypt\0", "Nacre.Encrypted.Scrypt"),
    (0, b"RCLONE\0\0", "Nacre.Encrypted.Rclone"),
    (0, b"\0GITCRYPT\0", "Nacre.Encrypted.GitCrypt"),
    // Rights management of Microsoft: any file, and a mail.
    (0, b".pfile", "Nacre.Encrypted.RightsManagement"),
    (0, b"\x76\xE8\x04\x60\xC4\x11\xE3\x86", "Nacre.Encrypted.RightsManagement"),
    (0, b"\x01\0\0\0\xD0\x8C\x9D\xDF\x01\x15\xD1\x11\x8C\x7A\0\xC0\x4F\xC2\x97\xEB", "Nacre.Encrypted.DPAPI"),
];
const BITLOCKER: &[u8] = b"\x3B\xD6\x67\x49\x29\x2E\xD8\x4A\x83\x99\xF6\xA3\x39\xE3\xD0\x01";

/// The kind of encryption that `content` begins with.
fn encryption(content: &[u8]) -> Option<&'static str> {
    if let Some(file) = ole2::CompoundFile::parse(content) {
        return office::encryption(&file);
    }
    if let Some((_, _, kind)) = SCHEMES.iter().find(|(at, mark, _)| bytes::has(content, *at, mark)) {
        return Some(kind);
    }
    if content.len() > 512 && content.ends_with(b"cdsaencr") {
        return Some("Nacre.Encrypted.DMG");
    }
    // Longer than the mark and its salt: a text that names the mark holds nothing.
    if content.starts_with(b"Salted__") && content.len() > 16 {
        return Some("Nacre.Encrypted.OpenSSL");
    }
    if office::is_encrypted_workbook(content) {
        return Some("Nacre.Encrypted.Excel");
    }
    if asn1::is_enveloped(content) {
        return Some("Nacre.Encrypted.CMS");
    }
    if openpgp::is_encrypted(content) {
        return Some("Nacre.Encrypted.PGP");
    }
    if arj::is_encrypted(content) {
        return Some("Nacre.Encrypted.ARJ");
    }
    if alz::is_encrypted(content) {
        return Some("Nacre.Encrypted.ALZ");
    }
    if odf::is_encrypted(content) {
        return Some("Nacre.Encrypted.ODF");
    }
    armour::encryption(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STARTS: [&[u8]; 14] = [
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x1F\x8B\x08\x08",
        b"7z\xBC\xAF\x27\x1C",
        b"MSCF\0\0\0\0",
        b"\x60\xEA\x1E\0",
        b"ALZ\x01\0\0\0\0BLZ\x01",
        b"\x30\x80\x06",
        b"\x85\x01\x0C\x03",
        b"\xA3\x01",
        b"-----BEGIN PKCS7-----\n",
        b"<manifest><encryption-data",
        b"Content-Type: multipart/mixed;\n ",
    ];

    proptest! {
        #[test]
        fn no_bytes_panic_it(start in prop::sample::select(&STARTS[..]), bytes: Vec<u8>, fill: u8, length in 0_usize..1200) {
            for filling in [fill, 0, 1, 0xFF] {
                Marks::default().inspect(0, b"CL_TYPE_TEXT_ASCII", &[start, &vec![filling; length], &bytes].concat(), &Coverage::default(), &mut |_| {});
                Marks::default().inspect(0, b"CL_TYPE_ANY", &[start, &bytes, &vec![filling; length]].concat(), &Coverage::default(), &mut |_| {});
            }
        }

        #[test]
        fn no_damaged_compound_file_panics_it(at in 0_usize..1536, value: u8, length in 0_usize..5632) {
            let mut file = office::tests::compound("Workbook", b"\x09\x08\x04\0");
            file[at] = value;
            Marks::default().inspect(0, b"CL_TYPE_MSOLE2", &file, &Coverage::default(), &mut |_| {});
            Marks::default().inspect(0, b"CL_TYPE_MSOLE2", &file[..length], &Coverage::default(), &mut |_| {});
        }
    }

    #[test]
    fn ciphertext_is_distinguished_from_what_resembles_it() {
        let session_key = [&[0x85, 0, 12, 3][..], &[7; 8], &[1, 9, 9]].concat();
        let pgp = |next: u8| [&session_key[..], &[next, 3, 1, 2, 3]].concat();
        let salted = |length: usize| [b"Salted__", &vec![7; length][..]].concat();
        for (content, expected) in [
            (pgp(0xD2), Some("Nacre.Encrypted.PGP")),
            (pgp(0x88), None),
            (b"\x8C\x0D\x04\x09\x03\x0A12345678\x60\xD2\x01\x00".to_vec(), Some("Nacre.Encrypted.PGP")),
            (b"-----BEGIN PGP MESSAGE-----\n".to_vec(), Some("Nacre.Encrypted.PGP")),
            (b"-----BEGIN PGP SIGNATURE-----\n".to_vec(), None),
            (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n".to_vec(), None),
            (b"age-encryption.org/v1\n-> X25519 x\n".to_vec(), Some("Nacre.Encrypted.Age")),
            (salted(24), Some("Nacre.Encrypted.OpenSSL")),
            (salted(77), Some("Nacre.Encrypted.OpenSSL")),
            (b"\x09\x04\x06\0\0\0\x10\0\0\0\x2F\0\x04\0abcd".to_vec(), Some("Nacre.Encrypted.Excel")),
            (b"\x09\x04\x06\0\0\0\x10\0\0\0\x42\0\x02\0ab".to_vec(), None),
            (salted(5), None),
            (b"LUKS\xBA\xBE\0\x01aes".to_vec(), Some("Nacre.Encrypted.LUKS")),
            (b"\x30\x82\x01\x02\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03".to_vec(), Some("Nacre.Encrypted.CMS")),
            (b"\x30\x82\x01\x02\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02".to_vec(), None),
            (b"-----BEGIN PKCS7-----\nMIAGCSqGSIb3DQEHA6CAMIACAQAxggFO\n".to_vec(), Some("Nacre.Encrypted.CMS")),
            (b"-----BEGIN PKCS7-----\nMIAGCSqGSIb3DQEHAqCAMIACAQAxggFO\n".to_vec(), None),
        ] {
            assert_eq!(encryption(&content), expected, "{:?}", String::from_utf8_lossy(&content));
        }
    }
}
