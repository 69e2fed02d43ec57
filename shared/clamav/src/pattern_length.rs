//! Patterns that are longer than those of an engine's probes.
//!
//! libclamav reads a file in windows that overlap by the longest pattern of a matcher, and counts a match in the overlap twice. The probes
//! of every engine pin that length, but a pattern may have more bytes than its text has: `{127}` stands for 127 of any value, and the
//! modifier `::w` doubles what stands before it.
//!
//! Source: `cli_add_content_match_pattern` and `cli_sigopts_handler` (`readdb.c`) of libclamav 1.4.

/// Bytes of a probe's pattern: `OVERLAP_BYTES` of the engine.
const PROBE_BYTES: usize = 4096;

/// From this number on, a gap ends a part of a pattern (`cli_add_content_match_pattern`).
const FIRST_PART: usize = 128;

/// Whether a line of patterns may have one that is longer than a probe's.
pub(crate) fn may_exceed_probes(line: &[u8]) -> bool {
    // Most lines are too short for it, whatever they hold: the shortest gap of 127 bytes has five characters.
    line.len() * FIRST_PART / 5 > PROBE_BYTES
        && line.split(|byte| *byte == b';').any(|piece| longest(piece) > PROBE_BYTES)
}

/// Whether rules of YARA may have a string that is longer than a probe's pattern.
pub fn may_rules_exceed_probes(rules: &[u8]) -> bool {
    // A text has a byte for each character, and `wide` doubles them.
    rules.split(|byte| matches!(byte, b'"' | b'{' | b'}')).any(|piece| 2 * piece.len() + gaps(piece) > PROBE_BYTES)
}

/// At most so many bytes have the parts of a pattern.
fn longest(piece: &[u8]) -> usize {
    let options = memchr::memmem::rfind(piece, b"::").and_then(|at| piece.get(at + 2..));
    let is_wide = options.is_some_and(|options| options.contains(&b'w'));
    let bytes = |part: &[u8]| part.len().div_ceil(if is_wide { 1 } else { 2 }) + gaps(part);
    piece.split(|byte| *byte == b'*').map(bytes).max().unwrap_or_default()
}

/// Bytes that all gaps of a fixed length stand for.
fn gaps(part: &[u8]) -> usize {
    let after = part.split(|byte| matches!(byte, b'{' | b'[')).skip(1);
    after.map(|text| length_of(text).unwrap_or_default()).sum()
}

/// The number before a closing bracket, where it does not end the part.
fn length_of(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| matches!(byte, b'}' | b']'))?;
    let number: usize = std::str::from_utf8(text.get(..end)?.trim_ascii()).ok()?.parse().ok()?;
    (number < FIRST_PART).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_and_wide_texts_make_a_pattern_longer_than_its_line() {
        let gaps = |of: &str, times: usize| format!("A;Target:0;0;{}", format!("00ff{of}").repeat(times));
        for (line, exceeds) in [
            (gaps("{127}", 30), false),
            (gaps("{127}", 40), true),
            (gaps("[127]", 40), true),
            (gaps("{128}", 400), false),
            (gaps("{1-127}", 400), false),
            (gaps("*", 400), false),
            (gaps("{127}*", 400), false),
            (gaps("{127};", 400), false),
            (gaps("", 1500), false),
            (gaps("", 1500) + "::w", true),
            (gaps("", 1500) + "::ia", false),
            (format!("A:0:*:{}", "00ff{127}".repeat(40)), true),
        ] {
            assert_eq!(may_exceed_probes(line.as_bytes()), exceeds, "{line}");
        }
    }

    #[test]
    fn strings_of_rules_may_have_gaps_and_be_wide() {
        let rule = |of: &str| format!("rule a {{ strings: $a = {of} condition: $a }}");
        assert!(!may_rules_exceed_probes(rule("{ 00 ff [4-200] 00 ff }").as_bytes()));
        assert!(may_rules_exceed_probes(rule(&format!("{{ {} }}", "00 ff [ 127 ] ".repeat(40))).as_bytes()));
        assert!(may_rules_exceed_probes(rule(&format!("\"{}\" wide", "a".repeat(2100))).as_bytes()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(line: Vec<u8>, text in "[a;:w{}\\[\\]0-9*]{0,300}") {
            for line in [line.as_slice(), text.as_bytes()] {
                let _ = (may_exceed_probes(line), may_rules_exceed_probes(line));
            }
        }
    }
}
