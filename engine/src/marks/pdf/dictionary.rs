//! The words of a stream's dictionary.

use super::{super::bytes::is_pdf_space, names, predictor::Predictor};

/// Words of the parameters of filters that are read.
const MAX_PARAMETERS: usize = 128;
/// Words behind an odd length that may be it.
const MAX_NEAR: usize = 8;
/// The parameters of filters.
const PARAMETERS: [&str; 2] = ["/DecodeParms", "/DP"];

/// What a dictionary says of the length of its stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) numbers: Vec<usize>,
    /// Objects that hold it.
    pub(super) references: Vec<u64>,
}

/// The words, with what they are between left out.
pub(super) struct Dictionary(Vec<String>);

impl Dictionary {
    pub(super) fn read(text: &[u8]) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let is_end = |byte: &u8| is_pdf_space(*byte) || b"/<>[]()%".contains(byte);
            if is_pdf_space(*first) {
                rest = after;
            } else if b"<>[]()%".contains(first) {
                words.push(char::from(*first).to_string());
                rest = after;
            } else {
                let end = after.iter().position(is_end).unwrap_or(after.len());
                let (word, after) = rest.split_at_checked(end + 1).unwrap_or((rest, &[]));
                words.push(unescaped(word));
                rest = after;
            }
        }
        Self(words)
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|it| it == word)
    }

    /// How often one of the words stands there.
    pub(super) fn count(&self, words: &[&str]) -> usize {
        self.0.iter().filter(|word| words.contains(&word.as_str())).count()
    }

    /// All words, in their order.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The words behind a key, where it stands.
    fn after<'a>(&'a self, keys: &'a [&str]) -> impl Iterator<Item = &'a [String]> {
        let places = self.0.iter().enumerate().filter(|(_, word)| keys.contains(&word.as_str()));
        places.map(|(at, _)| self.0.get(at + 1..).unwrap_or_default())
    }

    /// The values of a key: all words up to the end of each; `None` for one that has no end.
    fn values<'a>(&'a self, keys: &'a [&str]) -> impl Iterator<Item = Option<&'a [String]>> {
        self.after(keys).map(|words| {
            let mut depth = 0_usize;
            for (at, word) in words.iter().enumerate().take(MAX_PARAMETERS) {
                match word.as_str() {
                    "[" | "<" | "(" => depth += 1,
                    // The end of the dictionary itself.
                    "]" | ">" | ")" if depth == 0 => return words.get(..at),
                    "]" | ">" | ")" => depth -= 1,
                    // The next key.
                    word if depth == 0 && at > 0 && word.starts_with('/') => return words.get(..at),
                    _ => {}
                }
                if depth == 0 && matches!(word.as_str(), "]" | ">" | "R" | "null") {
                    return words.get(..=at);
                }
            }
            (words.len() < MAX_PARAMETERS).then_some(words)
        })
    }

    /// Whether it names a filter of pictures that loses nothing, so that a file may be written by it. They are not undone here.
    pub(super) fn is_picture(&self) -> bool {
        ["/CCITTFaxDecode", "/CCF", "/JBIG2Decode", "/JPXDecode"].iter().any(|filter| self.has(filter))
    }

    /// Whether neither libclamav nor the reading here unpacks it.
    pub(super) fn stays_packed(&self) -> bool {
        let has_reference = |value: Option<&[String]>| value.is_none_or(|words| words.iter().any(|word| word == "R"));
        let is_picture = self.is_picture() || self.has("/DCTDecode") || self.has("/DCT");
        // Readers take the abbreviation of images in a page where the key is missing.
        let filters: &[&str] = if self.has("/Filter") { &["/Filter"] } else { &["/F"] };
        // A comment hides what follows it from some readings, and a dictionary is read without knowing strings from comments.
        let has_parameters = PARAMETERS.iter().any(|key| self.has(key));
        self.has("/Crypt")
            || is_picture && self.has("/EmbeddedFile")
            || has_parameters && self.has("%")
            || self.values(&PARAMETERS).any(has_reference)
            || self.values(filters).any(has_reference)
    }

    /// Whether it has a predictor that is not known, or numbers of one that are given twice and differ.
    pub(super) fn is_ambiguous(&self) -> bool {
        let predicts = |value: &[String]| value.first().is_some_and(|number| number != "1");
        let differs = |key| {
            let mut numbers = self.after(key).map(<[String]>::first);
            numbers.next().is_some_and(|first| numbers.any(|number| number != first))
        };
        let numbers: [&[&str]; 3] = [&["/Colors"], &["/BitsPerComponent"], &["/Columns"]];
        self.after(&["/Predictor"]).any(predicts) && (self.predictor().is_none() || numbers.into_iter().any(differs))
            || self.count(&["/Predictor"]) > 1
    }

    /// What the length of the stream is said to be.
    pub(super) fn lengths(&self) -> Lengths {
        let mut lengths = Lengths::default();
        for value in self.after(&["/Length"]) {
            match value {
                [number, generation, mark, ..] if mark == "R" && is_digits(number) && is_digits(generation) => {
                    lengths.references.extend(number.parse::<u64>());
                }
                [number, ..] if is_digits(number) => lengths.numbers.extend(number.parse::<usize>()),
                // A comment, a sign, a fraction: whatever may be meant.
                _ => {
                    let near = value.get(..value.len().min(MAX_NEAR)).unwrap_or_default();
                    lengths.numbers.extend(near.iter().filter_map(|word| whole(word)));
                    let references = near.windows(3).filter(|words| words.last().is_some_and(|mark| mark == "R"));
                    lengths.references.extend(references.filter_map(|words| words.first()?.parse::<u64>().ok()));
                }
            }
        }
        lengths
    }

    /// The number that it is, or begins with behind a comment.
    pub(super) fn leading_number(&self) -> Option<usize> {
        let mut words = self.0.iter();
        match words.next() {
            Some(first) if first == "%" => words.take(MAX_NEAR).find_map(|word| whole(word)),
            first => whole(first?),
        }
    }

    /// Whether it is a number and the end of an object, and what follows that.
    pub(super) fn is_one_number(&self) -> bool {
        matches!(&self.0[..], [number, end, ..] if is_digits(number) && end == "endobj")
    }

    /// Where the first object of a stream of objects is, if it is one.
    pub(super) fn first_object(&self) -> Option<usize> {
        self.has("/ObjStm").then(|| self.number("/First", 0))?
    }

    /// The number behind a key, or the default where the key is missing.
    fn number(&self, key: &str, default: usize) -> Option<usize> {
        let Some(at) = self.0.iter().position(|word| word == key) else { return Some(default) };
        match self.0.get(at + 1..)? {
            // A reference is a number, too, with another one behind it.
            [_, next, ..] if next.bytes().all(|byte| byte.is_ascii_digit()) => None,
            [number, ..] => number.parse().ok(),
            [] => None,
        }
    }

    /// The predictor, if all of its parameters are numbers.
    pub(super) fn predictor(&self) -> Option<Predictor> {
        let number = |key, default| self.number(key, default);
        let predictor = Predictor {
            number: u32::try_from(number("/Predictor", 1)?).ok()?,
            colors: number("/Colors", 1)?,
            bits: number("/BitsPerComponent", 8)?,
            columns: number("/Columns", 1)?,
        };
        predictor.is_known().then_some(predictor)
    }
}

fn is_digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of which readers take the whole part.
fn whole(word: &str) -> Option<usize> {
    let word = word.strip_prefix('+').unwrap_or(word);
    let whole = word.split('.').next()?;
    let is_rest = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    word.get(whole.len()..).filter(|rest| is_rest(rest))?;
    whole.parse().ok()
}

/// A word with its escapes (`#41`) undone.
fn unescaped(word: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::new(), word);
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'#').and_then(|digits| names::value(*digits));
        text.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Dictionary {
        Dictionary::read(text.as_bytes())
    }

    #[test]
    fn a_length_is_whatever_a_reader_may_take_it_for() {
        for (text, numbers, references) in [
            ("/Length 78/X 3", &[78][..], &[][..]),
            ("/Length 6 0 R", &[], &[6]),
            ("/Length 5/Length 78", &[5, 78], &[]),
            ("/Length%7\n78/X 3", &[7, 78, 3], &[]),
            ("/Length 78.9>>", &[78], &[]),
            ("/Length +78>>", &[78], &[]),
            ("/Length -1>>", &[], &[]),
            ("/X 1", &[], &[]),
        ] {
            let expected = Lengths { numbers: numbers.to_vec(), references: references.to_vec() };
            assert_eq!(read(text).lengths(), expected, "{text}");
        }
    }

    #[test]
    fn parameters_that_are_elsewhere_or_given_twice_are_not_known() {
        for text in [
            "/DecodeParms[<</EarlyChange 1>>7 0 R]",
            "/DecodeParms %/\n7 0 R",
            "/DP 7 0 R",
            "/F 7 0 R",
            "/DecodeParms<</Predictor 12/Columns 4/Columns 17>>",
            "/DecodeParms<</Predictor 12/Columns 4 0 R>>",
        ] {
            assert!(read(text).stays_packed() || read(text).is_ambiguous(), "{text}");
        }
        for text in [
            "/DecodeParms<</Predictor 12/Columns 4>>/X 7 0 R",
            "/DecodeParms null/X 7 0 R",
            "/F(a)/X 7 0 R",
            "/X 7 0 R",
        ] {
            assert!(!read(text).stays_packed() && !read(text).is_ambiguous(), "{text}");
        }
    }
}
