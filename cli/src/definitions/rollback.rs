//! `nacre definitions rollback` and `unpin`: back to what was, and on again.

use std::{io, process::ExitCode};

use chrono::{DateTime, Utc};
use clap::Args;
use nacre_aws::SystemClock;
use nacre_core::{
    generation::{
        Generation,
        manifest::Manifest,
        published::{PublishedError, Race},
    },
    port::{Clock, DefinitionsStore},
};

use super::bucket::{BucketError, contents, current, kept};
use crate::args::BucketArgument;
use crate::deployment::StackArgument;
use crate::output::{conclude, print};

/// How often another run may publish while we are about to.
const MAX_RACES: u32 = 5;

/// Publish an older generation's definitions again, and keep them until `unpin`.
///
/// They are published as a new generation, so that what was scanned since is rescanned where they differ. Updates wait until it is unpinned.
///
/// Exit status: 0 when it is published, 2 when not.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The generation to publish again [default: the newest older one whose content differs from the published one's]
    #[arg(value_name = "GENERATION")]
    generation: Option<u64>,
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
}

/// Let updates continue after a rollback.
///
/// Exit status: 0 when the published generation is not pinned any more, 2 when that is not known.
#[derive(Debug, Args)]
pub(super) struct UnpinArguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum RollbackError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the generation could not be published")]
    Publish(#[source] PublishedError),
    #[error("generation {0} is the published one: name an older one, which `nacre definitions list` shows")]
    Published(u64),
    #[error("there is no generation {0}, or it is not kept any more: `nacre definitions list` shows those that are")]
    Absent(u64),
    #[error(
        "generation {generation} is signed by {older} and the published one by {current}, so scanners would refuse it: name another"
    )]
    OtherKeys { generation: u64, older: String, current: String },
    #[error("no older generation that is kept has another content: `nacre definitions list` shows them")]
    NoOther,
    #[error(
        "others published {MAX_RACES} times meanwhile: stop the updater's schedule for a moment, and run this again"
    )]
    Races,
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs `rollback`.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("definitions rollback", print_rollback(arguments).await)
}

/// Runs `unpin`.
pub(super) async fn run_unpin(arguments: &UnpinArguments) -> ExitCode {
    conclude("definitions unpin", print_unpin(arguments).await)
}

async fn print_rollback(arguments: &Arguments) -> Result<(), RollbackError> {
    let store = arguments
        .bucket
        .store(&arguments.stack.open().await.map_err(BucketError::from)?)
        .await
        .map_err(BucketError::from)?;
    let restored = rollback(&store, arguments.generation.map(Generation), SystemClock.now()).await?;
    let as_in = restored.restores.map_or_else(String::new, |older| format!(" (as in generation {})", older.0));
    print(&format!("generation {} is published and pinned: {}{as_in}", restored.generation.0, contents(&restored)))?;
    print("the updater's next run announces it, and what was scanned since is planned again; to have that now:")?;
    print("  aws lambda invoke --function-name UPDATER /dev/stdout")?;
    Ok(print("updates wait until `nacre definitions unpin`")?)
}

async fn print_unpin(arguments: &UnpinArguments) -> Result<(), RollbackError> {
    let store = arguments
        .bucket
        .store(&arguments.stack.open().await.map_err(BucketError::from)?)
        .await
        .map_err(BucketError::from)?;
    let (generation, was_pinned) = unpin(&store).await?;
    let state = if was_pinned { "is not pinned any more: the next update continues from it" } else { "was not pinned" };
    Ok(print(&format!("generation {} {state}", generation.0))?)
}

async fn rollback(
    store: &impl DefinitionsStore,
    requested: Option<Generation>,
    now: DateTime<Utc>,
) -> Result<Manifest, RollbackError> {
    let mut requested = requested;
    for _ in 0..MAX_RACES {
        let (published, newest) = current(store).await?;
        let kept = kept(store, newest.generation).await?;
        let chosen = choose(&newest, &kept, requested)?;
        // Chosen once, by what was published when the command began: had the updater published meanwhile, the previous one
        // would by now be the one that the operator replaces.
        requested = Some(chosen);
        let (restored, race) = published.restore(store, chosen, now).await.map_err(RollbackError::Publish)?;
        if race == Race::Won {
            return Ok(restored);
        }
    }
    Err(RollbackError::Races)
}

/// The generation to publish again, of those that are kept, newest first.
fn choose(published: &Manifest, kept: &[Manifest], requested: Option<Generation>) -> Result<Generation, RollbackError> {
    let Some(requested) = requested else {
        // What was restored counts by its own age: a second rollback goes further back, never to what was just left.
        let since = published.restores.unwrap_or(published.generation);
        let is_older = |older: &&Manifest| older.generation < since && older.trust_anchor == published.trust_anchor;
        let mut older = kept.iter().filter(is_older);
        let other = older.find(|older| (&older.databases, &older.custom) != (&published.databases, &published.custom));
        return other.map(|other| other.generation).ok_or(RollbackError::NoOther);
    };
    if requested == published.generation {
        return Err(RollbackError::Published(requested.0));
    }
    let found = kept.iter().find(|older| older.generation == requested).ok_or(RollbackError::Absent(requested.0))?;
    if found.trust_anchor == published.trust_anchor {
        Ok(requested)
    } else {
        let (older, current) = (found.trust_anchor.clone(), published.trust_anchor.clone());
        Err(RollbackError::OtherKeys { generation: requested.0, older, current })
    }
}

async fn unpin(store: &impl DefinitionsStore) -> Result<(Generation, bool), RollbackError> {
    for _ in 0..MAX_RACES {
        let (published, newest) = current(store).await?;
        if !published.pinned {
            return Ok((newest.generation, false));
        }
        if published.pin(store, false).await.map_err(RollbackError::Publish)? == Race::Won {
            return Ok((newest.generation, true));
        }
    }
    Err(RollbackError::Races)
}

#[cfg(test)]
mod tests;
