//! What a layer's own bytes tell about it: that it is encrypted, or a container that nothing here opens.
//!
//! libclamav calls both clean: it knows few kinds of encryption, and takes a format that it does not open for plain data. Each parser
//! here takes bytes and returns names, reads no more than it must, and opens nothing. The client decides what follows.

mod alz;
mod armour;
mod asn1;
mod bytes;
mod containers;
mod disks;
mod empty;
mod mail;
mod odf;
mod office;
mod ole2;
mod openpgp;
mod pdf;
mod streams;
mod volumes;

use std::collections::BTreeSet;

use nacre_engine_protocol::Layer;

use crate::archive::arj;

/// What the layers of one object told.
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
}

impl Marks {
    /// Inspects the layer that will be the `at`th. `read_whole` says whether the second reader got out all that is in it.
    pub(crate) fn inspect(&mut self, at: usize, file_type: &[u8], content: &[u8], read_whole: bool) {
        self.encrypted.extend(encryption(content));
        self.containers.extend(containers::container(content, read_whole));
        if empty::holds_nothing(content) {
            self.empty.insert(at);
        }
        let pdf = pdf::Pdf::of(content);
        if pdf.packed {
            self.containers.insert("a stream of a PDF that stays packed");
        }
        if pdf.encrypted {
            self.encrypted.insert("Nacre.Encrypted.PDF");
        }
        let mail = mail::Mail::of(content);
        self.encrypted.extend(mail.encrypted);
        if mail.partial {
            self.containers.insert("a piece of a mail");
        }
        if mail.has_parts && file_type.starts_with(b"CL_TYPE_TEXT") {
            self.mails.push(at);
        }
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

/// The kind of encryption that `content` begins with.
fn encryption(content: &[u8]) -> Option<&'static str> {
    if let Some(file) = ole2::CompoundFile::parse(content) {
        return office::encryption(&file);
    }
    if content.starts_with(b"LUKS\xba\xbe\0") {
        return Some("Nacre.Encrypted.LUKS");
    }
    if content.get(3..11) == Some(b"-FVE-FS-") {
        return Some("Nacre.Encrypted.BitLocker");
    }
    if content.starts_with(b"encrcdsa") || content.len() > 512 && content.ends_with(b"cdsaencr") {
        return Some("Nacre.Encrypted.DMG");
    }
    if content.starts_with(b"age-encryption.org/v1\n") {
        return Some("Nacre.Encrypted.Age");
    }
    // Longer than the mark and its salt: a text that names the mark holds nothing.
    if content.starts_with(b"Salted__") && content.len() >= 32 && content.len().is_multiple_of(8) {
        return Some("Nacre.Encrypted.OpenSSL");
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
                Marks::default().inspect(0, b"CL_TYPE_TEXT_ASCII", &[start, &vec![filling; length], &bytes].concat(), false);
                Marks::default().inspect(0, b"CL_TYPE_ANY", &[start, &bytes, &vec![filling; length]].concat(), false);
            }
        }

        #[test]
        fn no_damaged_compound_file_panics_it(at in 0_usize..1536, value: u8, length in 0_usize..5632) {
            let mut file = office::tests::compound("Workbook", b"\x09\x08\x04\0");
            file[at] = value;
            Marks::default().inspect(0, b"CL_TYPE_MSOLE2", &file, false);
            Marks::default().inspect(0, b"CL_TYPE_MSOLE2", &file[..length], false);
        }
    }

    #[test]
    fn ciphertext_is_told_from_what_resembles_it() {
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
