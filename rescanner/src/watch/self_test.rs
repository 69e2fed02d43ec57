//! The self-test: both files are uploaded, their verdicts awaited, both are read, and nothing of them stays.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use nacre_core::{
    object::ObjectId,
    port::{Reading, RecordStore, StoreError, TestObjects},
    self_test::{PREFIX, Seen, clean_file, findings, infected_file},
    telemetry::error_chain,
};
use tokio::time::sleep;

use super::{Watch, WatchServices};

/// How often an object is checked.
const INTERVAL: Duration = Duration::from_secs(1);

/// For the verdicts: a scanner that starts loads all definitions first.
const TIME_LIMIT: Duration = Duration::from_mins(4);

/// Kept free to read and to remove the files of one bucket.
const CLOSING_TIME: Duration = Duration::from_secs(20);

impl<S: WatchServices> Watch<S> {
    /// Tests every bucket at once; returns how many failed.
    pub(super) async fn self_test(&self, now: DateTime<Utc>, deadline: Instant) -> u64 {
        let until = deadline.checked_sub(CLOSING_TIME).unwrap_or(deadline).min(Instant::now() + TIME_LIMIT);
        let tests = self.settings.buckets.iter().map(|bucket| self.test_bucket(bucket, now, until));
        let failed = futures::future::join_all(tests).await;
        failed.into_iter().filter(|failed| *failed).count() as u64
    }

    /// Whether the test of a bucket failed; the log says why.
    async fn test_bucket(&self, bucket: &str, now: DateTime<Utc>, until: Instant) -> bool {
        let mut uploaded = Vec::new();
        let findings = self.see(bucket, now, until, &mut uploaded).await;
        for object in &uploaded {
            if let Err(error) = self.ports.objects.remove(object).await {
                tracing::error!(cause = error_chain(&error), "a file of the self-test stays: delete it");
            }
        }
        match findings {
            Ok(findings) if findings.is_empty() => {
                tracing::info!(s3.bucket = bucket, "self-test passed");
                false
            }
            Ok(findings) => {
                tracing::error!(s3.bucket = bucket, findings = findings.join("; "), "self-test failed");
                true
            }
            Err(error) => {
                tracing::error!(s3.bucket = bucket, cause = error_chain(&error), "self-test failed: it cannot be made");
                true
            }
        }
    }

    async fn see(
        &self,
        bucket: &str,
        now: DateTime<Utc>,
        until: Instant,
        uploaded: &mut Vec<ObjectId>,
    ) -> Result<Vec<String>, StoreError> {
        let run = now.format("%Y%m%dT%H%M%S%3fZ").to_string();
        let objects = &self.ports.objects;
        let infected = objects.upload(bucket, &format!("{PREFIX}{run}/eicar.com"), infected_file()).await?;
        uploaded.push(infected.clone());
        let clean = objects.upload(bucket, &format!("{PREFIX}{run}/clean.txt"), clean_file(&run)).await?;
        uploaded.push(clean.clone());
        loop {
            let (status, published) = (self.status(&infected).await?, self.is_published(&infected).await?);
            let clean_status = self.status(&clean).await?;
            let is_complete = status.is_some() && published && clean_status.is_some();
            if is_complete || Instant::now() >= until {
                let infected = Seen { status, published, reading: self.reading(&infected).await? };
                let clean = Seen { status: clean_status, published: false, reading: self.reading(&clean).await? };
                return Ok(findings(&infected, &clean, &self.tags));
            }
            sleep(INTERVAL).await;
        }
    }

    async fn status(&self, object: &ObjectId) -> Result<Option<String>, StoreError> {
        let tags = self.ports.objects.tags(object).await?;
        Ok(tags.into_iter().find(|tag| tag.key == self.tags.status).map(|tag| tag.value))
    }

    async fn is_published(&self, object: &ObjectId) -> Result<bool, StoreError> {
        let record = self.ports.records.load(object).await?;
        Ok(record.is_some_and(|record| record.reported || record.published))
    }

    async fn reading(&self, object: &ObjectId) -> Result<Reading, StoreError> {
        self.ports.objects.read(object).await
    }
}
