//! Scan sets: filters, shards, bodies, and the sections of programs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_scan_set::{
    body::{self, BodyError},
    filter::Filter,
    key::{Candidate, Digest},
    line::{Class, HashLine, Kind, chomped},
    mini, pe,
    propose::Filters,
    shard,
};

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let candidate = Candidate { kind: Kind::File, digest: Digest::Md5([7; 16]), size: Some(68) };
    match which {
        b'f' => {
            // Filters are read where an even address begins.
            let mut words = vec![0_u16; data.len() / 2 + 1];
            for (word, bytes) in words.iter_mut().zip(data.chunks(2)) {
                *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u16::from(*byte));
            }
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(data.len()).collect();
            let Ok(filter) = Filter::parse(&bytes) else { return };
            let _ = (filter.may_match(&candidate), filter.shard_of(&candidate), filter.section_algorithms(512));
            assert!(filter.shards().count().is_power_of_two());
            Filters(vec![filter]).propose_sections(data, |_| {});
        }
        b's' => {
            for hit in shard::hits(data, &[candidate]).unwrap_or_default() {
                assert!(HashLine::parse(hit.class.kind(), &hit.line).is_some());
            }
        }
        b'b' => {
            let read = body::unpack(data, |name, _| {
                assert!(!name.contains('/'));
                Ok::<_, BodyError>(())
            });
            let _ = read;
        }
        b'l' => {
            for class in Class::ALL {
                let _ = HashLine::parse(class.kind(), chomped(data));
            }
            let _ = (mini::context_of("a.ldb", data), mini::context_of("a.ndb", data));
        }
        _ => {
            for section in pe::sections(data) {
                assert_eq!(section.of(data).len(), section.size as usize);
            }
        }
    }
});
