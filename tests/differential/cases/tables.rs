//! Several lines of one digest: which is met depends on all that stands in its table.

use super::{Case, FILLER, Files, TEXT, digest};
use crate::incremental::sets::container;

pub(super) fn tables() -> Vec<Case> {
    let (a, b) = (digest(TEXT, "A.One"), digest(TEXT, "B.One"));
    let others = |count: u8, first: &str| -> String {
        (0..count).map(|n| format!("{first}{n:062x}:{}:Other.{n}\n", TEXT.len())).collect::<Vec<_>>().concat()
    };
    let any_size = |name: &str| digest(TEXT, name).replace(&format!(":{}:", TEXT.len()), ":*:").replace('\n', ":73\n");
    let filler = || ("filler.ndb".to_owned(), FILLER.as_bytes().to_vec());
    let loose = |files: &[(&str, &str)]| super::loose(files);
    let of = |containers: &[(&str, &[(&str, &str)])]| -> Files {
        containers.iter().map(|(name, members)| container(name, members)).chain([filler()]).collect()
    };
    let pair = |name, old: Files, new: Files| Case { name, old, new, object: TEXT.to_vec() };
    let mut cases: Vec<Case> = [(1, "00"), (1, "ff"), (2, "00"), (5, "ff")]
        .into_iter()
        .map(|(count, first)| {
            let both = ("own.hsb", format!("{a}{b}"));
            let new = [(both.0, both.1.as_str()), ("z.hsb", &others(count, first))];
            pair("other digests of the size of two alike", loose(&new[..1]), loose(&new))
        })
        .collect();
    let both = format!("{}{}", any_size("A.One"), any_size("B.One"));
    let other = format!("{}:*:Other:73\n", "00".repeat(32));
    cases.extend([
        pair(
            "another digest of any size beside two alike",
            loose(&[("own.hsb", &both)]),
            loose(&[("own.hsb", &both), ("z.hsb", &other)]),
        ),
        pair(
            "members change places",
            of(&[("x", &[("a.hsb", &a), ("b.hsb", &b)])]),
            of(&[("x", &[("b.hsb", &b), ("a.hsb", &a)])]),
        ),
        pair(
            "members change their databases",
            of(&[("x", &[("a.hsb", &a)]), ("y", &[("b.hsb", &b)])]),
            of(&[("x", &[("b.hsb", &b)]), ("y", &[("a.hsb", &a)])]),
        ),
        pair(
            "a database has another name",
            of(&[("x", &[("a.hsb", &a)]), ("y", &[("b.hsb", &b)])]),
            of(&[("z", &[("a.hsb", &a)]), ("y", &[("b.hsb", &b)])]),
        ),
        pair(
            "a member is there twice",
            of(&[("x", &[("a.hsb", &a), ("b.hsb", &b)])]),
            of(&[("x", &[("a.hsb", &a), ("b.hsb", &b), ("a.hsb", &a)])]),
        ),
    ]);
    cases
}
