//! What is built is read as it was, and nothing else is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::format_collect,
    reason = "a test that panics fails, as it should"
)]

use std::{collections::BTreeSet, io::Cursor};

use nacre_scan_set::{
    body,
    builder::{Built, SetBuilder},
    filter::{Filter, FilterError},
    key::{Algorithms, Candidate, Digest},
    line::{Class, HashLine, Kind, chomped},
    mini,
    propose::{Digests, Filters, Proposal},
    shard,
};
use proptest::prelude::*;

struct Set {
    built: Built<Vec<u8>>,
    shards: Vec<u8>,
}

fn build(files: &[(&str, String)]) -> Set {
    let mut builder = SetBuilder::new(|| Ok(Cursor::new(Vec::new())), Vec::new()).unwrap();
    for (name, text) in files {
        builder.add(name, text.as_bytes()).unwrap();
    }
    let mut shards = Vec::new();
    let built = builder.finish(&mut shards).unwrap();
    Set { built, shards }
}

impl Set {
    fn filter(&self) -> Filter<'_> {
        Filter::parse(&self.built.filter).unwrap()
    }

    fn hits(&self, candidate: &Candidate) -> Vec<String> {
        let place = self.filter().shard_of(candidate);
        let from = usize::try_from(place.offset).unwrap();
        let bytes = &self.shards[from..from + place.length as usize];
        assert!(place.is(bytes));
        let hits = shard::hits(bytes, &[*candidate]).unwrap();
        hits.into_iter().map(|hit| String::from_utf8(hit.line).unwrap()).collect()
    }
}

fn any_digest() -> impl Strategy<Value = String> {
    prop_oneof![Just(16_usize), Just(20), Just(32)]
        .prop_flat_map(|length| prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], length))
        .prop_map(hex::encode)
}

fn any_line() -> impl Strategy<Value = (Class, String)> {
    let size = prop_oneof![4 => (1_u32..200).prop_map(|size| size.to_string()), 1 => Just("*".to_owned()), 1 => "[0-9*+ -]{0,11}"];
    let levels = prop_oneof![3 => Just(String::new()), 2 => Just(":73".to_owned()), 1 => ":[0-9]{0,3}(:[0-9]{0,3})?"];
    let class = prop::sample::select(Class::ALL.to_vec());
    (class, any_digest(), size, "[A-Za-z.]{0,4}", levels, prop::bool::weighted(0.1)).prop_map(
        |(class, digest, size, name, levels, carriage_return)| {
            let digest = if name.len() == 1 { digest.to_uppercase() } else { digest };
            let (first, second) = if class.kind() == Kind::File { (digest, size) } else { (size, digest) };
            (class, format!("{first}:{second}:{name}{levels}{}", if carriage_return { "\r" } else { "" }))
        },
    )
}

proptest! {
    // Each case makes compressors of many megabytes.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_line_is_behind_the_filter_or_left_in_the_body(lines in prop::collection::vec(any_line(), 0..60)) {
        let file = |class: Class| {
            let of_class = lines.iter().filter(|(of, _)| *of == class).map(|(_, line)| format!("{line}\n"));
            (format!("daily.{}", class.extension()), of_class.collect::<String>())
        };
        let files: Vec<_> = Class::ALL.into_iter().map(file).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let set = build(&files);
        let body = body::files(&set.built.body).unwrap();
        let mut found = 0;
        for (class, line) in &lines {
            let line = std::str::from_utf8(chomped(line.as_bytes())).unwrap();
            if let Some(read) = HashLine::parse(class.kind(), line.as_bytes()) {
                found += 1;
                prop_assert!(set.filter().may_match(&read.candidate));
                prop_assert!(set.hits(&read.candidate).iter().any(|hit| hit == line));
                if let (Kind::Section, Some(size)) = (class.kind(), read.candidate.size) {
                    prop_assert!(set.filter().section_algorithms(size).contains(read.candidate.digest.algorithm()));
                }
            } else {
                let name = format!("daily.{}", class.extension());
                let left = body.iter().find(|(of, _)| *of == name).map(|(_, bytes)| String::from_utf8_lossy(bytes));
                prop_assert!(left.unwrap_or_default().lines().any(|left| left.trim_end_matches('\r') == line));
            }
        }
        prop_assert_eq!(set.built.lines, found);
        let again = build(&files);
        prop_assert_eq!((again.built, again.shards), (set.built, set.shards));
    }

    #[test]
    fn damaged_bytes_are_errors_or_answers_and_never_panic(
        lines in prop::collection::vec(any_line(), 1..20),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..5),
        cut in any::<usize>(),
    ) {
        let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let set = build(&[("a.hdb", text.clone()), ("a.msb", text)]);
        let candidate = Candidate { kind: Kind::File, digest: Digest::Md5([1; 16]), size: Some(1) };
        let ask = |bytes: &[u8]| {
            let Ok(filter) = Filter::parse(bytes) else { return };
            let _ = (filter.may_match(&candidate), filter.section_algorithms(7), filter.shard_of(&candidate));
            assert_eq!(filter.shards().count(), filter.shards().map(|place| place.number).collect::<BTreeSet<_>>().len());
        };
        let (mut filter, mut shards) = (set.built.filter.clone(), set.shards.clone());
        for (at, byte) in damage {
            let (in_filter, in_shards) = (at % filter.len(), at % shards.len());
            filter[in_filter] ^= byte;
            shards[in_shards] ^= byte;
        }
        ask(&filter);
        let _ = shard::hits(&shards, &[candidate]);
        let whole = &set.built.filter;
        prop_assert!(Filter::parse(&whole[..cut % whole.len()]).is_err());
        prop_assert!(Filter::parse(&[whole, &[0][..]].concat()).is_err());
    }
}

#[test]
fn files_that_are_no_digests_stay_in_the_body_as_they_are() {
    let md5 = "0".repeat(32);
    let set = build(&[
        ("daily.cfg", "PE:0x1:1:2\n".into()),
        ("daily.imp", format!("{md5}:68:Imp\n")),
        ("daily.fp", format!("{md5}:68:Trust\n")),
        ("daily.hdb", format!("# there must always be one line\n{md5}:68:A\n")),
        ("daily.hsb", format!("{md5}:68:without a line feed")),
    ]);
    let names: Vec<_> = body::files(&set.built.body).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["daily.cfg", "daily.imp", "daily.fp", "daily.hsb"]);
    assert_eq!((set.built.lines, set.built.left), (1, 1));
}

#[test]
fn a_set_without_digests_matches_nothing() {
    let set = build(&[("daily.ndb", "A:0:*:6161\n".into())]);
    for n in 0..=u8::MAX {
        let candidate = Candidate { kind: Kind::File, digest: Digest::Sha256([n; 32]), size: None };
        assert!(!set.filter().may_match(&candidate));
        assert!(set.hits(&candidate).is_empty());
    }
    assert_eq!(Filter::parse(b"").err(), Some(FilterError::Length));
    assert_eq!(Filter::parse(&[0; 4096]).err(), Some(FilterError::Magic));
}

#[test]
fn few_of_the_digests_that_are_not_there_pass() {
    let line = |n: u32| format!("{}:{}:A\n", hex::encode(Digests::of(&n.to_le_bytes()).md5), n % 5000 + 1);
    let set = build(&[("main.hdb", (0..20_000).map(line).collect())]);
    let filters = Filters(vec![set.filter()]);
    let mut passed = Vec::<Proposal>::new();
    for n in 20_000_u32..70_000 {
        filters.propose_file(u64::from(n % 5000 + 1), &Digests::of(&n.to_le_bytes()), |proposal| passed.push(proposal));
    }
    // 300,000 questions, of which one in 65,536 passes by chance.
    assert!(passed.len() < 30, "{passed:?}");
    assert!(passed.iter().all(|proposal| set.hits(&proposal.candidate).is_empty()));
    assert_eq!(set.filter().shards().count(), 64);
}

#[test]
fn sections_are_hashed_only_where_a_signature_has_their_size() {
    let program = {
        let mut bytes = vec![0; 0x400];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[60] = 0x40;
        bytes[0x40..0x48].copy_from_slice(b"PE\0\0\x4c\x01\x01\0");
        bytes[0x54] = 0x60;
        bytes[0x58 + 37] = 2;
        let header = 0x58 + 0x60;
        bytes[header + 17] = 2;
        bytes[header + 21] = 2;
        bytes
    };
    let sha1 = hex::encode(Digests::of(&program[0x200..0x400]).sha1);
    for (line, expected) in [
        (format!("512:{sha1}:A\n"), 1),
        (format!("*:{sha1}:A:73\n"), 1),
        (format!("511:{sha1}:A\n"), 0),
        (format!("512:{}:A\n", "0".repeat(40)), 0),
    ] {
        let set = build(&[("main.msb", line.clone())]);
        let mut proposals = Vec::new();
        Filters(vec![set.filter()]).propose_sections(&program, |proposal| proposals.push(proposal));
        assert_eq!(proposals.len(), expected, "{line}");
        assert!(proposals.iter().all(|proposal| set.hits(&proposal.candidate) == [line.trim_end()]));
    }
    let set = build(&[("main.msb", format!("512:{sha1}:A\n"))]);
    assert_eq!(set.filter().section_algorithms(512), Algorithms::SHA1);
    assert!(set.filter().section_algorithms(513).is_empty());
    assert_eq!(mini::FILLERS, mini::fillers().count() as u64);
}
