//! The context of a database, published by itself: those of its files that a delta engine loads whole.

use crate::{
    archive::{ArchiveLimits, to_tar_gz},
    delta::SignatureFile,
    signature::Kind,
    unpacked::{UnpackError, Unpacked},
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

/// Packs the context of a database, given all its files.
pub fn pack(files: &[SignatureFile<'_>]) -> Vec<u8> {
    let context = files.iter().filter(|file| is_context(&file.name));
    to_tar_gz(context.map(|file| (file.name.as_str(), &*file.bytes)), 6)
}

/// Unpacks a context.
pub fn unpack(packed: &[u8]) -> Result<Vec<SignatureFile<'static>>, UnpackError> {
    let Unpacked { members } = Unpacked::of(packed, ArchiveLimits::default())?;
    let owned = members.into_iter().map(|(name, bytes)| SignatureFile {
        official: true,
        name,
        bytes: bytes.into_owned().into(),
    });
    Ok(owned.collect())
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
            let file = |(name, bytes): (&String, &Vec<u8>)| SignatureFile {
                official: true,
                name: name.clone(),
                bytes: bytes.clone().into(),
            };
            let all: Vec<_> = files.iter().map(file).collect();
            let expected: BTreeMap<_, _> = files
                .iter()
                .filter(|(name, _)| ["fp", "ign2", "wdb", "cfg", "yar"].iter().any(|kind| name.ends_with(&format!(".{kind}"))))
                .map(|(name, bytes)| (name.clone(), bytes.clone()))
                .collect();
            let unpacked = unpack(&pack(&all)).unwrap();
            let unpacked: BTreeMap<_, _> = unpacked.into_iter().map(|file| (file.name, file.bytes.into_owned())).collect();
            prop_assert_eq!(unpacked, expected);
        }
    }
}
