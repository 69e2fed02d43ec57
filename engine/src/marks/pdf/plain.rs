//! A stream's dictionary that is written as the standard has it: every reader reads the same in it.
//!
//! What is written otherwise, readers read differently, and libclamav in another way again: a comment or a string that holds a word of
//! the grammar, a key that stands twice, a word where none may be. So nothing is concluded from that.
//!
//! Source: ISO 32000-1, sections 7.2, 7.3.

use std::{collections::BTreeMap, str::FromStr};

use super::{super::bytes::is_pdf_space, names};

/// Deepest nesting.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Number(usize),
    /// The object that holds it.
    Reference(u64),
}

/// The entries of a dictionary: each value as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plain<'t>(BTreeMap<String, &'t [u8]>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Open,
    Close,
    Begin,
    End,
    Name(String),
    String,
    Word(&'t [u8]),
}

impl<'t> Plain<'t> {
    /// Reads what stands from the word `obj` to the word `stream`; `None` where that is no plain dictionary.
    pub(super) fn read(text: &'t [u8]) -> Option<Self> {
        let (Token::Word(b"obj"), rest) = token(text)? else { return None };
        Self::dictionary(rest)
    }

    /// Reads a dictionary that is all of a text; `None` where that is no plain one.
    pub(super) fn dictionary(text: &'t [u8]) -> Option<Self> {
        let (Token::Open, mut rest) = token(text)? else { return None };
        let mut entries = BTreeMap::new();
        loop {
            let (key, after) = token(rest)?;
            match key {
                Token::Close if after.iter().all(|byte| is_pdf_space(*byte)) => return Some(Self(entries)),
                Token::Name(key) => {
                    let (value, after) = value(after)?;
                    if entries.insert(key, value).is_some() {
                        return None;
                    }
                    rest = after;
                }
                _ => return None,
            }
        }
    }

    /// All keys with their values, as they are written.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &'t [u8])> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t [u8]> {
        self.0.get(key).copied()
    }

    /// A value that is one name.
    pub(super) fn name(&self, key: &str) -> Option<String> {
        match self.get(key).and_then(token) {
            Some((Token::Name(name), _)) => Some(name),
            _ => None,
        }
    }

    /// A value that is one whole number.
    pub(super) fn whole<T: FromStr>(&self, key: &str) -> Option<T> {
        std::str::from_utf8(self.get(key)?.trim_ascii()).ok()?.parse().ok()
    }

    /// The length of the stream.
    pub(super) fn length(&self) -> Option<Length> {
        let mut words = self.get("/Length")?.split(|byte| is_pdf_space(*byte)).filter(|word| !word.is_empty());
        let digits = |word: &[u8]| {
            std::str::from_utf8(word).ok().filter(|it| it.bytes().all(|it| it.is_ascii_digit())).map(str::to_owned)
        };
        let number = digits(words.next()?)?;
        match (words.next(), words.next()) {
            (None, _) => number.parse().ok().map(Length::Number),
            (Some(_), Some(b"R")) => number.parse().ok().map(Length::Reference),
            _ => None,
        }
    }

    /// The parameters of the filters, as they are written; `None` where they have others within.
    pub(super) fn parameters(&self) -> Option<&'t [u8]> {
        let of = |key| self.get(key).unwrap_or_default();
        let ((all, b"") | (b"", all)) = (of("/DecodeParms"), of("/DP")) else { return None };
        let (mut depth, mut rest) = (0, all);
        while let Some((token, after)) = token(rest) {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                _ => {}
            }
            if depth > 1 {
                return None;
            }
            rest = after;
        }
        Some(all)
    }

    /// The filters in their order, as they are written; `/F` is their name in a page.
    pub(super) fn filters(&self) -> &'t [u8] {
        self.get("/Filter").or_else(|| self.get("/F")).unwrap_or_default()
    }

    /// Whether it is an image that is shown, and no file that says so.
    pub(super) fn is_image(&self) -> bool {
        let is = |key, name: &str| self.name(key).is_some_and(|it| it == name);
        is("/Subtype", "/Image") && !is("/Type", "/EmbeddedFile")
    }
}

/// The value that `text` begins with, and what follows it.
pub(super) fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, mut rest) = token(text)?;
    match first {
        Token::Close | Token::End => return None,
        Token::Name(_) | Token::String => {}
        Token::Word(word) => {
            // A reference is three words.
            if let Some((Token::Word(next), after)) = token(rest)
                && is_whole(word)
                && is_whole(next)
                && let Some((Token::Word(b"R"), after)) = token(after)
            {
                rest = after;
            } else if word == b"R" || word == b"obj" {
                return None;
            }
        }
        Token::Open | Token::Begin => {
            let mut open = vec![first];
            while let Some(last) = open.last() {
                let (next, after) = token(rest)?;
                match (&next, last) {
                    (Token::Open | Token::Begin, _) if open.len() < MAX_DEPTH => open.push(next),
                    (Token::Close, Token::Open) | (Token::End, Token::Begin) => {
                        open.pop();
                    }
                    (Token::Open | Token::Begin | Token::Close | Token::End | Token::Word(b"obj"), _) => return None,
                    _ => {}
                }
                rest = after;
            }
        }
    }
    Some((text.get(..text.len() - rest.len())?, rest))
}

/// The next token; `None` at the end, and where none of a plain dictionary stands.
pub(super) fn token(text: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let start = text.iter().position(|byte| !is_pdf_space(*byte))?;
    let text = text.get(start..)?;
    let after = |width: usize| text.get(width..);
    match text {
        [b'<', b'<', ..] => Some((Token::Open, after(2)?)),
        [b'>', b'>', ..] => Some((Token::Close, after(2)?)),
        [b'[', ..] => Some((Token::Begin, after(1)?)),
        [b']', ..] => Some((Token::End, after(1)?)),
        [b'<', rest @ ..] => {
            let end = rest.iter().position(|byte| !byte.is_ascii_hexdigit() && !is_pdf_space(*byte))?;
            (rest.get(end) == Some(&b'>')).then_some(())?;
            Some((Token::String, rest.get(end + 1..)?))
        }
        [b'(', ..] => Some((Token::String, after(string(text)?)?)),
        [b'/', rest @ ..] => {
            let (name, width) = name(rest)?;
            Some((Token::Name(name), rest.get(width..)?))
        }
        _ => {
            let end = text.iter().position(|byte| !is_regular(*byte)).unwrap_or(text.len());
            let (word, after) = text.split_at_checked(end)?;
            let is_number = word.iter().all(|byte| byte.is_ascii_digit() || b"+-.".contains(byte));
            let is_known = is_number || [&b"R"[..], b"true", b"false", b"null", b"obj"].contains(&word);
            (is_known && !word.is_empty()).then_some((Token::Word(word), after))
        }
    }
}

/// A name with its escapes undone, and how long it is written.
fn name(text: &[u8]) -> Option<(String, usize)> {
    let width = text.iter().position(|byte| !is_regular(*byte)).unwrap_or(text.len());
    let (mut name, mut rest) = (vec![b'/'], text.get(..width)?);
    while let Some((first, after)) = rest.split_first() {
        let escape = after.first_chunk::<2>().filter(|_| *first == b'#').and_then(|digits| names::value(*digits));
        name.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { after.get(2..)? } else { after };
    }
    // Some readers end it at an escaped zero.
    (!name.contains(&0)).then(|| (String::from_utf8_lossy(&name).into_owned(), width))
}

/// The width of the string that `text` begins with.
fn string(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        at += memchr::memchr3(b'(', b')', b'\\', text.get(at..)?)?;
        match text.get(at)? {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => at += 1,
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

fn is_whole(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_digit)
}

/// What a name or a word may consist of. Readers differ on braces.
pub(super) fn is_regular(byte: u8) -> bool {
    !is_pdf_space(byte) && !b"()<>[]{}/%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_every_reader_reads_alike_is_plain() {
        let text = b"obj\n<</Type /Embedded#46ile/Length 6 0 R /Params<</Size 3/CheckSum<0F 1>/M(a\\)(b))>>/Filter[/Fl]/X null>>\n";
        let plain = Plain::read(text).unwrap();
        assert_eq!((plain.length(), plain.filters()), (Some(Length::Reference(6)), &b"[/Fl]"[..]));
        assert!(!plain.is_image());
        assert!(Plain::read(b"obj <</Subtype/Image/Length 9>>").unwrap().is_image());
        let parameters = |text: &'static str| Plain::read(text.as_bytes()).unwrap().parameters();
        assert_eq!(parameters("obj<</Colors 3/DecodeParms[<</Columns 3>>null]>>"), Some(&b"[<</Columns 3>>null]"[..]));
        assert_eq!(parameters("obj<</DP<</X<</Columns 3>>>>>>"), None);
        assert_eq!(parameters("obj<</DP<<>>/DecodeParms<<>>>>"), None);
    }

    #[test]
    fn what_readers_read_differently_is_not() {
        for text in [
            "obj<</Length 5%\n>>",
            "obj<</Length 5/Length 6>>",
            "obj<</Length 5/L#65ngth 6>>",
            "obj<</X(>>",
            "obj<</X 9 0 obj/Y 1>>",
            "obj<<) /Y 1>>",
            "obj<</Length 5>>stream endstream <<>>",
            "obj<</X<0g>>>",
            "obj<</X[<<]>>>>",
            "obj<</X[9 0 obj]>>",
            "obj<</X#00 1>>",
            "obj<</X{1}>>",
            "obj 5 <<>>",
            "<<>>",
        ] {
            assert_eq!(Plain::read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>, letters in "[<>/()\\[\\]# R0-9a-f]{0,60}") {
            for text in [&bytes[..], letters.as_bytes()] {
                if let Some(plain) = Plain::read(&[b"obj<<", text, b">>"].concat()) {
                    plain.parameters();
                    plain.length();
                }
            }
        }
    }
}
