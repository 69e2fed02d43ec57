//! Containers: the header, the archive within its limits, and everything that is signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::{LIMITS, anchors};
use nacre_clamav::{archive::members, cvd::{Cvd, CvdHeader}, database::{ContainerKind, DatabaseName}};

fuzz_target!(|data: &[u8]| {
    // A file's kind is known by its name alone.
    let Some((kind, file)) = data.split_first() else { return };
    let kind = if *kind == b'l' { ContainerKind::Cld } else { ContainerKind::Cvd };
    let Ok(cvd) = Cvd::parse_as(kind, file) else { return };
    assert_eq!(CvdHeader::parse(&cvd.header().to_bytes()).as_ref(), Ok(cvd.header()));

    let unpacked = cvd.unpack(LIMITS);
    let (mut archive, mut seen) = (members(cvd.payload(), LIMITS), 0);
    while let Ok(Some((_, size))) = archive.next_in_pieces(|_, piece| seen += piece.len() as u64) {
        assert!(size <= LIMITS.member_bytes);
    }
    assert!(seen <= LIMITS.unpacked_bytes);

    let name = DatabaseName::new("daily").expect("a name");
    let Ok(verified) = cvd.verify(&name, anchors(), LIMITS) else { return };
    // What verifies can be used: it unpacks to just what was verified, and packs into what verifies.
    let unpacked = unpacked.expect("what verified");
    for member in &verified.members {
        assert_eq!(unpacked.members[&member.name].len() as u64, member.size);
    }
    assert_eq!(unpacked.members.len(), verified.members.len() + 2);
    let cld = unpacked.to_cld(&name).expect("what verified");
    let again = Cvd::parse_as(ContainerKind::Cld, &cld).expect("our own header");
    assert_eq!(again.verify(&name, anchors(), LIMITS).expect("what verified").members, verified.members);
});
