//! Text of unknown origin in HTML.

/// A text as the content of an element or of a quoted attribute. Keys and names of signatures are an attacker's to choose; what a reader
/// would not see is shown by its number.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in crate::printable::printable(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_opens_an_element_or_ends_an_attribute() {
        assert_eq!(escaped("<script>'\"&\u{202e}\n"), r"&lt;script&gt;&#39;&quot;&amp;\u{202e}\n");
    }

    proptest! {
        #[test]
        fn no_text_leaves_a_mark(text: String) {
            prop_assert!(!escaped(&text).contains(['<', '>', '"', '\'', '\n']));
        }
    }
}
