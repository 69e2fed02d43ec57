//! The laws of reading a payload.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(payload: &[u8], limits: ArchiveLimits) -> Result<Vec<Member<'_>>, ArchiveError> {
    members(payload, limits).collect()
}

fn one(name: &str, bytes: &[u8]) -> Vec<u8> {
    to_tar([(name, bytes)].into_iter())
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 1..5)) {
        let packed: Vec<Member<'_>> = contents.into_iter().enumerate()
            .map(|(n, bytes)| Member { name: if n == 0 { "COPYING".into() } else { format!("m{n}.ndb") }, bytes: bytes.into() }).collect();
        let tar = to_tar(packed.iter().map(|member| (member.name.as_str(), &*member.bytes)));
        prop_assert_eq!(&read(&tar, ArchiveLimits::default()).unwrap(), &packed);
        let zipped = gzipped(&tar);
        prop_assert_eq!(&read(&zipped, ArchiveLimits::default()).unwrap(), &packed);
        for payload in [tar, zipped] {
            let (mut pieces, mut seen) = (members(&payload, ArchiveLimits::default()), Vec::new());
            let mut bytes = Vec::new();
            while let Some((name, size)) = pieces.next_in_pieces(|_, piece| bytes.extend_from_slice(piece)).unwrap() {
                prop_assert_eq!(size, bytes.len() as u64);
                seen.push(Member { name, bytes: std::mem::take(&mut bytes).into() });
            }
            prop_assert_eq!(&seen, &packed);
        }
    }

    #[test]
    fn no_bytes_panic_or_exceed_their_limits(bytes: Vec<u8>, damage in 0_usize..1024, value: u8) {
        let limits = ArchiveLimits { unpacked_bytes: 4096, member_bytes: 1024, members: 3 };
        let mut damaged = one("COPYING", &[7; 512]);
        damaged[damage % 1024] = value;
        for payload in [bytes.clone(), gzipped(&bytes), damaged.clone(), gzipped(&damaged)] {
            let whole = read(&payload, limits);
            let (mut pieces, mut seen) = (members(&payload, limits), 0);
            // Both ways of reading come to the same.
            prop_assert_eq!(whole.is_ok(), loop {
                match pieces.next_in_pieces(|_, piece| seen += piece.len()) {
                    Ok(Some(_)) => prop_assert!(seen <= 3 * 1024),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            });
            if let Ok(members) = whole {
                prop_assert!(members.len() <= 3 && members.iter().all(|member| member.bytes.len() <= 1024));
            }
        }
    }
}

#[test]
fn a_bomb_stops_while_it_inflates() {
    let limits = ArchiveLimits { unpacked_bytes: 1 << 20, ..ArchiveLimits::default() };
    let bomb = gzipped(&one("COPYING", &vec![0; 8 << 20]));
    assert!(matches!(read(&bomb, limits), Err(ArchiveError::TooLarge(_))));
}

#[test]
fn a_second_gzip_part_is_read_too_and_trailing_bytes_are_refused() {
    let parts = [gzipped(&one("COPYING", b"a")), gzipped(&one("daily.ign2", b"b"))].concat();
    assert_eq!(read(&parts, ArchiveLimits::default()).unwrap().len(), 2);
    let trailing = [gzipped(&one("COPYING", b"a")), b"something that is no gzip header".to_vec()].concat();
    assert!(matches!(read(&trailing, ArchiveLimits::default()), Err(ArchiveError::Broken(_))));
}

#[test]
fn a_members_size_reserves_nothing_by_itself() {
    let mut tar = one("COPYING", b"");
    tar.truncate(BLOCK);
    let lying = to_tar([("COPYING", &[0_u8; 600][..])].into_iter());
    assert!(matches!(read(&lying[..BLOCK + 512], ArchiveLimits::default()), Err(ArchiveError::Truncated)));
    assert_eq!(read(&tar, ArchiveLimits::default()).unwrap().len(), 1);
}

#[test]
fn limits_of_members_hold() {
    let limits = ArchiveLimits { member_bytes: 10, members: 1, ..ArchiveLimits::default() };
    assert!(matches!(read(&one("COPYING", &[0; 11]), limits), Err(ArchiveError::MemberTooLarge { size: 11, .. })));
    let two = [one("COPYING", b"a"), one("b", b"b")].concat();
    assert!(matches!(read(&two, limits), Err(ArchiveError::TooMany(1))));
}

#[test]
fn a_name_never_leads_out_of_a_directory() {
    for name in ["COPYING/../x", "COPYING\\x", "COPYING x"] {
        assert!(matches!(read(&one(name, b""), ArchiveLimits::default()), Err(ArchiveError::Name(_))), "{name}");
    }
    for name in ["..", ".hidden", "/etc/passwd"] {
        assert!(
            matches!(read(&gzipped(&one(name, b"")), ArchiveLimits::default()), Err(ArchiveError::Name(_))),
            "{name}"
        );
    }
}

#[test]
fn links_and_damaged_headers_are_refused() {
    let mut link = one("COPYING", b"");
    link[156] = b'2';
    assert!(matches!(read(&link, ArchiveLimits::default()), Err(ArchiveError::Checksum)));
    let sum = octal(&link[148..156]).unwrap() + u64::from(b'2');
    link.splice(148..155, format!("{sum:06o}\0").bytes());
    assert!(matches!(read(&link, ArchiveLimits::default()), Err(ArchiveError::NotAFile(_))));
}
