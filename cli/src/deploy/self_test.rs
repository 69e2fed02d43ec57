//! The proof that a stack works: the EICAR test file is refused and a clean file is not. Nothing of both stays.

use std::{collections::BTreeMap, error::Error, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, error::ProvideErrorMetadata};
use nacre_aws::DynamoRecords;
use nacre_core::{object::ObjectId, port::RecordStore, quarantine::quarantined};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::stack::spinner;

/// Under this, and nowhere else, objects are made in the scanned bucket.
const PREFIX: &str = "nacre-self-test/";

/// How often an object is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// For a verdict: the first scan loads all definitions, and a failed one comes back after minutes.
const TIME_LIMIT: Duration = Duration::from_mins(15);

/// For the record of a removed object to go.
const TIME_LIMIT_OF_RECORDS: Duration = Duration::from_mins(5);

/// The test file of EICAR, in two halves: whole, scanners would take this program for it.
const EICAR: [&str; 2] = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"];

/// Why the test was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfTestError {
    #[error("{what} under {PREFIX} in the bucket {bucket} failed")]
    Call {
        what: &'static str,
        bucket: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the test was broken off, and this is left of it: {left}")]
    Leaving {
        left: String,
        #[source]
        source: Box<SelfTestError>,
    },
}

/// What was seen of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// The value of its tag `av-status`; `None` when it had none in time, or was taken away.
    pub(crate) verdict: Option<String>,
    /// Of a GET by these credentials.
    pub(crate) status: u16,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SelfTest {
    pub(crate) infected: Seen,
    pub(crate) clean: Seen,
    /// What could not be removed, each with what to do.
    pub(crate) left: Vec<String>,
}

impl SelfTest {
    /// Why the stack does not work as it should; empty when it does. Pure.
    pub(crate) fn findings(&self, takes_away: bool) -> Vec<String> {
        let mut findings = Vec::new();
        let verdict = |seen: &Seen| seen.verdict.clone().unwrap_or_else(|| "without a verdict".into());
        let gone = takes_away && self.infected.status == 404;
        if !gone && (self.infected.verdict.as_deref() != Some("INFECTED") || self.infected.status != 403) {
            findings.push(format!(
                "EICAR is {}, and GET returns {}, not INFECTED and 403: see the log of ScannerFunction, and the policy of the bucket",
                verdict(&self.infected),
                self.infected.status
            ));
        }
        if self.clean.verdict.as_deref() != Some("CLEAN") || self.clean.status != 200 {
            findings.push(format!(
                "a clean file is {}, and GET returns {}, not CLEAN and 200: see the log of ScannerFunction",
                verdict(&self.clean),
                self.clean.status
            ));
        }
        findings.extend(self.left.iter().cloned());
        findings
    }
}

/// Where the test is made.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    client: Client,
    bucket: &'a str,
    quarantine: Option<&'a str>,
    records: DynamoRecords,
    /// Whether an infected object is deleted or moved away.
    takes_away: bool,
}

impl<'a> Place<'a> {
    /// `None` when the stack has no outputs of ours.
    pub(crate) fn of(sdk: &SdkConfig, outputs: &'a BTreeMap<String, String>, takes_away: bool) -> Option<Self> {
        Some(Self {
            client: Client::new(sdk),
            bucket: outputs.get("ScannedBucket")?,
            quarantine: outputs.get("QuarantineBucket").map(String::as_str),
            records: DynamoRecords::new(sdk, outputs.get("ScanRecords")?),
            takes_away,
        })
    }

    /// Uploads both files, waits for their verdicts, reads them, and removes them whatever was seen.
    pub(crate) async fn test(&self) -> Result<SelfTest, SelfTestError> {
        let bar = spinner();
        bar.set_message("EICAR and a clean file are uploaded, scanned and read");
        let mut uploaded = Vec::new();
        let seen = self.upload_and_see(&mut uploaded).await;
        let mut left = Vec::new();
        for object in &uploaded {
            left.extend(self.remove(object).await);
        }
        for object in &uploaded {
            left.extend(self.await_no_record(object).await);
        }
        bar.finish_and_clear();
        let (infected, clean) = seen.map_err(|error| match left.join("; ") {
            left if left.is_empty() => error,
            left => SelfTestError::Leaving { left, source: Box::new(error) },
        })?;
        Ok(SelfTest { infected, clean, left })
    }

    async fn upload_and_see(&self, uploaded: &mut Vec<Uploaded>) -> Result<(Seen, Seen), SelfTestError> {
        let run = Uuid::new_v4();
        let infected = self.put(&format!("{PREFIX}{run}/eicar.com"), EICAR.concat()).await?;
        uploaded.push(infected.clone());
        let clean = format!("a clean file of nacre deploy, {run}\n");
        let clean = self.put(&format!("{PREFIX}{run}/clean.txt"), clean).await?;
        uploaded.push(clean.clone());
        let deadline = Instant::now() + TIME_LIMIT;
        Ok((self.see(&infected, deadline).await?, self.see(&clean, deadline).await?))
    }

    async fn put(&self, key: &str, content: String) -> Result<Uploaded, SelfTestError> {
        let put = self.client.put_object().bucket(self.bucket).key(key).body(content.into_bytes().into());
        let put = put.send().await.map_err(self.failed("uploading"))?;
        let etag = put.e_tag().unwrap_or_default().trim_matches('"').to_owned();
        Ok(Uploaded { object: ObjectId::new(self.bucket, key, put.version_id().map(str::to_owned)), etag })
    }

    /// Waits for a verdict, and then reads the object.
    async fn see(&self, uploaded: &Uploaded, deadline: Instant) -> Result<Seen, SelfTestError> {
        loop {
            let verdict = self.verdict(uploaded).await?;
            let over = Instant::now() >= deadline;
            // What is infected may yet go, a moment after its tag.
            let settled = match &verdict {
                Verdict::Gone => true,
                Verdict::Tagged(tag) => tag != "INFECTED" || !self.takes_away,
                Verdict::None => false,
            };
            if settled || over {
                let tag = if let Verdict::Tagged(tag) = verdict { Some(tag) } else { None };
                return Ok(Seen { verdict: tag, status: self.status(uploaded).await? });
            }
            sleep(INTERVAL).await;
        }
    }

    async fn verdict(&self, uploaded: &Uploaded) -> Result<Verdict, SelfTestError> {
        let ObjectId { key, version_id, .. } = &uploaded.object;
        let request = self.client.get_object_tagging().bucket(self.bucket).key(key);
        match request.set_version_id(version_id.clone()).send().await {
            Ok(tags) => {
                let status = tags.tag_set().iter().find(|tag| tag.key() == "av-status");
                Ok(status.map_or(Verdict::None, |tag| Verdict::Tagged(tag.value().to_owned())))
            }
            Err(error) if matches!(error.code(), Some("NoSuchKey" | "NoSuchVersion")) => Ok(Verdict::Gone),
            Err(error) => Err(self.failed("reading the tags of an object")(error)),
        }
    }

    async fn status(&self, uploaded: &Uploaded) -> Result<u16, SelfTestError> {
        let ObjectId { key, version_id, .. } = &uploaded.object;
        let request = self.client.get_object().bucket(self.bucket).key(key).set_version_id(version_id.clone());
        match request.send().await {
            Ok(_) => Ok(200),
            Err(error) => match error.raw_response() {
                Some(response) => Ok(response.status().as_u16()),
                None => Err(self.failed("reading an object")(error)),
            },
        }
    }

    /// Removes the version and what quarantine may have of it; says what is left.
    async fn remove(&self, uploaded: &Uploaded) -> Vec<String> {
        let ObjectId { bucket, key, version_id } = &uploaded.object;
        let request = self.client.delete_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        let mut left: Vec<_> = request
            .send()
            .await
            .err()
            .map(|_| format!("s3://{bucket}/{key} could not be removed: delete it"))
            .into_iter()
            .collect();
        if let Some(quarantine) = self.quarantine {
            let place = quarantined(quarantine, &uploaded.object, &uploaded.etag);
            for ObjectId { key, .. } in [place.content, place.provenance] {
                if !self.remove_versions(quarantine, &key).await {
                    left.push(format!(
                        "s3://{quarantine}/{key} could not be removed: `nacre quarantine delete {}`",
                        place.id
                    ));
                    break;
                }
            }
        }
        left
    }

    /// Removes every version of a key; whether all are gone. Quarantine keeps versions, so without their ids nothing would be.
    async fn remove_versions(&self, bucket: &str, key: &str) -> bool {
        let listed = self.client.list_object_versions().bucket(bucket).prefix(key).send().await;
        let Ok(listed) = listed else { return false };
        let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let mut gone = true;
        for (found, version) in versions.chain(markers) {
            if found == Some(key) {
                let request = self.client.delete_object().bucket(bucket).key(key);
                gone &= request.set_version_id(version.map(str::to_owned)).send().await.is_ok();
            }
        }
        gone
    }

    /// S3 notifies the scanner that the object is gone, and its record goes too.
    async fn await_no_record(&self, uploaded: &Uploaded) -> Option<String> {
        let deadline = Instant::now() + TIME_LIMIT_OF_RECORDS;
        loop {
            match self.records.load(&uploaded.object).await {
                Ok(Some(_)) if Instant::now() < deadline => sleep(INTERVAL).await,
                Ok(Some(_)) => {
                    let key = &uploaded.object.key;
                    return Some(format!("the scan record of {key} is still there, though the object is not"));
                }
                // These credentials need not be able to see records.
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn failed<E: Error + Send + Sync + 'static>(&self, what: &'static str) -> impl FnOnce(E) -> SelfTestError {
        let bucket = self.bucket.to_owned();
        move |source| SelfTestError::Call { what, bucket, source: source.into() }
    }
}

#[derive(Clone)]
struct Uploaded {
    object: ObjectId,
    etag: String,
}

enum Verdict {
    Tagged(String),
    None,
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(verdict: &str, status: u16) -> Seen {
        Seen { verdict: (!verdict.is_empty()).then(|| verdict.to_owned()), status }
    }

    #[test]
    fn only_a_refused_eicar_and_a_readable_clean_file_will_do() {
        let findings =
            |infected, clean, takes_away| SelfTest { infected, clean, left: Vec::new() }.findings(takes_away).len();
        let (infected, clean) = (seen("INFECTED", 403), seen("CLEAN", 200));
        assert_eq!(findings(infected.clone(), clean.clone(), false), 0);
        assert_eq!(findings(seen("", 404), clean.clone(), true), 0);
        assert_eq!(findings(seen("", 404), clean.clone(), false), 1);
        assert_eq!(findings(seen("INFECTED", 200), clean.clone(), true), 1);
        assert_eq!(findings(seen("UNSCANNABLE", 403), clean, false), 1);
        assert_eq!(findings(infected.clone(), seen("", 200), false), 1);
        assert_eq!(findings(infected, seen("CLEAN", 403), false), 1);
    }
}
