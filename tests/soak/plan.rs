//! What will be done to the scanned bucket, as a value: the same seed plans the same.

use nacre_test_support::Random;

use crate::content::Content;

/// Keys of objects, each `#` to become a number.
const KEYS: [&str; 16] = [
    "plain-#.txt",
    "folder/sub/#.bin",
    "with space # ",
    "plus+and%2B#%",
    "ünï/çødé €#",
    "🦠/#",
    "../../etc/passwd-#",
    "a//b/#/",
    "quote\"and'back\\slash-#",
    "tab\tand\nline-#",
    "delete\u{7f}#",
    "<&>#;?versionId=null#",
    "%00%FF%-#",
    "{\"Records\":[{#}]}",
    "$(reboot)`#`",
    "-rf #",
];

/// Of so many versions one is large: the local S3 keeps all of them in memory.
const LARGE_EVERY: usize = 2000;

/// One thing that is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A version is written; with foreign tags, of this number.
    Put { content: Content, salt: u64, tags: usize },
    /// The version that was written last is removed for good, so many milliseconds later.
    Remove { after_ms: u64 },
    /// A delete marker hides the versions; none of them goes.
    Hide,
    /// Nothing happens for so many milliseconds.
    Pause { ms: u64 },
}

/// What is done to one key, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlan {
    pub(crate) key: String,
    pub(crate) steps: Vec<Step>,
}

/// Plans until so many versions are written.
pub(crate) fn plan(versions: usize, random: &mut Random) -> Vec<KeyPlan> {
    let (mut keys, mut planned) = (Vec::new(), 0);
    while planned < versions {
        let (key, mut steps) = (key(keys.len(), random), Vec::new());
        let several = if random.percent(70) { 1 } else { 2 + random.below(3) };
        for _ in 0..several.min(versions - planned) {
            let tags = if random.percent(20) { 1 + random.below(6) } else { 0 };
            let content = match Content::any(random) {
                _ if planned % LARGE_EVERY == 0 => Content::Large,
                // A folder's marker, which nobody scans.
                Content::Empty if key.ends_with('/') => Content::Text,
                content => content,
            };
            steps.push(Step::Put { content, salt: random.next() >> 8, tags });
            planned += 1;
            match random.below(100) {
                0..5 => steps.push(Step::Remove { after_ms: 0 }),
                5..10 => steps.push(Step::Remove { after_ms: random.next() % 2000 }),
                10..15 => steps.push(Step::Hide),
                15..30 => steps.push(Step::Pause { ms: random.next() % 300 }),
                _ => {}
            }
        }
        keys.push(KeyPlan { key, steps });
    }
    keys
}

fn key(number: usize, random: &mut Random) -> String {
    if random.percent(2) {
        return format!("{number}-{}", "long/".repeat(190));
    }
    random.pick(&KEYS).map(|key| key.replace('#', &number.to_string())).unwrap()
}

#[test]
fn a_seed_is_all_that_a_plan_comes_from() {
    let of = |seed| plan(100, &mut Random::new(seed));
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    let put = |step: &&Step| matches!(step, Step::Put { .. });
    assert_eq!(of(3).iter().flat_map(|key| &key.steps).filter(put).count(), 100);
}
