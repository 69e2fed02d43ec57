//! What a `.sign` file says around its signatures.

use super::*;

#[test]
fn a_signature_is_for_the_levels_that_it_names() {
    let level = |window: &str, level: u32| {
        let certificates = SigningCertificates::generate().window(window);
        verify(&certificates.sign(CONTENT), CONTENT, &certificates.root(), FunctionalityLevel(level), today())
    };
    for (window, least, greatest) in [("230:", 230, u32::MAX), ("0:240", 0, 240), ("233:233", 233, 233)] {
        assert_eq!(level(window, least), signed(), "{window}");
        assert_eq!(level(window, greatest), signed(), "{window}");
        if let Some(below) = least.checked_sub(1) {
            assert_eq!(level(window, below), Ok(Detached::NotForUs), "{window}");
        }
        if let Some(above) = greatest.checked_add(1) {
            assert_eq!(level(window, above), Ok(Detached::NotForUs), "{window}");
        }
    }
    assert_eq!(level("240:230", 235), Ok(Detached::NotForUs));
}

#[test]
fn every_line_for_us_must_hold() {
    let certificates = SigningCertificates::fixed();
    let root = certificates.root();
    let right = certificates.line(&certificates.signature(CONTENT, None));
    let wrong = certificates.line(&certificates.signature(b"other content", None));
    let check = |lines: &str| check(format!("#clamsign-1.0\n{lines}").as_bytes(), CONTENT, &root);
    let fails = |line| Err(DetachedError::Signature { line, source: SignedDataError::Content });

    assert_eq!(check(&right), signed());
    assert_eq!(check(&right.replace('\n', "\r\n")), signed());
    assert_eq!(check(&format!("# a comment\n\n{right}\n#{wrong}")), signed());
    assert_eq!(check(&format!("{right}{right}")), signed());
    assert_eq!(check(&format!("{right}{wrong}")), fails(3));
    assert_eq!(check(&format!("{wrong}{right}")), fails(2));
    // Neither what is over nor what is to come is ours to judge.
    assert_eq!(check(&format!("1:200:md5:?\n{right}500::other:what:ever\n")), signed());
    assert_eq!(check("500::other:what:ever\n"), Ok(Detached::NotForUs));
    assert_eq!(check(&right.repeat(4)), signed());
    assert_eq!(check(&right.repeat(5)), Err(DetachedError::TooManySignatures(5)));
}

#[test]
fn a_broken_file_is_refused() {
    let certificates = SigningCertificates::fixed();
    let right = String::from_utf8(certificates.sign(CONTENT)).unwrap();
    let line = |line: &str| format!("#clamsign-1.0\n{line}\n");
    for (file, error) in [
        (String::new(), DetachedError::FirstLine),
        (right.replace("1.0", "1.1"), DetachedError::FirstLine),
        (format!("\n{right}"), DetachedError::FirstLine),
        (line(""), DetachedError::NoSignature),
        (line("# 230::pkcs7-pem:AAAA"), DetachedError::NoSignature),
        (right.clone() + "nonsense", DetachedError::Line(3)),
        (line("230"), DetachedError::Line(2)),
        (line("230:"), DetachedError::Line(2)),
        (line("::pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("+230::pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("230:x:pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("4294967296::pkcs7-pem:AAAA"), DetachedError::Line(2)),
        (line("230::pkcs7:AAAA"), DetachedError::Format(2)),
        (line("230::pkcs7-pem"), DetachedError::Format(2)),
        (line("230::pkcs7-pem:AAA"), DetachedError::Base64(2)),
        (line("230::pkcs7-pem:AAA*"), DetachedError::Base64(2)),
        (right.replace("\n230", "\u{a0}\n230"), DetachedError::NotText),
        (right.clone() + &"#".repeat(64 << 10), DetachedError::TooLarge(right.len() + (64 << 10))),
    ] {
        assert_eq!(check(file.as_bytes(), CONTENT, &certificates.root()), Err(error), "{file}");
    }
    for nothing in ["", "AAAA", "MAA=", "MIAAAA=="] {
        let refused = check(line(&format!("230::pkcs7-pem:{nothing}")).as_bytes(), CONTENT, &certificates.root());
        let Err(DetachedError::Signature { line: 2, source: SignedDataError::Shape(_) }) = refused else {
            panic!("{nothing}: {refused:?}")
        };
    }
}
