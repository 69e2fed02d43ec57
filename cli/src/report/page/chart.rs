//! Charts as SVG; each table beside them has the same numbers.

use std::{collections::BTreeMap, fmt::Write};

use chrono::NaiveDate;

use crate::report::{
    escape::escaped,
    tally::{Kind, Kinds},
};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
/// Most days that are drawn, the last ones.
const DAYS: usize = 90;

/// One bar of parts, with what each is; nothing when all are nothing.
pub(super) fn bar(title: &str, parts: &[(&str, u64)]) -> String {
    let total: u64 = parts.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return String::new();
    }
    let mut out = begin(title, 60.0);
    let (mut x, mut label) = (0.0, 0.0);
    for (colour, (name, count)) in parts.iter().enumerate().filter(|(_, (_, count))| *count > 0) {
        let width = WIDTH * share(*count, total);
        let _ = write!(out, "<rect class=\"k{colour}\" x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"24\"/>");
        let text = format!("{name} {count}");
        let _ = write!(out, "<rect class=\"k{colour}\" x=\"{label:.1}\" y=\"36\" width=\"10\" height=\"10\"/>");
        let _ = write!(out, "<text x=\"{:.1}\" y=\"46\">{}</text>", label + 14.0, escaped(&text));
        x += width;
        label += 30.0 + 8.0 * f64::from(u32::try_from(text.len()).unwrap_or_default());
    }
    out.push_str("</svg>\n");
    out
}

/// A bar for each stage of a process, as long as its number is beside the first one's; nothing when that is nothing.
pub(super) fn stages(title: &str, stages: &[(&str, usize, u64)]) -> String {
    let whole = stages.first().map(|(.., count)| *count).unwrap_or_default();
    if whole == 0 {
        return String::new();
    }
    let mut out = begin(title, 20.0 * f64::from(u32::try_from(stages.len()).unwrap_or_default()));
    for (place, (name, colour, count)) in stages.iter().enumerate() {
        let y = 20.0 * f64::from(u32::try_from(place).unwrap_or_default());
        // Few among many are seen, too.
        let least = if *count > 0 { 2.0 } else { 0.0 };
        let width = (WIDTH / 2.0 * share(*count, whole)).clamp(least, WIDTH / 2.0);
        let _ = write!(out, "<rect class=\"k{colour}\" x=\"0\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"14\"/>");
        let text = format!("{count} {name}");
        let _ = write!(out, "<text x=\"{:.0}\" y=\"{:.0}\">{}</text>", WIDTH / 2.0 + 8.0, y + 12.0, escaped(&text));
    }
    out.push_str("</svg>\n");
    out
}

/// A bar for each day.
pub(super) fn days(title: &str, days: &BTreeMap<NaiveDate, Kinds>) -> String {
    let last: Vec<_> = days.iter().rev().take(DAYS).collect();
    let most = last.iter().map(|(_, kinds)| kinds.values().sum::<u64>()).max().unwrap_or_default();
    if most == 0 {
        return String::new();
    }
    let mut out = begin(title, HEIGHT + 20.0);
    let width = WIDTH / f64::from(u32::try_from(last.len()).unwrap_or(1));
    for (place, (day, kinds)) in last.iter().rev().enumerate() {
        let x = width * f64::from(u32::try_from(place).unwrap_or_default());
        let mut y = HEIGHT;
        let _ = write!(out, "<g><title>{day}</title>");
        for (colour, kind) in Kind::ALL.iter().enumerate() {
            let height = HEIGHT * share(kinds.get(kind).copied().unwrap_or_default(), most);
            y -= height;
            let bar = (width - 1.0).clamp(1.0, 40.0);
            let _ = write!(
                out,
                "<rect class=\"k{colour}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\"/>"
            );
        }
        out.push_str("</g>");
    }
    if let (Some((to, _)), Some((from, _))) = (last.first(), last.last()) {
        let _ = write!(out, "<text x=\"0\" y=\"{:.0}\">{from} to {to}, at most {most} a day</text>", HEIGHT + 16.0);
    }
    out.push_str("</svg>\n");
    out
}

fn begin(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!("<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">")
}

/// A part of a whole, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a picture of it is coarser")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_the_width() {
        let svg = bar("Parts", &[("a", 1), ("<b>", 2), ("c", 1)]);
        for part in ["width=\"160.0\"", "x=\"160.0\" y=\"0\" width=\"320.0\"", "x=\"480.0\"", "&lt;b&gt; 2"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(bar("Nothing", &[("a", 0)]), "");
    }

    #[test]
    fn stages_are_beside_the_first_and_few_are_seen() {
        let svg = stages("Pass", &[("examined", 3, 1_000_000), ("found", 0, 1), ("cleared", 4, 0)]);
        for part in ["width=\"320.0\"", "width=\"2.0\"", "width=\"0.0\"", "1 found", "0 cleared"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(stages("Nothing", &[("examined", 3, 0)]), "");
    }

    #[test]
    fn the_last_days_are_drawn_and_the_highest_reaches_the_top() {
        let day = |n: u64| NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::Days::new(n);
        let all: BTreeMap<_, _> = (0..100).map(|n| (day(n), Kinds::from([(Kind::Clean, n)]))).collect();
        let svg = days("Days", &all);
        assert_eq!(svg.matches("<title>").count(), DAYS);
        assert!(
            svg.contains("height=\"160.0\"") && svg.contains("2026-01-11 to 2026-04-10, at most 99 a day"),
            "{svg}"
        );
        assert_eq!(days("None", &BTreeMap::new()), "");
    }
}
