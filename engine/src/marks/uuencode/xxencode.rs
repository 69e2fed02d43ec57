//! The body of a file by `xxencode`: lines as those of `uuencode`, in letters that every computer knows.
//!
//! Source: the manual of `uudeview`, "Encoding Formats".

/// The file, and how much of the body was read; `None` where the first line is none.
pub(super) fn file(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut decoded, mut read) = (Vec::new(), 0);
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        read += line.len() + 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let Some(bytes) = bytes(line).filter(|bytes| !bytes.is_empty()) else { break };
        decoded.extend(bytes);
    }
    (!decoded.is_empty()).then_some((decoded, read))
}

/// What a line holds: a letter for the number of its bytes, and four letters for each three of them, of which the last may lack some. A sum
/// may follow.
fn bytes(line: &[u8]) -> Option<Vec<u8>> {
    let (first, letters) = line.split_first()?;
    let length = usize::from(value(*first)?);
    let groups = length.div_ceil(3);
    ((length * 4).div_ceil(3)..=groups * 4 + 1).contains(&letters.len()).then_some(())?;
    let mut bytes = Vec::new();
    for letters in letters.chunks(4).take(groups) {
        let number = (0..4).try_fold(0_u32, |number, at| {
            let value = letters.get(at).map_or(Some(0), |letter| value(*letter));
            Some(number << 6 | u32::from(value?))
        });
        bytes.extend_from_slice(number?.to_be_bytes().get(1..)?);
    }
    bytes.truncate(length);
    Some(bytes)
}

fn value(letter: u8) -> Option<u8> {
    Some(match letter {
        b'+' => 0,
        b'-' => 1,
        b'0'..=b'9' => letter - b'0' + 2,
        b'A'..=b'Z' => letter - b'A' + 12,
        b'a'..=b'z' => letter - b'a' + 38,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_decoded_to_the_first_that_is_none() {
        for (body, expected) in [
            ("3RqxmN5A+\n8QqxhNG-rPr7YQk++\n+\nend\n", &b"wordssome words"[..]),
            // The last letters may be missing, and a sum may follow.
            ("3RqxmN5A\r\n\r\n3RqxmN5A+Z\r\n+\r\nend\r\n", b"wordswords"),
            ("3RqxmN5A+\n3RqxmN5A+ and words\n3RqxmN5A+\n", b"words"),
        ] {
            assert_eq!(file(body.as_bytes()).unwrap().0, expected, "{body}");
        }
        for body in ["%=V]R9',`\n`\nend\n", "some words\n", "+\nend\n", "", "3RqxmN5A+Z9\n"] {
            assert_eq!(file(body.as_bytes()), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_it(text in "[+0-9A-Za-z \\n-]{0,80}") {
            file(text.as_bytes());
        }
    }
}
