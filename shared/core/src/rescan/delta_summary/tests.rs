//! Summaries since each generation of a window, beside the summary of each pair of generations by itself.

use nacre_clamav::delta::{Count, DeltaLine, SignatureFile};
use proptest::prelude::*;

use super::*;
use crate::generation::Generation;

const ENGINE: LoadedBy = LoadedBy { functionality_level: FunctionalityLevel(216), pua: false };

/// Lines of each kind of which the plan knows something else; several of some digests and names.
const LINES: &[(&str, &str)] = &[
    ("daily.hdb", "00112233445566778899aabbccddeeff:68:A"),
    ("daily.hdb", "00112233445566778899aabbccddeeff:68:B"),
    ("daily.hsb", "00112233445566778899aabbccddeeff:*:C:73"),
    ("daily.hdu", "00112233445566778899aabbccddeeff:68:D"),
    ("daily.mdb", "68:00112233445566778899aabbccddeeff:E"),
    ("daily.mdb", "68:00112233445566778899AABBCCDDEEFF:F"),
    ("daily.ndb", "A:1:*:00ff"),
    ("daily.ndb", "G:0:*:00ff"),
    ("daily.ndb", "H:1:*:00ff:300"),
    ("daily.ldb", "I;Engine:51-255,FileSize:1-68,Target:1;0;00ff"),
    ("daily.ldb", "J;Engine:51-255,FileSize:69-99,Target:0;0;00ff"),
    ("daily.pdb", "H:example.com"),
    ("daily.wdb", "M:evil.example.net:www.example.com"),
    ("daily.fp", "00112233445566778899aabbccddeeff:68:T"),
    ("daily.sfp", "00112233445566778899aabbccddeeff:68:U"),
    ("daily.ign2", "A"),
    ("daily.ign2", "C"),
    ("daily.ftm", "0:0:4d5a:Made up:CL_TYPE_ANY:CL_TYPE_MSEXE"),
    ("own.yar", "rule a { condition: true }"),
    ("own.hdb", "00112233445566778899aabbccddeeff:68:B"),
    ("other.hdb", "00112233445566778899aabbccddeeff:68:B"),
    ("own.ndb", "short"),
];

/// A step to the next generation.
#[derive(Clone, Debug)]
enum Step {
    /// The set has these lines, in this order.
    To(Vec<usize>),
    /// The set of an older generation again, by its place modulo all.
    Restored(usize),
    /// It is not known what changed.
    Unknown,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let line = || 0..LINES.len();
    let step = prop_oneof![
        6 => prop::collection::vec(line(), 0..10).prop_map(Step::To),
        2 => (0..100_usize).prop_map(Step::Restored),
        1 => Just(Step::Unknown),
    ];
    prop::collection::vec(step, 1..9)
}

fn set(lines: &[usize]) -> Vec<SignatureFile<'static>> {
    let mut files: Vec<(&str, String)> = Vec::new();
    for (name, line) in lines.iter().map(|line| LINES[*line]) {
        match files.iter_mut().find(|(file, _)| *file == name) {
            Some((_, text)) => text.extend([line, "\n"]),
            None => files.push((name, format!("{line}\n"))),
        }
    }
    let file = |(name, text): (&str, String)| {
        if name.starts_with("daily.") {
            SignatureFile::member("daily.cvd", true, name, text.into_bytes())
        } else {
            SignatureFile::loose(name, text.into_bytes())
        }
    };
    files.into_iter().map(file).collect()
}

/// How a generation was reached from the one before.
enum Reached {
    By(Delta),
    Restored(usize),
    Unknown,
}

/// What leads from one generation to the newest, composed of the steps between; `None` where that is not known, or where the way back
/// to it is by more than one restoration.
fn composed(reached: &[Reached], from: usize) -> Option<Delta> {
    let (mut sum, mut at) = (Delta::default(), reached.len());
    while at > from {
        match &reached[at - 1] {
            Reached::By(delta) => {
                sum = sum.then(delta);
                at -= 1;
            }
            Reached::Restored(older) if *older >= from => at = *older,
            Reached::Restored(older) => {
                let steps = reached[*older..from].iter().map(|step| match step {
                    Reached::By(delta) => Some(delta),
                    Reached::Restored(_) | Reached::Unknown => None,
                });
                let way = steps.collect::<Option<Vec<_>>>()?;
                let way = way.into_iter().fold(Delta::default(), Delta::then);
                return Some(sum.then(&way.reversed()));
            }
            Reached::Unknown => return None,
        }
    }
    Some(sum)
}

impl DeltaSummary {
    /// As if it were the only one: without what the others look up.
    fn alone(mut self) -> Self {
        let bits = self.since;
        let only = |since: Generations| Generations::from(since & bits != 0);
        let lookups = &self.lookups;
        let files = lookups.files.iter().map(|(digest, sizes)| {
            let mut sizes: Vec<_> = sizes.iter().map(|(size, since)| (*size, only(*since))).collect();
            sizes.retain(|(_, since)| *since != 0);
            (*digest, sizes)
        });
        let digests = |all: &HashMap<FileDigest, Generations>| {
            let all = all.iter().map(|(digest, since)| (*digest, only(*since)));
            all.filter(|(_, since)| *since != 0).collect()
        };
        let removed = lookups.removed.iter().map(|(name, since)| (name.clone(), only(*since)));
        self.lookups = Arc::new(Lookups {
            files: files.filter(|(_, sizes)| !sizes.is_empty()).collect(),
            trust: digests(&lookups.trust),
            renamed: digests(&lookups.renamed),
            removed: removed.filter(|(_, since)| *since != 0).collect(),
        });
        self.since = 1;
        self
    }
}

/// The summaries of a window since each of its generations, `None` where it is not known, and those of pairs.
fn compared(steps: &[Step]) -> Vec<(Option<DeltaSummary>, Option<DeltaSummary>)> {
    let (mut sets, mut reached, mut window) = (vec![set(&[0, 4, 6, 13])], Vec::new(), Window::from(Generation(7)));
    for step in steps {
        let newest = sets[sets.len() - 1].clone();
        match step {
            Step::To(lines) => {
                let next = set(lines);
                let delta = Delta::between(&newest, &next);
                window.push(&delta);
                reached.push(Reached::By(delta));
                sets.push(next);
            }
            Step::Restored(place) => {
                let place = place % sets.len();
                window.push_restored(Generation(7 + place as u64));
                reached.push(Reached::Restored(place));
                sets.push(sets[place].clone());
            }
            Step::Unknown => {
                window.push_unknown();
                reached.push(Reached::Unknown);
                sets.push(newest);
            }
        }
    }
    let known = window.known();
    let summaries = DeltaSummary::of_window(&window, ENGINE).into_iter().enumerate();
    let pairs = summaries.map(|(place, summary)| {
        let by_window = (known >> place & 1 == 1).then(|| summary.alone());
        (by_window, composed(&reached, place).map(|delta| DeltaSummary::of(&delta, ENGINE)))
    });
    pairs.collect()
}

/// Whether a digest was added twice depends on all that an engine has that records of several generations share.
fn without_repetition(mut summary: DeltaSummary) -> DeltaSummary {
    summary.programs.repeated = false;
    summary
}

fn sorted(mut summary: DeltaSummary) -> DeltaSummary {
    let mut lookups = Lookups {
        files: summary.lookups.files.clone(),
        trust: summary.lookups.trust.clone(),
        renamed: summary.lookups.renamed.clone(),
        removed: summary.lookups.removed.clone(),
    };
    lookups.files.values_mut().for_each(|sizes| sizes.sort_unstable());
    summary.lookups = Arc::new(lookups);
    summary
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_window_says_of_each_generation_what_the_pair_says(steps in steps()) {
        for (place, (by_window, by_pair)) in compared(&steps).into_iter().enumerate() {
            // The window may know more: it goes back by any number of restorations.
            let Some(by_pair) = by_pair else { continue };
            prop_assert!(by_window.is_some(), "it is not known what changed since {place}");
            let by_window = by_window.unwrap_or_default();
            prop_assert!(by_window.programs.repeated || !by_pair.programs.repeated, "since {place}");
            let [by_window, by_pair] = [by_window, by_pair].map(without_repetition).map(sorted);
            prop_assert_eq!(by_window, by_pair, "since {}", place);
        }
    }
}

/// A digest's lines changed their places, that was rolled back, and then they changed again.
#[test]
fn what_happened_before_a_restoration_and_again_after_it_is_not_taken_back() {
    let marked = Delta::from_iter([(
        DeltaLine { official: false, extension: "moved-hdb".into(), line: LINES[0].1.into() },
        Count { raw: 1, effective: 1 },
    )]);
    let mut window = Window::from(Generation(1));
    window.push(&marked);
    window.push_restored(Generation(1));
    window.push(&marked);
    let renamed: Vec<usize> =
        DeltaSummary::of_window(&window, ENGINE).into_iter().map(|summary| summary.renamed_files).collect();
    assert_eq!(renamed, [1, 1, 1, 0]);
}

/// A line that is added, taken back and added again is one line.
#[test]
fn a_line_that_came_twice_makes_no_digest_ambiguous() {
    let steps = [vec![0, 4], vec![], vec![0, 4]].map(Step::To);
    let layer = LayerDigest {
        size: 68,
        md5: [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff],
        sha1: [0; 20],
        sha256: [0; 32],
    };
    for (by_window, _) in compared(&steps) {
        let summary = by_window.unwrap_or_default();
        assert!(!summary.is_ambiguous(Targets::of(1), Some(&[layer])));
    }
}
