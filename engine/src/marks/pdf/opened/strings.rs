//! Strings, as they are written and what they mean.
//!
//! Source: ISO 32000-1, section 7.3.4.

use super::super::{
    super::bytes::after_pdf_space,
    plain::{Token, token},
};

/// What the string that `text` begins with means; `None` where none is.
pub(super) fn first(text: &[u8]) -> Option<Vec<u8>> {
    let (Token::String, after) = token(text)? else { return None };
    match after_pdf_space(text.get(..text.len() - after.len())?) {
        [b'(', inner @ .., b')'] => Some(literal(inner)),
        [b'<', digits @ .., b'>'] => Some(hexadecimal(digits)),
        _ => None,
    }
}

fn hexadecimal(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().filter_map(|byte| char::from(*byte).to_digit(16));
    let digits: Vec<u8> = digits.filter_map(|digit| u8::try_from(digit).ok()).collect();
    digits.chunks(2).map(|pair| pair.first().unwrap_or(&0) << 4 | pair.get(1).unwrap_or(&0)).collect()
}

fn literal(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\r', [b'\n', after @ ..]) => {
                out.push(b'\n');
                rest = after;
            }
            (b'\r', _) => out.push(b'\n'),
            (b'\\', [b'\r', b'\n', after @ ..] | [b'\r' | b'\n', after @ ..]) => rest = after,
            (b'\\', [digit @ b'0'..=b'7', ..]) => {
                let digits = after.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let number = after.iter().take(digits).fold(0_u32, |number, digit| number << 3 | u32::from(digit & 7));
                out.push(u8::try_from(number & 0xFF).unwrap_or(*digit));
                rest = after.get(digits..).unwrap_or_default();
            }
            (b'\\', [letter, after @ ..]) => {
                out.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    other => *other,
                });
                rest = after;
            }
            _ => out.push(*first),
        }
    }
    out
}

/// A string as it may be written, with as few escapes as there must be.
pub(super) fn written(string: &[u8]) -> Vec<u8> {
    let mut text = vec![b'('];
    for byte in string {
        match byte {
            b'(' | b')' | b'\\' => text.extend([b'\\', *byte]),
            b'\r' => text.extend(b"\\r"),
            _ => text.push(*byte),
        }
    }
    text.push(b')');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_mean_what_the_standard_says() {
        for (text, expected) in [
            (&b" (words (and) words)/Next"[..], &b"words (and) words"[..]),
            (b"(a\\)\\(\\\\\\n\\101\\7\\0018\\x\\\r\nb)", b"a)(\\\nA\x07\x018xb"),
            (b"(a\r\nb\rc)", b"a\nb\nc"),
            (b"<4 1424>", b"AB@"),
            (b"\0 \0<>", b""),
        ] {
            assert_eq!(first(text).as_deref(), Some(expected), "{}", String::from_utf8_lossy(text));
        }
        for text in [&b"/Name"[..], b"(open", b"<0g>", b"5 0 R", b""] {
            assert_eq!(first(text), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(string: Vec<u8>) {
            assert_eq!(first(&written(&string)), Some(string));
        }
    }
}
