//! The context of a database, published by itself: those of its files that a delta engine loads whole.

use std::borrow::Cow;

use chrono::DateTime;

use crate::{
    archive::{ArchiveLimits, pieces, to_tar_gz},
    cvd::{COPYING, CvdHeader},
    database::{DatabaseName, DatabaseVersion, FunctionalityLevel},
    delta::SignatureFile,
    pattern_length::may_exceed_probes,
    signature::{Kind, MAX_LINE},
    signing::info_content,
    unpacked::{UnpackError, Unpacked, members_in_order},
};

/// Whether a delta engine may need a file whole, by its name: what steers how every signature works, and YARA rules, which may refer to
/// each other. Not bytecode: libclamav trusts it in signed containers only, so a delta engine loads these.
pub fn is_context(name: &str) -> bool {
    let kind = Kind::of(name);
    (kind.is_context() || kind == Kind::Yara) && !is_bytecode(name)
}

/// Whether a member or file is compiled bytecode.
pub fn is_bytecode(file_name: &str) -> bool {
    file_name.rsplit_once('.').is_some_and(|(_, extension)| extension == "cbc")
}

/// Whether a file may have something that a delta engine needs, by its name: see [`part`].
pub fn may_have_part(name: &str) -> bool {
    is_context(name) || Kind::of(name).has_patterns()
}

/// What a delta engine needs of a file: a file of context as it is, and of others the lines that may have a longer pattern than an
/// engine's own probes. By the longest pattern libclamav lets its windows overlap, and counts matches.
pub fn part<'a>(file: &SignatureFile<'a>) -> Option<SignatureFile<'a>> {
    if is_context(&file.name) {
        return Some(file.clone());
    }
    if !Kind::of(&file.name).has_patterns() {
        return None;
    }
    let mut long = Vec::new();
    let lines = file.bytes.split_inclusive(|byte| *byte == b'\n');
    for line in lines.filter(|line| line.len() > MAX_LINE || may_exceed_probes(line)) {
        long.extend_from_slice(line);
    }
    let bytes = (!long.is_empty()).then(|| long.into())?;
    Some(SignatureFile { official: file.official, container: file.container.clone(), name: file.name.clone(), bytes })
}

/// Packs the context of a database, given all its files in their order.
pub fn pack(files: &[SignatureFile<'_>]) -> Vec<u8> {
    let parts: Vec<_> = files.iter().filter_map(part).collect();
    to_tar_gz(parts.iter().map(|file| (file.name.as_str(), &*file.bytes)), 6)
}

/// Unpacks the context of the database in the container of this name; its files keep their order.
pub fn unpack(packed: &[u8], container: &str) -> Result<Vec<SignatureFile<'static>>, UnpackError> {
    let members = members_in_order(packed, ArchiveLimits::default())?;
    let owned =
        |(name, bytes): (String, Cow<'_, [u8]>)| SignatureFile::member(container, true, name, bytes.into_owned());
    Ok(members.into_iter().map(owned).collect())
}

/// The context of a database as an unsigned database of its own, so that an engine loads it in the place of the whole, and its `ign2`
/// reaches what it reaches there. `None` for a name that no database has.
pub fn to_cud(database: &str, files: &[SignatureFile<'_>]) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    cud_in_pieces(database, files, |piece| bytes.extend_from_slice(piece)).map(|name| (name, bytes))
}

/// As [`to_cud`]; passes the bytes on piece by piece, without a copy of the files.
pub fn cud_in_pieces(database: &str, files: &[SignatureFile<'_>], mut write: impl FnMut(&[u8])) -> Option<String> {
    let name = DatabaseName::new(database).ok()?;
    let header = CvdHeader::new(DatabaseVersion(1), 0, FunctionalityLevel(1), "nacre", DateTime::UNIX_EPOCH);
    let members =
        Unpacked { members: files.iter().map(|file| (file.name.clone(), Cow::Borrowed(&*file.bytes))).collect() };
    let info = info_content(&header, &name, &members).into_bytes();
    let info_name = format!("{name}.info");
    let first = [(COPYING, b"Made by Nacre.\n".as_slice()), (info_name.as_str(), info.as_slice())];
    let rest = files.iter().map(|file| (file.name.as_str(), &*file.bytes));
    write(&header.to_bytes());
    for piece in pieces(first.into_iter().chain(rest)) {
        write(&piece);
    }
    Some(format!("{name}.cud"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_context_is_unpacked_as_it_was_and_nothing_else(
            files in prop::collection::btree_map("[a-z]{1,8}\\.(fp|ign2|wdb|ndb|hsb|cbc|cfg|yar)", prop::collection::vec(any::<u8>(), 0..2000), 0..6),
        ) {
            let file = |(name, bytes): (&String, &Vec<u8>)| {
                SignatureFile::member("daily.cvd", true, name.clone(), bytes.clone())
            };
            let all: Vec<_> = files.iter().map(file).collect();
            let expected: BTreeMap<_, _> = files
                .iter()
                .filter(|(name, _)| ["fp", "ign2", "wdb", "cfg", "yar"].iter().any(|kind| name.ends_with(&format!(".{kind}"))))
                .map(|(name, bytes)| (name.clone(), bytes.clone()))
                .collect();
            let unpacked = unpack(&pack(&all), "daily.cvd").unwrap();
            let unpacked: BTreeMap<_, _> = unpacked.into_iter().map(|file| (file.name, file.bytes.into_owned())).collect();
            prop_assert_eq!(unpacked, expected);
        }
    }

    #[test]
    fn of_patterns_only_long_ones_are_context() {
        let long = format!("L;Target:0;0;{}\n", "61".repeat(5000));
        let text = format!("S;Target:0;0;6161616161\n{long}");
        let file = SignatureFile::member("daily.cvd", true, "daily.ldb", text.into_bytes());
        assert_eq!(&*part(&file).unwrap().bytes, long.as_bytes());
        let gaps = format!("G:0:*:{}ff\n", "00ff{127}".repeat(40));
        let file = SignatureFile::loose("own.ndb", format!("S:0:*:00ff{{127}}ff\n{gaps}").into_bytes());
        assert_eq!(&*part(&file).unwrap().bytes, gaps.as_bytes());
        assert_eq!(part(&SignatureFile::loose("own.ldb", b"S;Target:0;0;6161616161\n".as_slice())), None);
    }

    #[test]
    fn a_context_keeps_its_order_as_a_database() {
        let file = |name: &str| SignatureFile::member("daily.cvd", true, name, b"x\n".as_slice());
        let (name, cud) = to_cud("daily", &[file("daily.ign2"), file("daily.fp"), file("daily.cfg")]).unwrap();
        assert_eq!(name, "daily.cud");
        let payload = crate::cvd::Cvd::parse(&cud).unwrap().payload();
        let members = members_in_order(payload, ArchiveLimits::default()).unwrap();
        let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["COPYING", "daily.info", "daily.ign2", "daily.fp", "daily.cfg"]);
        assert!(to_cud("a b", &[]).is_none());
    }
}
