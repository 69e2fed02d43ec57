//! Tables: some rows as elements, the rest as data from which the page's script shows a part at a time.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{printable::printable, report::escape::escaped};

/// Rows that are elements of the page, and that the script shows at a time. A browser lays out no more of them than that.
pub(super) const SHOWN: usize = 100;

/// A cell: a text, which may lead to the rows behind it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    /// The section, and what its table is filtered by.
    link: Option<(&'static str, String)>,
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), link: None }
    }
}

impl Cell {
    /// A number that leads to the rows behind it: those of a section's table that a filter leaves.
    pub(super) fn of_rows(number: u64, section: &'static str, filter: impl Into<String>) -> Self {
        Self { text: number.to_string(), link: (number > 0).then(|| (section, filter.into())) }
    }

    fn is_number(&self) -> bool {
        !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn html(&self) -> String {
        let text = escaped(&self.text);
        match &self.link {
            Some((section, filter)) => format!("<a href=\"#{section}\" data-filter=\"{}\">{text}</a>", escaped(filter)),
            None => text,
        }
    }

    fn json(&self) -> Value {
        let text = printable(&self.text);
        match &self.link {
            Some((section, filter)) => json!([text, section, printable(filter)]),
            None => json!(text),
        }
    }
}

/// The filter that leaves the rows with this word in a column. A name of several words, or none, is looked for in all columns.
pub(super) fn in_column(column: &str, word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) { word.to_owned() } else { format!("{column}:{word}") }
}

/// Writes a table whose columns can be sorted and whose rows can be filtered; nothing when it would be empty.
pub(super) fn table(out: &mut String, caption: &str, columns: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
    write(out, caption, columns, rows, "");
}

/// The same for the rows that numbers of the page lead to.
pub(super) fn table_of_rows(out: &mut String, caption: &str, columns: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
    write(out, caption, columns, rows, " data-rows");
}

fn write(
    out: &mut String,
    caption: &str,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<Cell>>,
    attribute: &'static str,
) {
    let mut rows = rows.peekable();
    let Some(first) = rows.peek() else { return };
    let numbers: Vec<bool> = first.iter().map(Cell::is_number).collect();
    let caption = escaped(caption);
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"{attribute}><table><caption>{caption}</caption><thead><tr>"
    );
    for (column, is_number) in columns.iter().zip(numbers) {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(is_number), escaped(column));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows.by_ref().take(SHOWN) {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td{}>{}</td>", class(cell.is_number()), cell.html());
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>");
    if rows.peek().is_some() {
        out.push_str("<script type=\"application/json\">[");
        for (place, row) in rows.enumerate() {
            let cells: Vec<Value> = row.iter().map(Cell::json).collect();
            let _ = write!(out, "{}{}", if place > 0 { ",\n" } else { "" }, inert(&json!(cells).to_string()));
        }
        out.push_str("]</script>");
    }
    out.push_str("</div>\n");
}

/// Numbers stand below each other, and their head above them.
fn class(is_number: bool) -> &'static str {
    if is_number { " class=\"number\"" } else { "" }
}

/// JSON that ends no script element and begins none, whatever its texts are.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(rows: Vec<Vec<Cell>>) -> String {
        let mut out = String::new();
        table_of_rows(&mut out, "A <caption>", &["Key", "Objects"], rows.into_iter());
        out
    }

    /// The rows that a table has as data.
    fn data(table: &str) -> Vec<Value> {
        let (_, json) = table.split_once("<script type=\"application/json\">").unwrap_or(("", "[]</script>"));
        serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn a_number_leads_to_its_rows_and_zero_to_none() {
        let row = |count| vec![Cell::from("a"), Cell::of_rows(count, "infected", in_column("bucket", "\"b"))];
        let html = written(vec![row(2), row(0)]);
        assert!(html.contains("<a href=\"#infected\" data-filter=\"bucket:&quot;b\">2</a>"), "{html}");
        assert!(html.contains("<td class=\"number\">0</td>") && html.contains("A &lt;caption&gt;"), "{html}");
        assert_eq!(written(vec![]), "");
        assert_eq!((in_column("type", ""), in_column("type", "a b")), (String::new(), "a b".to_owned()));
    }

    #[test]
    fn a_browser_is_given_few_rows_as_elements_and_all_as_data() {
        let html = written((0..10_000_u32).map(|n| vec![Cell::from(n), Cell::of_rows(1, "objects", "x")]).collect());
        assert_eq!(html.matches("<tr>").count(), SHOWN + 1);
        let rest = data(&html);
        assert_eq!((rest.len(), &rest[0]), (10_000 - SHOWN, &json!(["100", ["1", "objects", "x"]])));
    }

    proptest! {
        #[test]
        fn no_text_ends_the_data(text: String) {
            let rows = (0..=SHOWN).map(|_| vec![Cell::from(&text), Cell::of_rows(1, "objects", text.clone())]).collect();
            let html = written(rows);
            prop_assert_eq!(html.matches("</script").count(), 1);
            prop_assert!(!html.contains("<!--"));
            prop_assert_eq!(&data(&html)[0][0], &json!(printable(&text)));
        }
    }
}
