//! Lines are read as libclamav reads them, and what is not read with certainty concerns everything.

use proptest::prelude::*;

use super::*;

fn read(kind: Kind, line: &str) -> (String, Concern, RangeInclusive<u32>) {
    let signature = Signature::parse(kind, line.as_bytes()).expect("a signature");
    let name = String::from_utf8_lossy(signature.name.unwrap_or_default()).into_owned();
    (name, signature.concern, signature.levels)
}

#[test]
fn each_kind_is_read_as_the_manual_says() {
    let md5 = "0123456789abcdef0123456789ABCDEF";
    let digest = FileDigest::from_hex(md5.as_bytes()).expect("a digest");
    for (kind, line, name, concern, levels) in [
        (Kind::FileHash, format!("{md5}:68:A"), "A", Concern::File { digest, size: Some(68) }, ALL_LEVELS),
        (Kind::FileHash, format!("{md5}:*:A:73"), "A", Concern::File { digest, size: None }, 73..=u32::MAX),
        (Kind::FileHash, format!("{md5}:68:A:73:99\r"), "A", Concern::File { digest, size: Some(68) }, 73..=99),
        (Kind::ProgramHash, format!("68:{md5}:A:1:2"), "A", Concern::Target(1), 1..=2),
        (Kind::TrustHash, format!("{md5}:68:A"), "A", Concern::Trust { digest }, ALL_LEVELS),
        (Kind::Body, "A:1:*:00ff".into(), "A", Concern::Target(1), ALL_LEVELS),
        (Kind::Body, "A:0:EOF-4:00ff:51:90".into(), "A", Concern::Any, 51..=90),
        (Kind::Logical, "A;Engine:51-255,Target:10;0;00ff".into(), "A", Concern::Target(10), 51..=255),
        (Kind::Logical, "A;Target:0;0;00ff".into(), "A", Concern::Any, ALL_LEVELS),
        (Kind::Logical, "A;Target:5;0;fuzzy_img#0123456789abcdef#0".into(), "A", Concern::Any, ALL_LEVELS),
        (Kind::ContainerMetadata, "A:CL_TYPE_ZIP:*:x:*:*:*:1:*:*:73:80".into(), "A", Concern::Any, 73..=80),
        (Kind::LegacyBody, "A=00ff".into(), "A", Concern::Any, ALL_LEVELS),
        (Kind::Phishing, "H:example.com".into(), "", Concern::Phishing, ALL_LEVELS),
        (Kind::AllowedUrl, "M:a.example:b.example".into(), "", Concern::AllowedUrl, ALL_LEVELS),
    ] {
        assert_eq!(read(kind, &line), (name.to_owned(), concern, levels), "{line}");
    }
}

#[test]
fn what_acts_on_other_signatures_or_cannot_be_read_concerns_everything() {
    for (kind, line) in [
        (Kind::Body, "A:0:$12:00ff"),
        (Kind::Body, "A"),
        (Kind::Logical, "A;Engine:1-2,Target:1;0;${6-7}12$"),
        (Kind::Logical, "A;Engine:1-2,Surprise:1;0;00"),
        (Kind::Logical, "A"),
        (Kind::FileHash, "0123:68:A"),
        (Kind::FileHash, "0123456789abcdef0123456789abcdef:many:A"),
        (Kind::TrustHash, "A"),
        (Kind::TrustHash, "0123456789abcdef0123456789abcdef01234567:2:A"),
        (Kind::TrustHash, "0123456789abcdef0123456789abcdef01234567: 2:A"),
        (Kind::OpaqueContext, "anything"),
    ] {
        assert_eq!(read(kind, line).1, Concern::Everything, "{line}");
    }
    for target in ["", "x", "15", "-1", "1x"] {
        assert_eq!(read(Kind::Body, &format!("A:{target}:*:00")).1, Concern::Any, "{target}");
    }
}

#[test]
fn a_handler_retypes_what_its_target_matches() {
    for (target, expected) in [(1, Some(1)), (0, None)] {
        let line = format!("A;HandlerType:CL_TYPE_ZIP,Engine:1-2,Target:{target};0;00");
        assert_eq!(read(Kind::Logical, &line), ("A".into(), Concern::Interferes { target: expected }, 1..=2));
    }
}

#[test]
fn comments_and_empty_lines_are_no_signatures() {
    for line in ["", "\r", "# There must always be one line in the file"] {
        assert_eq!(Signature::parse(Kind::Body, line.as_bytes()), None);
    }
}

proptest! {
    #[test]
    fn no_line_panics_the_reader(line: Vec<u8>, kind in 0_usize..14) {
        let names = ["a.hdb", "a.mdb", "a.fp", "a.ndb", "a.ldb", "a.cdb", "a.db", "a.pdb", "a.ign2", "a.ftm", "a.cbc", "a.yar", "a.info", "a.x"];
        let _ = Signature::parse(Kind::of(names[kind]), &line);
    }

    #[test]
    fn a_name_alone_is_that_of_the_whole_line(line in "[#0-9a-f:*\\r\\x00]{0,80}", name in "[A-Z.]{0,9}", kind in 0_usize..4) {
        let kind = [Kind::FileHash, Kind::ProgramHash, Kind::Body, Kind::Logical][kind];
        for line in [line.clone(), format!("{line}:{name}"), format!("{}:5:{name}:73", "0a".repeat(16)), "a".repeat(9000)] {
            let parsed = Signature::parse(kind, line.as_bytes()).and_then(|signature| signature.name);
            prop_assert_eq!(Signature::name_of(kind, line.as_bytes()), parsed, "{}", line);
        }
    }
}
