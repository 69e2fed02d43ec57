//! Sets of signatures: loose files, and databases as engines get them.

use std::{collections::BTreeMap, fs, path::Path};

use nacre_clamav::{
    archive::ArchiveLimits, builder::CvdBuilder, context, cvd::Cvd, database::DatabaseName, delta::SignatureFile,
    signing::SigningKeys,
};
use nacre_core::generation::{engine_form::engine_form, manifest::DatabaseEntry};
use proptest::prelude::*;

use super::{
    corpus::Corpus,
    genes::{Gene, md5_hex},
};

/// Where a gene is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Absent,
    Loose,
    /// Loose, and under another name.
    Renamed,
    /// Loose, in files that are loaded before the others, or after them.
    Early,
    Late,
    Daily,
    Main,
}

impl Place {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => Just(Self::Absent),
            4 => Just(Self::Loose),
            1 => Just(Self::Renamed),
            1 => Just(Self::Early),
            1 => Just(Self::Late),
            3 => Just(Self::Daily),
            1 => Just(Self::Main),
        ]
    }
}

/// Writes a set; it always holds something that matches nothing, as an engine wants a signature.
pub(super) fn write_set(directory: &Path, genes: &[(&Gene, Place)], corpus: &Corpus) {
    let mut files = BTreeMap::<(Place, &str), String>::new();
    for (number, (gene, place)) in genes.iter().enumerate() {
        let twin = match gene {
            Gene::Twin { gene } => genes.get(*gene).filter(|(other, _)| other.as_twin()).and_then(|(other, _)| {
                let (extension, line) = other.line(*gene, corpus)?;
                // A rule's twin has its name, and another condition; what else is one has another name.
                let line = match extension {
                    "yar" => line.replace("condition: $a", "condition: not $a"),
                    _ => line.replace(&format!("G.{gene}"), &format!("T.{number}")),
                };
                Some((extension, line))
            }),
            _ => gene.line(number, corpus),
        };
        let Some((extension, mut line)) = twin else { continue };
        if let Gene::Ignore { gene, line: true } = gene
            && let Some((_, ignored)) = genes.get(*gene).and_then(|(other, _)| other.line(*gene, corpus))
        {
            line = format!("{line}:{}", md5_hex(ignored.as_bytes()));
        }
        let place = match place {
            Place::Absent => continue,
            Place::Renamed => {
                line = line.replace(&format!("G.{number}"), &format!("R.{number}"));
                Place::Loose
            }
            // libclamav takes no rules from a database.
            Place::Daily if extension == "yar" => Place::Early,
            Place::Main if extension == "yar" => Place::Late,
            place => *place,
        };
        let file = files.entry((place, extension)).or_default();
        file.push_str(&line);
        file.push('\n');
    }
    let always = "Always:0:*:00112233445566778899aabbccddeeff00112233\n";
    files.entry((Place::Loose, "ndb")).or_default().push_str(always);
    for ((place, extension), text) in &files {
        let name = match place {
            Place::Early => "a",
            Place::Loose => "own",
            Place::Late => "z",
            _ => continue,
        };
        fs::write(directory.join(format!("{name}.{extension}")), text).unwrap();
    }
    for (place, name) in [(Place::Daily, "daily"), (Place::Main, "main")] {
        let members: Vec<(String, &str)> = files
            .iter()
            .filter(|((of, _), _)| *of == place)
            .map(|((_, extension), text)| (format!("{name}.{extension}"), text.as_str()))
            .collect();
        if !members.is_empty() {
            write_database(directory, name, &members, genes.len().is_multiple_of(2));
        }
    }
}

/// An unsigned database with these members in this order, of which several may have one name.
pub(crate) fn container(name: &str, members: &[(&str, &str)]) -> (String, Vec<u8>) {
    let file = |(member, text): &(&str, &str)| {
        SignatureFile::member(name, false, (*member).to_owned(), text.as_bytes().to_vec())
    };
    let members: Vec<SignatureFile<'_>> = members.iter().map(file).collect();
    context::to_cud(name, &members).unwrap()
}

/// Writes an unsigned database, as an engine gets one that others than ClamAV signed; `patched` says whether from a CLD.
pub(super) fn write_database(directory: &Path, name: &str, members: &[(String, &str)], patched: bool) {
    let keys = SigningKeys::fixed();
    let builder = members.iter().fold(CvdBuilder::new(name), |builder, (member, text)| builder.member(member, *text));
    let file = builder.build(keys);
    let name = DatabaseName::new(name).unwrap();
    let verified = Cvd::parse(&file).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
    let file = if patched { builder.build_cld(keys) } else { file };
    let (name, bytes) = engine_form(&DatabaseEntry::of(&verified), &file, false).unwrap();
    fs::write(directory.join(name), bytes).unwrap();
}
