//! The report as one HTML file: it loads nothing, runs from a mail's attachment, and works without its script.

mod chart;
mod coverage;
mod findings;
mod now;
mod rescans;
mod table;

use std::fmt::Write;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use nacre_core::{generation::manifest::Manifest, rescan::pass::State};

use super::{
    escape::escaped,
    now::Now,
    passes::ShownPass,
    tally::{Kind, Tally},
};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Which objects a report is about.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// All buckets when empty.
    pub(super) buckets: Vec<String>,
    pub(super) since: Option<NaiveDate>,
    /// The number of records of which a sample was read, as far as the table knows it; `None` when all were read.
    pub(super) sampled_of: Option<u64>,
}

/// What a report says.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(super) made_at: DateTime<Utc>,
    pub(super) scope: Scope,
    pub(super) tally: Tally,
    /// Newest first; the first one is published.
    pub(super) generations: Vec<Manifest>,
    pub(super) passes: Vec<ShownPass>,
    /// What the stack does with infected objects, by its parameter.
    pub(super) action: Option<String>,
    /// The deployment, or why it is not known.
    pub(super) now: Result<Now, String>,
}

/// Where a page is shown.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Of the one style and script that may run; nobody can guess it.
    pub(crate) nonce: String,
    /// Whether a console serves it, and it asks for what is new.
    pub(crate) is_live: bool,
}

impl Page {
    /// With a nonce of its own.
    pub(crate) fn new(is_live: bool) -> Self {
        Self { nonce: uuid::Uuid::new_v4().simple().to_string(), is_live }
    }

    /// What the page may do: run its own script, have its own style, and ask its console, where it has one.
    pub(crate) fn policy(&self) -> String {
        let nonce = &self.nonce;
        let connect = if self.is_live { "; connect-src 'self'" } else { "" };
        format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'{connect}"
        )
    }
}

impl Report {
    /// The state in one sentence.
    pub(super) fn sentence(&self) -> String {
        let [infected, unscannable] = [Kind::Infected, Kind::Unscannable].map(|kind| self.tally.of(kind).objects);
        let all = self.tally.total().objects;
        let objects = if self.scope.sampled_of.is_some() { "sampled objects" } else { "objects" };
        let mut text = match (all, infected) {
            (0, _) => "No object is recorded.".to_owned(),
            (_, 0) => format!("None of {all} {objects} is known to be infected."),
            (_, 1) => format!("1 of {all} {objects} is infected."),
            _ => format!("{infected} of {all} {objects} are infected."),
        };
        if unscannable > 0 {
            let _ = write!(text, " {unscannable} could not be scanned.");
        }
        // A record keeps its generation where nothing that was published since concerns it: only a pass says what waits.
        let published = self.generations.first().map(|manifest| manifest.generation);
        let pass = self.passes.iter().find(|shown| Some(shown.pass.id.generation) == published);
        if pass.is_some_and(|shown| shown.progress.state == State::Working) {
            text.push_str(" The rescan for the published definitions is under way.");
        }
        match self.now.as_ref().map_or(0, |now| now.wrong.len()) {
            0 => {}
            1 => text.push_str(" The deployment has a fault."),
            faults => {
                let _ = write!(text, " The deployment has {faults} faults.");
            }
        }
        text
    }
}

/// The whole page.
pub(crate) fn html(report: &Report, page: &Page) -> String {
    let mut out = String::new();
    let (nonce, policy) = (&page.nonce, page.policy());
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Nacre: virus scanning report</title>\n\
         <style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n"
    );
    head(&mut out, report);
    out.push_str("<main id=\"main\">\n");
    now::now(&mut out, report, page);
    coverage::coverage(&mut out, report);
    findings::findings(&mut out, report);
    rescans::rescans(&mut out, report);
    now::definitions(&mut out, report);
    let _ = write!(out, "</main>\n<script nonce=\"{nonce}\">{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

fn head(out: &mut String, report: &Report) {
    let Scope { buckets, since, sampled_of } = &report.scope;
    let scope = if buckets.is_empty() { "all buckets".to_owned() } else { buckets.join(", ") };
    let since = since.map(|day| format!(", scanned since {day}")).unwrap_or_default();
    let _ = write!(
        out,
        "<a class=\"skip\" href=\"#main\">To the content</a>\n<header>\n<h1>Virus scanning report</h1>\n<p class=\"state\">{}</p>\n\
         <p>Made {} of {}{since}.</p>\n",
        escaped(&report.sentence()),
        time(report.made_at),
        escaped(&scope)
    );
    let (tally, total) = (&report.tally, report.tally.total());
    if let Some(all) = sampled_of {
        let read = total.objects;
        let _ = writeln!(
            out,
            "<p><strong>A sample: {read} records of about {all}. All counts of objects are those of the sample.</strong></p>"
        );
    }
    out.push_str("<dl class=\"numbers\">\n");
    let never = tally.of(Kind::Skipped).objects + tally.of(Kind::Unknown).objects;
    let numbers = [
        ("objects", total.objects, "coverage"),
        ("infected", tally.of(Kind::Infected).objects, "infected"),
        ("unscannable", tally.of(Kind::Unscannable).objects, "unscannable"),
        ("skipped or unknown", never, "objects"),
        ("generations of definitions", tally.generations.len() as u64, "generations"),
        ("without tags or result yet", tally.unreported, "coverage"),
    ];
    for (name, number, link) in numbers {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd><a href=\"#{link}\">{number}</a></dd></div>");
    }
    out.push_str("</dl>\n</header>\n");
}

/// A time as tables have it: its day is a word of its own, which rows are filtered by.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true).replace('T', " ")
}

#[cfg(test)]
mod tests;
