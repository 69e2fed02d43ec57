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

use super::{
    bucket::{BucketArgument, BucketError, contents, current, kept},
    failed, print,
};

/// How often somebody else may publish while we are about to.
const MAX_RACES: u32 = 5;

/// Bring an elder generation's definitions back, and keep them until `unpin`.
///
/// They are published as a new generation, so that what was scanned since is looked at again. Updates wait until it is unpinned.
///
/// Exit status: 0 when it is published, 1 when not, 2 for wrong arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The generation to bring back [default: the newest elder one whose content is another than the published one's]
    #[arg(value_name = "GENERATION")]
    generation: Option<u64>,
    #[command(flatten)]
    bucket: BucketArgument,
}

/// Let updates go on after a rollback.
///
/// Exit status: 0 when the published generation is not pinned any more, 1 when that is not known, 2 for wrong arguments.
#[derive(Debug, Args)]
pub(super) struct UnpinArguments {
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
    #[error("generation {0} is the published one: name an elder one, which `nacre definitions list` shows")]
    Published(u64),
    #[error("there is no generation {0}, or it is not kept any more: `nacre definitions list` shows those that are")]
    Absent(u64),
    #[error(
        "generation {generation} is signed by {elder} and the published one by {current}, so scanners would refuse it: name another"
    )]
    OtherKeys { generation: u64, elder: String, current: String },
    #[error("no elder generation that is kept has another content: `nacre definitions list` shows them")]
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
    match tell_rollback(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("rollback", &error, 1),
    }
}

/// Runs `unpin`.
pub(super) async fn run_unpin(arguments: &UnpinArguments) -> ExitCode {
    match tell_unpin(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("unpin", &error, 1),
    }
}

async fn tell_rollback(arguments: &Arguments) -> Result<(), RollbackError> {
    let store = arguments.bucket.store().await;
    let restored = rollback(&store, arguments.generation.map(Generation), SystemClock.now()).await?;
    let elder = restored.restores.map_or_else(String::new, |elder| format!(" (as in generation {})", elder.0));
    print(&format!("generation {} is published and pinned: {}{elder}", restored.generation.0, contents(&restored)))?;
    print("the updater's next run announces it, and what was scanned since is looked at again; to have that now:")?;
    print("  aws lambda invoke --function-name UPDATER /dev/stdout")?;
    Ok(print("updates wait until `nacre definitions unpin`")?)
}

async fn tell_unpin(arguments: &UnpinArguments) -> Result<(), RollbackError> {
    let (generation, was_pinned) = unpin(&arguments.bucket.store().await).await?;
    let state = if was_pinned { "is not pinned any more: the next update goes on from it" } else { "was not pinned" };
    Ok(print(&format!("generation {} {state}", generation.0))?)
}

async fn rollback(
    store: &impl DefinitionsStore,
    asked: Option<Generation>,
    now: DateTime<Utc>,
) -> Result<Manifest, RollbackError> {
    let mut asked = asked;
    for _ in 0..MAX_RACES {
        let (published, newest) = current(store).await?;
        let elders = kept(store, newest.generation).await?;
        let elder = choose(&newest, &elders, asked)?;
        // Chosen once, by what was published when the operator asked: had the updater published meanwhile, the one before
        // would by now be the very one that they want to be rid of.
        asked = Some(elder);
        let (restored, race) = published.restore(store, elder, now).await.map_err(RollbackError::Publish)?;
        if race == Race::Won {
            return Ok(restored);
        }
    }
    Err(RollbackError::Races)
}

/// The generation to bring back, of those that are kept, newest first.
fn choose(published: &Manifest, kept: &[Manifest], asked: Option<Generation>) -> Result<Generation, RollbackError> {
    let Some(asked) = asked else {
        // What was brought back counts by its own age: a second rollback goes further back, never to what was just left.
        let since = published.restores.unwrap_or(published.generation);
        let is_elder = |elder: &&Manifest| elder.generation < since && elder.trust_anchor == published.trust_anchor;
        let mut elders = kept.iter().filter(is_elder);
        let other = elders.find(|elder| (&elder.databases, &elder.custom) != (&published.databases, &published.custom));
        return other.map(|elder| elder.generation).ok_or(RollbackError::NoOther);
    };
    if asked == published.generation {
        return Err(RollbackError::Published(asked.0));
    }
    let found = kept.iter().find(|elder| elder.generation == asked).ok_or(RollbackError::Absent(asked.0))?;
    if found.trust_anchor == published.trust_anchor {
        Ok(asked)
    } else {
        let (elder, current) = (found.trust_anchor.clone(), published.trust_anchor.clone());
        Err(RollbackError::OtherKeys { generation: asked.0, elder, current })
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
