//! `nacre quarantine`: lists, releases and deletes what was moved to quarantine.

use std::{io, process::ExitCode};

use aws_sdk_s3::Client;
use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use nacre_aws::S3Objects;
use nacre_core::{
    object::ObjectId,
    port::{ObjectStore, StoreError},
    quarantine::{Provenance, QUARANTINE_PREFIX, place},
};
use serde_json::json;

use crate::{
    deployment::{DEFAULT_STACK, DeploymentError, Part, StackArgument},
    output::{conclude, print, print_json},
    stack::parse_name_or_arn,
};

/// Largest provenance that is read.
const MAX_PROVENANCE_BYTES: usize = 64 << 10;

/// List what is in quarantine, release it, or delete it for good.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The stack, whose outputs name what is not given
    #[arg(long, env = "NACRE_STACK", value_name = "NAME", global = true, default_value = DEFAULT_STACK, value_parser = parse_name_or_arn)]
    stack: String,
    /// The quarantine bucket [default: the stack's]
    #[arg(
        long,
        env = "NACRE_QUARANTINE_BUCKET",
        value_name = "NAME",
        global = true,
        default_value = "",
        hide_default_value = true
    )]
    bucket: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is in quarantine: id, time, where it came from, and what was found in it.
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Copy an object back to where it came from, as a new version, and remove it from quarantine.
    ///
    /// It is scanned like any upload: what still matches goes back to quarantine. Allow-list a false positive first: see docs/definitions.md.
    Release {
        /// Its id, as `list` shows it
        id: String,
    },
    /// Delete an object in quarantine for good.
    Delete {
        /// Its id, as `list` shows it
        id: String,
    },
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
enum QuarantineError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("an id is 32 hexadecimal digits: `nacre quarantine list` shows them")]
    Id,
    #[error("there is nothing of that id in quarantine: `nacre quarantine list` shows what is")]
    Absent,
    #[error("the quarantine bucket cannot be listed")]
    List(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{key} cannot be read")]
    Read {
        key: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{key} cannot be removed from quarantine: that needs s3:DeleteObjectVersion")]
    Remove {
        key: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{key} is not a valid provenance for this version of Nacre")]
    Provenance {
        key: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("another object is at {0} by now, and its bucket keeps no versions: move that away first")]
    Occupied(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    conclude("quarantine", execute(arguments).await)
}

async fn execute(arguments: &Arguments) -> Result<(), QuarantineError> {
    let deployment = StackArgument::of(&arguments.stack).open().await?;
    // The variable of a function that moves nothing is empty.
    let given = Some(arguments.bucket.as_str()).filter(|bucket| !bucket.is_empty());
    let bucket = deployment.name(Part::QuarantineBucket, given).await?;
    let bucket = bucket.as_str();
    let (client, objects) = (Client::new(&deployment.sdk), S3Objects::new(&deployment.sdk));
    match &arguments.command {
        Command::List { json } => list(&client, bucket, *json).await,
        Command::Release { id } => release(&client, &objects, bucket, id).await,
        Command::Delete { id } => {
            let provenance = find(&client, bucket, id).await?;
            remove(&client, bucket, id).await?;
            Ok(print(&format!("deleted: s3://{}/{}", provenance.bucket, provenance.key))?)
        }
    }
}

async fn list(client: &Client, bucket: &str, as_json: bool) -> Result<(), QuarantineError> {
    let mut pages = client.list_objects_v2().bucket(bucket).prefix(QUARANTINE_PREFIX).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| QuarantineError::List(error.into()))?;
        let keys = page.contents().iter().filter_map(|object| object.key());
        for id in keys.filter_map(|key| key.strip_prefix(QUARANTINE_PREFIX)?.strip_suffix("/provenance.json")) {
            let found = read(client, bucket, id).await?;
            let time = found.scanned_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let (signatures, origin) = (found.signatures.join(" "), format!("s3://{}/{}", found.bucket, found.key));
            let version = found.version_id.as_ref().map(|id| format!(" version {id}")).unwrap_or_default();
            if as_json {
                print_json(&json!({ "id": id, "provenance": found }))?;
            } else {
                print(&format!("{id}  {time}  {} bytes  {signatures}  {origin}{version}", found.size))?;
            }
        }
    }
    Ok(())
}

async fn release(client: &Client, objects: &S3Objects, bucket: &str, id: &str) -> Result<(), QuarantineError> {
    let provenance = find(client, bucket, id).await?;
    let (from, to) = (place(bucket, id).content, ObjectId::new(&provenance.bucket, &provenance.key, None));
    match objects.head(&to).await {
        // Where versions are kept, what is there stays as the version before.
        Ok(head) if head.version_id.is_none() => {
            return Err(QuarantineError::Occupied(format!("s3://{}/{}", to.bucket, to.key)));
        }
        Ok(_) | Err(StoreError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let head = objects.head(&from).await.map_err(|error| match error {
        StoreError::NotFound(_) => QuarantineError::Absent,
        error => error.into(),
    })?;
    objects.copy(&from, &head.etag, &to).await?;
    remove(client, bucket, id).await?;
    print(&format!("released: s3://{}/{}", to.bucket, to.key))?;
    Ok(print("it is scanned like any upload, and what still matches goes back to quarantine")?)
}

/// The bytes first: an entry without its bytes can be deleted again, bytes without an entry would be forgotten. Every version of both:
/// the bucket may keep those that were written over.
async fn remove(client: &Client, bucket: &str, id: &str) -> Result<(), QuarantineError> {
    let place = place(bucket, id);
    for object in [&place.content, &place.provenance] {
        loop {
            let list = client.list_object_versions().bucket(bucket).prefix(&object.key).send().await;
            let page = list.map_err(|error| QuarantineError::List(error.into()))?;
            let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
            for (_, version) in versions.chain(markers).filter(|(key, _)| *key == Some(&*object.key)) {
                let delete = client.delete_object().bucket(bucket).key(&object.key);
                let deleted = delete.set_version_id(version.map(str::to_owned)).send().await;
                let failed = |source| QuarantineError::Remove { key: object.key.clone(), source };
                deleted.map_err(|error| failed(error.into()))?;
            }
            // What is left of a truncated list is at the beginning of the next one.
            if page.is_truncated() != Some(true) {
                break;
            }
        }
    }
    Ok(())
}

async fn find(client: &Client, bucket: &str, id: &str) -> Result<Provenance, QuarantineError> {
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(QuarantineError::Id);
    }
    read(client, bucket, id).await
}

async fn read(client: &Client, bucket: &str, id: &str) -> Result<Provenance, QuarantineError> {
    let key = place(bucket, id).provenance.key;
    let response = client.get_object().bucket(bucket).key(&key).send().await.map_err(|error| {
        let absent =
            error.as_service_error().is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key);
        if absent { QuarantineError::Absent } else { QuarantineError::Read { key: key.clone(), source: error.into() } }
    })?;
    let failed = |source| QuarantineError::Read { key: key.clone(), source };
    let (mut body, mut bytes) = (response.body, Vec::new());
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| failed(error.into()))?);
        if bytes.len() > MAX_PROVENANCE_BYTES {
            return Err(failed("it is too long".into()));
        }
    }
    Provenance::parse(&bytes).map_err(|source| QuarantineError::Provenance { key, source })
}
