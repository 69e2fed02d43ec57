//! The deployment as it was when the page was made, and its definitions' chain.

use std::fmt::Write;

use super::{
    Page, Report,
    table::{Cell, table},
    time,
};
use crate::{definitions::contents, report::escape::escaped, report::now::Now};

/// What works, waits and failed: queues, dead letters, self-test.
pub(super) fn now(out: &mut String, report: &Report, page: &Page) {
    let live = if page.is_live { " data-live=\"live.json\"" } else { "" };
    let _ = writeln!(out, "<section id=\"now\"{live}><h2>The deployment</h2>");
    if page.is_live {
        out.push_str("<p role=\"status\" class=\"live\">Live once its script runs.</p>\n");
    }
    match &report.now {
        Ok(Now { lines, wrong, .. }) => {
            let _ = writeln!(out, "<ul class=\"wrong\"{}>", if wrong.is_empty() { " hidden" } else { "" });
            for finding in wrong {
                let _ = writeln!(out, "<li>{}</li>", escaped(finding));
            }
            out.push_str("</ul>\n<dl class=\"lines\">\n");
            for (name, text) in lines {
                let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(text));
            }
            out.push_str("</dl>\n");
        }
        Err(why) => {
            let _ = writeln!(out, "<p>Its queues, dead letters and self-test are not known: {}</p>", escaped(why));
            out.push_str("<ul class=\"wrong\" hidden></ul>\n<dl class=\"lines\" hidden></dl>\n");
        }
    }
    if page.is_live {
        out.push_str("<h3>Latest findings</h3>\n<ol class=\"latest\"></ol>\n");
    }
    out.push_str("</section>\n");
}

/// What scans, and what vouches for it.
pub(super) fn definitions(out: &mut String, report: &Report) {
    out.push_str("<section id=\"definitions\"><h2>Definitions</h2>\n");
    if report.generations.is_empty() {
        out.push_str(
            "<p>Nothing is published, so nothing is scanned: see <code>nacre definitions status</code>.</p>\n",
        );
    }
    let rows = report.generations.iter().map(|manifest| -> Vec<Cell> {
        let engine = &manifest.engine;
        vec![
            manifest.generation.0.into(),
            time(manifest.published).into(),
            (report.made_at - manifest.newest_built()).num_hours().into(),
            contents(manifest).into(),
            manifest.restores.map(|restored| format!("rollback to {}", restored.0)).unwrap_or_default().into(),
            (&manifest.trust_anchor).into(),
            engine.signatures.into(),
            (&engine.clamav_version).into(),
        ]
    });
    let columns = [
        "Generation",
        "Published",
        "Age in hours",
        "Databases",
        "Change",
        "Signed by",
        "Signatures loaded",
        "Tested with libclamav",
    ];
    table(
        out,
        "Generations that are kept, newest first; each was loaded, found EICAR and passed clean files",
        &columns,
        rows,
    );
    out.push_str(
        "<p>That a rescan concludes what a full scan would is tried by <code>nacre prove</code> on your files, and by the differential \
         tests of each build on made-up ones.</p>\n</section>\n",
    );
}
