//! The local stack's S3 alone, to read definitions from by HTTP.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, primitives::ByteStream, types::CreateBucketConfiguration};

use super::{BenchError, system};
use crate::{
    environment::install,
    identity,
    ministack::{MiniStack, REGION},
    packages::programs_directory,
};

/// Bucket of the definitions.
const BUCKET: &str = "definitions";

/// An S3 on loopback with one bucket. It ends when it is stopped or dropped.
#[derive(Debug)]
pub struct StackS3 {
    ministack: MiniStack,
}

impl StackS3 {
    /// Starts it, with its files under `scratch`, and uploads a directory: paths become keys.
    ///
    /// # Errors
    /// That it does not start, or does not take an object.
    pub async fn start(target: &Path, scratch: &Path, directory: &Path) -> Result<Self, BenchError> {
        let python = install(target, |_| ()).await?;
        let cell = programs_directory()?.join("nacre-lambda-cell");
        let ministack = MiniStack::start(&python, &cell, scratch).await?;
        let client = Client::new(&identity::operator(&ministack.endpoint).await);
        let region = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        client.create_bucket().bucket(BUCKET).create_bucket_configuration(region).send().await?;
        for (key, path) in files(directory)? {
            let body = ByteStream::from_path(&path).await?;
            client.put_object().bucket(BUCKET).key(key).body(body).send().await?;
        }
        Ok(Self { ministack })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.ministack.endpoint
    }

    /// Ends it.
    ///
    /// # Errors
    /// That something of it goes on.
    pub async fn stop(self) -> Result<(), BenchError> {
        Ok(self.ministack.stop().await?)
    }
}

/// The clients' configuration for [`StackS3`] at this endpoint, and the name of its bucket.
pub async fn stack_s3(endpoint: &str) -> (SdkConfig, &'static str) {
    (identity::operator(endpoint).await, BUCKET)
}

/// Every file of a directory, by its path within.
fn files(directory: &Path) -> Result<Vec<(String, PathBuf)>, BenchError> {
    let (mut files, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).map_err(system("listing the bucket"))? {
            let path = entry.map_err(system("listing the bucket"))?.path();
            if path.is_dir() {
                left.push(path);
            } else {
                files.push((path.strip_prefix(directory)?.to_string_lossy().into_owned(), path));
            }
        }
    }
    Ok(files)
}
