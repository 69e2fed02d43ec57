//! The filter of a stream that names how it is encrypted: it is the first, or the only one.
//!
//! Source: ISO 32000-1, section 7.4.10.

use super::super::plain::{Plain, Token, token, value};

const CRYPT: &str = "/Crypt";

pub(super) struct CryptFilter {
    /// The crypt filter that it names, with its slash.
    pub(super) name: String,
    /// The filters and their parameters without it, as they are written.
    pub(super) filters: Option<Vec<u8>>,
    pub(super) parameters: Option<Vec<u8>>,
}

impl CryptFilter {
    /// Reads a stream's dictionary; `None` where it has none, or one that is written in another way.
    pub(super) fn of(dictionary: &Plain<'_>) -> Option<Self> {
        if dictionary.get("/DP").is_some() || dictionary.get("/F").is_some() {
            return None;
        }
        let (filters, parameters) = (dictionary.get("/Filter")?, dictionary.get("/DecodeParms"));
        match token(filters)? {
            (Token::Name(filter), _) if filter == CRYPT => {
                Some(Self { name: named(parameters)?, filters: None, parameters: None })
            }
            (Token::Begin, rest) => {
                let (Token::Name(filter), rest) = token(rest)? else { return None };
                (filter == CRYPT).then_some(())?;
                let (first, others) = match parameters {
                    None => (None, None),
                    Some(parameters) => {
                        let (Token::Begin, others) = token(parameters)? else { return None };
                        let (first, others) = value(others)?;
                        (Some(first), Some([b"[", others].concat()))
                    }
                };
                Some(Self { name: named(first)?, filters: Some([b"[", rest].concat()), parameters: others })
            }
            _ => None,
        }
    }
}

/// The name in a filter's parameters.
fn named(parameters: Option<&[u8]>) -> Option<String> {
    let identity = || Some("/Identity".to_owned());
    match parameters {
        None => identity(),
        Some(text) if text.trim_ascii() == b"null" => identity(),
        Some(text) => {
            let parameters = Plain::dictionary(text)?;
            if parameters.get("/Name").is_some() { parameters.name("/Name") } else { identity() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_first_filter_or_is_left_where_it_is() {
        for (text, expected) in [
            ("<</Filter/Crypt>>", Some(("/Identity", None, None))),
            ("<</Filter/Crypt/DecodeParms<</Name/StdCF>>>>", Some(("/StdCF", None, None))),
            (
                "<</Filter[/Crypt/FlateDecode]/DecodeParms[<</Name/Identity>>null]>>",
                Some(("/Identity", Some("[/FlateDecode]"), Some("[null]"))),
            ),
            ("<</Filter[/Crypt /Fl]>>", Some(("/Identity", Some("[ /Fl]"), None))),
            ("<</Filter[/Fl/Crypt]>>", None),
            ("<</Filter[/Crypt/Fl]/DecodeParms<</Name/X>>>>", None),
            ("<</Filter[/Crypt/Fl]/DP[null null]>>", None),
            ("<</Filter/Fl>>", None),
            ("<</Length 5>>", None),
        ] {
            let found = Plain::dictionary(text.as_bytes()).and_then(|dictionary| CryptFilter::of(&dictionary));
            let text_of = |part: Option<Vec<u8>>| part.map(|part| String::from_utf8(part).unwrap());
            let found = found.map(|found| (found.name, text_of(found.filters), text_of(found.parameters)));
            let owned = |part: Option<&str>| part.map(str::to_owned);
            assert_eq!(found, expected.map(|(name, one, two)| (name.to_owned(), owned(one), owned(two))), "{text}");
        }
    }
}
