//! The objects of a bucket, counted by storage class and by type, in bounded memory.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Item;

/// An object is downloaded by ranges of so many bytes, each a request.
const PART_BYTES: u64 = 16 << 20;

/// Most types that are counted each by itself: keys are chosen by uploaders.
const MAX_TYPES: usize = 200;

/// Most characters of a type.
const MAX_TYPE: usize = 10;

/// A storage class, by how reading is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No charge for retrieval: Standard, Intelligent-Tiering, Reduced Redundancy, Express, and what is unknown.
    Standard,
    /// Standard-IA and One Zone-IA.
    Infrequent,
    /// Glacier Instant Retrieval.
    InstantArchive,
    /// Glacier Flexible Retrieval and Deep Archive: not read before somebody restores it.
    Archived,
}

impl Class {
    /// The class of S3's name.
    pub fn of(name: Option<&str>) -> Self {
        match name {
            Some("STANDARD_IA" | "ONEZONE_IA") => Self::Infrequent,
            Some("GLACIER_IR") => Self::InstantArchive,
            Some("GLACIER" | "DEEP_ARCHIVE") => Self::Archived,
            _ => Self::Standard,
        }
    }

    pub(super) fn request(self) -> Item {
        match self {
            Self::Standard | Self::Archived => Item::S3Request,
            Self::Infrequent => Item::S3RequestInfrequent,
            Self::InstantArchive => Item::S3RequestInstant,
        }
    }

    pub(super) fn retrieval(self) -> Option<Item> {
        match self {
            Self::Standard | Self::Archived => None,
            Self::Infrequent => Some(Item::RetrievedInfrequentGb),
            Self::InstantArchive => Some(Item::RetrievedInstantGb),
        }
    }
}

/// Some objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Their number.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The requests that read them.
    pub parts: u64,
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_add(other.objects),
            bytes: self.bytes.saturating_add(other.bytes),
            parts: self.parts.saturating_add(other.parts),
        }
    }
}

/// The objects of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Corpus {
    by_class: BTreeMap<Class, Amount>,
    by_type: BTreeMap<String, Amount>,
}

impl Corpus {
    /// Counts an object.
    pub fn add(&mut self, class: Option<&str>, key: &str, size: u64) {
        let one = Amount { objects: 1, bytes: size, parts: size.div_ceil(PART_BYTES).max(1) };
        let of_class = self.by_class.entry(Class::of(class)).or_default();
        *of_class = of_class.plus(one);
        let mut kind = type_of(key);
        if self.by_type.len() >= MAX_TYPES && !self.by_type.contains_key(&kind) {
            "(other)".clone_into(&mut kind);
        }
        let of_type = self.by_type.entry(kind).or_default();
        *of_type = of_type.plus(one);
    }

    /// By storage class.
    pub fn classes(&self) -> impl Iterator<Item = (Class, Amount)> {
        self.by_class.iter().map(|(class, amount)| (*class, *amount))
    }

    /// By type, which is the end of the key; most bytes first.
    pub fn types(&self) -> Vec<(&str, Amount)> {
        let mut types: Vec<_> = self.by_type.iter().map(|(kind, amount)| (kind.as_str(), *amount)).collect();
        types.sort_by(|(a, one), (b, other)| other.bytes.cmp(&one.bytes).then(a.cmp(b)));
        types
    }

    /// All of it.
    pub fn all(&self) -> Amount {
        self.classes().fold(Amount::default(), |sum, (_, amount)| sum.plus(amount))
    }

    /// What can be read as it is stored.
    pub fn readable(&self) -> Amount {
        let readable = self.classes().filter(|(class, _)| *class != Class::Archived);
        readable.fold(Amount::default(), |sum, (_, amount)| sum.plus(amount))
    }
}

fn type_of(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or_default();
    let end = name
        .rsplit_once('.')
        .map(|(_, end)| end)
        .filter(|end| !end.is_empty() && end.len() <= MAX_TYPE && end.chars().all(|c| c.is_ascii_alphanumeric()));
    end.map_or_else(|| "(none)".to_owned(), str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_object_is_in_one_class_and_one_type(keys in prop::collection::vec(("\\PC{0,12}", 0_u64..1 << 40), 0..40)) {
            let mut corpus = Corpus::default();
            for (key, size) in &keys {
                corpus.add(None, key, *size);
            }
            let by_type = corpus.types().into_iter().fold(Amount::default(), |sum, (_, amount)| sum.plus(amount));
            prop_assert_eq!(by_type, corpus.all());
            prop_assert_eq!(corpus.all().objects, keys.len() as u64);
        }
    }

    #[test]
    fn types_without_end_take_no_memory_without_end() {
        let mut corpus = Corpus::default();
        for n in 0..10_000 {
            corpus.add(None, &format!("a.{n}"), 1);
        }
        assert!(corpus.types().len() <= MAX_TYPES + 1);
        assert_eq!(corpus.all().objects, 10_000);
        let mut corpus = Corpus::default();
        for key in ["a/b.PDF", "a.b/c", "x.\u{202e}fdp", "y.", "z.far-too-long-for-a-type"] {
            corpus.add(None, key, 1);
        }
        assert_eq!(
            corpus.types().iter().map(|(kind, of)| (*kind, of.objects)).collect::<Vec<_>>(),
            [("(none)", 4), ("pdf", 1)]
        );
    }

    #[test]
    fn a_large_object_is_read_by_several_requests() {
        let mut corpus = Corpus::default();
        for size in [0, PART_BYTES, PART_BYTES + 1] {
            corpus.add(Some("GLACIER_IR"), "a", size);
        }
        assert_eq!(
            corpus.classes().collect::<Vec<_>>(),
            [(Class::InstantArchive, Amount { objects: 3, bytes: 2 * PART_BYTES + 1, parts: 4 })]
        );
    }
}
