//! `nacre definitions list`: which generations there are.

use std::{io, process::ExitCode};

use chrono::SecondsFormat;
use clap::Args;
use nacre_core::{generation::manifest::Manifest, port::DefinitionsStore};
use serde_json::{Value, json};

use super::bucket::{BucketError, contents, current, kept};
use crate::args::BucketArgument;
use crate::deployment::StackArgument;
use crate::output::{conclude, print, print_json};

/// List the generations of definitions that are kept, newest first.
///
/// Exit status: 0 when they were listed, 2 when not.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Why nothing was listed.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the list cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions list", list(arguments).await)
}

async fn list(arguments: &Arguments) -> Result<(), ListError> {
    let store = arguments
        .bucket
        .store(&arguments.stack.open().await.map_err(BucketError::from)?)
        .await
        .map_err(BucketError::from)?;
    for row in rows(&store).await? {
        if arguments.json { print_json(&row.json())? } else { print(&row.line())? }
    }
    Ok(())
}

/// One generation, and whether it is the published one.
#[derive(Debug)]
struct Row {
    manifest: Manifest,
    current: bool,
    pinned: bool,
}

async fn rows(store: &impl DefinitionsStore) -> Result<Vec<Row>, BucketError> {
    let (published, newest) = current(store).await?;
    let manifests = kept(store, newest.generation).await?;
    let row = |manifest: Manifest| {
        let current = manifest.generation == newest.generation;
        Row { current, pinned: current && published.pinned, manifest }
    };
    Ok(manifests.into_iter().map(row).collect())
}

impl Row {
    fn line(&self) -> String {
        let Manifest { generation, published, restores, .. } = &self.manifest;
        let published = published.to_rfc3339_opts(SecondsFormat::Secs, true);
        let restores = restores.map(|restored| format!(", as in {}", restored.0)).unwrap_or_default();
        let mark = match (self.current, self.pinned) {
            (true, true) => "  (published, pinned)",
            (true, false) => "  (published)",
            (false, _) => "",
        };
        format!("{:>6}  {published}  {}{restores}{mark}", generation.0, contents(&self.manifest))
    }

    fn json(&self) -> Value {
        let Manifest { generation, published, restores, databases, custom, trust_anchor, .. } = &self.manifest;
        let databases: serde_json::Map<String, Value> =
            databases.iter().map(|entry| (entry.name.to_string(), json!(entry.version.0))).collect();
        json!({
            "generation": generation, "published": published, "databases": databases,
            "custom": custom.iter().map(|entry| &entry.name).collect::<Vec<_>>(),
            "trust_anchor": trust_anchor, "restores": restores, "current": self.current, "pinned": self.pinned,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::generations_of_tests::published;

    #[tokio::test]
    async fn generations_are_listed_newest_first_and_the_published_one_is_marked() {
        let store = published(&[100, 101]).await;
        let rows = rows(&store).await.unwrap();
        let lines: Vec<_> = rows.iter().map(Row::line).collect();
        assert_eq!(lines[0], "     2  2026-11-23T02:00:00Z  daily 101  (published)");
        assert_eq!(lines[1], "     1  2026-11-23T01:00:00Z  daily 100");
        assert_eq!(rows[0].json()["databases"], json!({ "daily": 101 }));
        assert_eq!((&rows[0].json()["current"], &rows[1].json()["current"]), (&json!(true), &json!(false)));
    }

    #[tokio::test]
    async fn an_empty_bucket_says_what_to_do() {
        let error = rows(&published(&[]).await).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "nothing is published there yet: run the updater, unless the bucket has another name"
        );
    }
}
