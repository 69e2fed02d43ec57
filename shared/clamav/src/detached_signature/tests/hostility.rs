//! Signatures that were changed: no byte of one can be.

use proptest::prelude::*;

use super::*;

#[test]
fn nothing_follows_signed_data() {
    let certificates = SigningCertificates::fixed();
    let signature = certificates.signature(CONTENT, None);
    let longer = certificates.file(&[signature.as_slice(), &[0x05, 0x00]].concat());
    assert!(check(&longer, CONTENT, &certificates.root()).is_err());
    let shorter = certificates.file(&signature[..signature.len() - 1]);
    assert!(check(&shorter, CONTENT, &certificates.root()).is_err());
}

#[test]
fn no_byte_of_a_signature_can_be_changed() {
    let masks: [(_, &[u8]); 2] = [(KeyKind::P256, &[0x01, 0x20, 0x80, 0xff]), (KeyKind::RsaSha256, &[0x01])];
    for (kind, masks) in masks {
        let certificates = chain(|specs| specs.iter_mut().for_each(|spec| spec.key = kind));
        let (root, der) = (certificates.root(), certificates.signature(CONTENT, None));
        for (at, mask) in (0..der.len()).flat_map(|at| masks.iter().map(move |mask| (at, *mask))) {
            let mut changed = der.clone();
            changed[at] ^= mask;
            assert!(check(&certificates.file(&changed), CONTENT, &root).is_err(), "byte {at} of {kind:?} ^ {mask:#x}");
        }
    }
}

#[test]
fn no_digit_of_a_signature_can_be_changed() {
    let certificates = SigningCertificates::fixed();
    let (root, file) = (certificates.root(), certificates.sign(CONTENT));
    let begin = file.iter().rposition(|byte| *byte == b':').unwrap() + 1;
    for at in begin..file.len() - 1 {
        for digit in *b"A9/=" {
            let mut changed = file.clone();
            changed[at] = digit;
            assert_eq!(check(&changed, CONTENT, &root).is_ok(), changed == file, "byte {at} to {digit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_panic_the_verifier(bytes: Vec<u8>, lines in "[0-9:#a-z=\n-]{0,80}") {
        let certificates = SigningCertificates::fixed();
        let root = certificates.root();
        for file in [bytes.clone(), format!("#clamsign-1.0\n{lines}").into_bytes(), certificates.file(&bytes)] {
            let said = check(&file, CONTENT, &root);
            prop_assert!(said.is_err() || said == Ok(Detached::NotForUs));
        }
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(RootCertificate::from_pem(&text).is_err());
    }

    #[test]
    fn no_splice_of_a_signature_holds(cut: prop::sample::Index, length in 0_usize..40, patch: Vec<u8>) {
        let certificates = SigningCertificates::fixed();
        let der = certificates.signature(CONTENT, None);
        let begin = cut.index(der.len());
        let end = (begin + length).min(der.len());
        let spliced = [&der[..begin], &patch, &der[end..]].concat();
        let verified = check(&certificates.file(&spliced), CONTENT, &certificates.root());
        prop_assert_eq!(verified.is_ok(), spliced == der);
    }

    #[test]
    fn whatever_is_signed_verifies(content: Vec<u8>, other: Vec<u8>) {
        let certificates = SigningCertificates::fixed();
        let (root, file) = (certificates.root(), certificates.sign(&content));
        prop_assert_eq!(check(&file, &content, &root), signed());
        prop_assert_eq!(check(&file, &other, &root).is_ok(), content == other);
    }
}
