//! The template: this program's own or one that is named, and how `CloudFormation` gets it.

use std::{fs, io, path::Path};

use super::artifacts::{ArtifactError, Artifacts};

/// The template of the version that this program is.
const OWN: &str = include_str!("../../../infra/template.yaml");

/// Largest template that a call takes ("AWS CloudFormation quotas"); a larger one has to be in a bucket.
const MAX_IN_CALL: usize = 51_200;

/// How `CloudFormation` gets the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    Text(String),
    Address(String),
    /// That which the stack has.
    Previous,
}

/// The text of the template.
pub(crate) fn read(named: Option<&Path>) -> io::Result<String> {
    named.map_or_else(|| Ok(OWN.to_owned()), fs::read_to_string)
}

/// The template for a deployment: in a bucket where it has to be.
pub(crate) async fn uploaded(text: String, artifacts: &Artifacts) -> Result<Template, ArtifactError> {
    if text.len() > MAX_IN_CALL {
        Ok(Template::Address(artifacts.upload_template(&text).await?))
    } else {
        Ok(Template::Text(text))
    }
}

/// The template for a dry run; `None` when no call can have it.
///
/// What changes in a stack is known by the whole template only, so it is uploaded to the bucket of the packages where there is one. A stack
/// that is not there gets every resource, whatever its properties, and nothing is uploaded.
pub(crate) async fn for_dry_run(text: String, artifacts: &Artifacts, is_new: bool) -> Option<Template> {
    if text.len() <= MAX_IN_CALL {
        return Some(Template::Text(text));
    }
    if is_new && text == OWN {
        return Some(Template::Text(for_creation(&without_comments(OWN))));
    }
    artifacts.upload_template(&text).await.ok().map(Template::Address)
}

/// Properties of alarms and widgets of dashboards that no resource is made or left out by.
const OF_NO_MATTER: [&str; 8] = [
    "AlarmDescription: ",
    "Dimensions: ",
    "Statistic: ",
    "TreatMissingData: ",
    "AlarmActions: ",
    "OKActions: ",
    "WarmUpConfiguration: ",
    "{\"type\":",
];

/// Our own template as short as a new stack's resources can be listed by: outputs make none, either. Pure.
fn for_creation(template: &str) -> String {
    let template = template.split_once("\nOutputs:\n").map_or(template, |(before, _)| before);
    let kept = template.lines().filter(|line| !OF_NO_MATTER.iter().any(|start| line.trim_start().starts_with(start)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Our own template without what makes no resource: comments, what parameters and outputs are described by, and all indentation but
/// one space for each level. It is written for this: no line of a longer text begins with `#` or with `Description: `. Pure.
fn without_comments(template: &str) -> String {
    let mut short = String::with_capacity(template.len());
    let (mut section, mut described_at) = ("", None);
    let mut indentation = Indentation::default();
    for line in template.lines() {
        let text = line.trim();
        let depth = line.len() - line.trim_start().len();
        // The lines of a description that begins with `>-`.
        let continues = described_at.is_some_and(|at| text.is_empty() || depth > at);
        if continues || text.is_empty() || text.starts_with('#') {
            continue;
        }
        described_at = None;
        if depth == 0 {
            section = text;
        }
        if matches!(section, "Parameters:" | "Outputs:") && text.starts_with("Description: ") {
            described_at = Some(depth);
            continue;
        }
        short.extend(std::iter::repeat_n(' ', indentation.shortened(depth, text)));
        short.push_str(text);
        short.push('\n');
    }
    short
}

/// The levels that a line is in, each with its column before and after.
#[derive(Debug, Default)]
struct Indentation(Vec<(usize, usize)>);

impl Indentation {
    /// The new column of a line.
    fn shortened(&mut self, depth: usize, text: &str) -> usize {
        while self.0.last().is_some_and(|(before, _)| *before > depth) {
            self.0.pop();
        }
        let column = match self.0.last() {
            Some((before, after)) if *before == depth => *after,
            Some((_, after)) => after + 1,
            None => 0,
        };
        if self.0.last().is_none_or(|(before, _)| *before < depth) {
            self.0.push((depth, column));
        }
        // What belongs to an entry of a list is below its first word.
        let dashes = text.len() - text.trim_start_matches("- ").len();
        if dashes > 0 {
            self.0.push((depth + dashes, column + dashes));
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;

    /// Every value of a document with its path, but those of descriptions of parameters and outputs.
    fn values(text: &str) -> BTreeMap<String, String> {
        fn collect(value: &Yaml, path: &str, values: &mut BTreeMap<String, String>) {
            match value {
                Yaml::Hash(hash) => {
                    for (key, value) in hash {
                        collect(value, &format!("{path}/{}", key.as_str().unwrap()), values);
                    }
                }
                Yaml::Array(array) => {
                    for (index, value) in array.iter().enumerate() {
                        collect(value, &format!("{path}/{index}"), values);
                    }
                }
                value => {
                    values.insert(path.to_owned(), format!("{value:?}"));
                }
            }
        }
        let mut values = BTreeMap::new();
        collect(&YamlLoader::load_from_str(text).unwrap()[0], "", &mut values);
        let described = |path: &String| path.ends_with("/Description") && path.split('/').count() == 4;
        values.retain(|path, _| !described(path) || path.starts_with("/Resources"));
        values
    }

    #[test]
    fn a_dry_run_has_the_template_in_one_call_and_loses_nothing_that_makes_a_resource() {
        let short = without_comments(OWN);
        let shortest = for_creation(&short);
        assert!(shortest.len() <= MAX_IN_CALL, "{} bytes", shortest.len());
        let of_no_matter =
            |path: &str| OF_NO_MATTER.iter().any(|name| path.contains(&format!("/{}", name.trim_end_matches(": "))));
        let is_kept = |(path, value): &(String, String)| {
            !of_no_matter(path) && !value.contains("widgets") && !path.starts_with("/Outputs/")
        };
        let resources = |text: &str| values(text).into_iter().filter(is_kept).collect::<Vec<_>>();
        assert_eq!(resources(&shortest), resources(OWN));
        let (all, kept) = (values(OWN), values(&short));
        assert!(all.len() > 500, "{}", all.len());
        assert_eq!(all, kept);
        // A tag such as `!Ref` is no value of the parser's.
        let tags = |text: &str| {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            lines.map(|line| line.matches('!').count()).sum::<usize>()
        };
        assert_eq!(tags(OWN), tags(&short));
    }
}
