//! The words of a stream's dictionary.

use super::predictor::Predictor;

/// Words of the parameters of filters that are read.
const MAX_PARAMETERS: usize = 32;

/// The words, with what they are between left out.
pub(super) struct Dictionary(Vec<String>);

impl Dictionary {
    pub(super) fn read(text: &[u8]) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"/<>[]()%".contains(byte);
            let end = after.iter().position(is_end).unwrap_or(after.len());
            if first.is_ascii_whitespace() {
                rest = after;
            } else if b"<>[]()%".contains(first) {
                words.push(char::from(*first).to_string());
                rest = after;
            } else {
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

    pub(super) fn begins_with_one_of(&self, words: &[&str]) -> bool {
        self.0.first().is_some_and(|first| words.contains(&first.as_str()))
    }

    /// The words behind a key, where it stands.
    fn after<'a>(&'a self, keys: &'a [&str]) -> impl Iterator<Item = &'a [String]> {
        let places = self.0.iter().enumerate().filter(|(_, word)| keys.contains(&word.as_str()));
        places.map(|(at, _)| self.0.get(at + 1..).unwrap_or_default())
    }

    /// Whether neither libclamav nor the reading here unpacks it.
    pub(super) fn stays_packed(&self) -> bool {
        if self.is_image() {
            return false;
        }
        let is_reference = |value: &[String]| {
            let value = value.strip_prefix(&["[".to_owned()]).unwrap_or(value);
            matches!(value, [number, generation, mark, ..]
                if mark == "R" && [number, generation].iter().all(|it| it.bytes().all(|byte| byte.is_ascii_digit())))
        };
        // Behind other parameters, or a comment.
        let has_reference = |value: &[String]| {
            let own = value.iter().take_while(|word| !word.starts_with('/') && *word != ">");
            own.take(MAX_PARAMETERS).any(|word| word == "R")
        };
        // Filters of pictures, which are not undone here.
        let pictures = ["/CCITTFaxDecode", "/CCF", "/JBIG2Decode", "/DCTDecode", "/DCT", "/JPXDecode"];
        let is_picture = self.has("/EmbeddedFile") && pictures.iter().any(|filter| self.has(filter));
        let predicts = |value: &[String]| value.first().is_some_and(|number| number != "1");
        self.has("/Crypt")
            || is_picture
            || self.after(&["/DecodeParms"]).any(has_reference)
            || self.after(&["/Filter", "/DecodeParms"]).any(is_reference)
            || self.after(&["/Predictor"]).any(predicts) && self.predictor().is_none()
            || self.count(&["/Predictor"]) > 1
    }

    /// Whether it has a predictor or a filter that is rare: what libclamav decrypts it does not unpack further by these.
    pub(super) fn is_unusual(&self) -> bool {
        let rare = ["/LZWDecode", "/LZW", "/RunLengthDecode", "/RL", "/ASCIIHexDecode", "/AHx", "/Predictor"];
        !self.is_image() && rare.iter().any(|word| self.has(word))
    }

    /// Whether it is an image that is shown, and no file that says so.
    pub(super) fn is_image(&self) -> bool {
        let is_image = self.after(&["/Subtype"]).any(|value| value.first().is_some_and(|it| it == "/Image"));
        is_image && !self.has("/EmbeddedFile")
    }

    /// The length of the stream, where it is a number.
    pub(super) fn length(&self) -> Option<usize> {
        self.has("/Length").then(|| self.number("/Length", 0))?
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

/// A word with its escapes (`#41`) undone.
fn unescaped(word: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::new(), word);
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'#').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        text.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&text).into_owned()
}
