//! What can be seen of Nacre from outside: objects, tags, records, answers to readers.

use std::time::{Duration, Instant};

use aws_sdk_s3::{Client, primitives::ByteStream};
use nacre_aws::{DynamoRecords, S3Definitions, S3Objects};
use nacre_core::{
    object::ObjectId,
    port::{ObjectStore, RecordPages, RecordStore, Segment},
    rescan::pass::{PassId, Progress, read_pass, reports},
    scan_record::ScanRecord,
    tag_policy::Tag,
};
use serde_json::{Value, json};

use crate::{
    Stack,
    deploy::create_bucket,
    error::{StackError, call},
};

/// How often a condition is checked.
const INTERVAL: Duration = Duration::from_millis(250);

impl Stack {
    /// The bucket whose objects are scanned.
    pub fn scanned_bucket(&self) -> &str {
        self.output("ScannedBucket")
    }

    /// Makes a bucket of the operator's, which keeps no versions.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn create_bucket(&self, name: &str) -> Result<(), StackError> {
        create_bucket(&self.s3(), name).await
    }

    /// Uploads an object as the operator and answers what names it.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> Result<ObjectId, StackError> {
        let body = ByteStream::from(bytes.into());
        let request = self.s3().put_object().bucket(self.scanned_bucket()).key(key).body(body);
        let written = request.send().await.map_err(call(format!("uploading {key}")))?;
        Ok(ObjectId::new(self.scanned_bucket(), key, written.version_id().map(str::to_owned)))
    }

    /// All scan records.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn records(&self) -> Result<Vec<ScanRecord>, StackError> {
        let table = self.record_store();
        let (mut records, mut cursor) = (Vec::new(), None);
        loop {
            let page =
                table.page(Segment { index: 0, total: 1 }, cursor).await.map_err(call("reading scan records"))?;
            for summary in page.records {
                records.extend(table.load(&summary.object).await.map_err(call("reading a scan record"))?);
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(records);
            }
        }
    }

    /// The scan record of an object version.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn record(&self, object: &ObjectId) -> Result<Option<ScanRecord>, StackError> {
        self.record_store().load(object).await.map_err(call("reading a scan record"))
    }

    /// Waits until the records are as they should be, telling `watch` how they are; answers what they are in the end.
    ///
    /// # Errors
    /// [`StackError::TimedOut`] when they do not become so; [`StackError::Call`].
    pub async fn await_records(
        &self,
        deadline: Duration,
        mut watch: impl FnMut(&[ScanRecord]) -> bool,
    ) -> Result<Vec<ScanRecord>, StackError> {
        let started = Instant::now();
        loop {
            let records = self.records().await?;
            if watch(&records) {
                return Ok(records);
            }
            if started.elapsed() > deadline {
                return Err(StackError::TimedOut { waited_for: "scan records", seconds: deadline.as_secs() });
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until an object version has a settled record.
    ///
    /// # Errors
    /// As [`Self::await_records`].
    pub async fn await_settled(&self, object: &ObjectId, deadline: Duration) -> Result<ScanRecord, StackError> {
        let settled = |record: &&ScanRecord| record.object == *object && record.reported;
        let records = self.await_records(deadline, |records| records.iter().any(|record| settled(&record))).await?;
        let record = records.into_iter().find(|record| settled(&record));
        record.ok_or(StackError::TimedOut { waited_for: "a settled record", seconds: deadline.as_secs() })
    }

    /// Has a pass made over the scan records, and waits until it is finished; one that is under way is waited for first.
    ///
    /// # Errors
    /// [`StackError::TimedOut`], [`StackError::Call`].
    pub async fn rescan(&self, deadline: Duration) -> Result<Progress, StackError> {
        let (store, started) =
            (S3Definitions::new(self.sdk_config(), self.output("DefinitionsBucket")), Instant::now());
        let mut begun = None;
        while started.elapsed() <= deadline {
            let Some(id) = begun else {
                let outcome = self.invoke(self.output("RescannerFunction"), json!({ "rescan": "start" })).await?;
                if outcome.payload.get("outcome").and_then(Value::as_str) == Some("begun") {
                    begun = serde_json::from_value::<PassId>(outcome.payload).ok();
                }
                tokio::time::sleep(INTERVAL).await;
                continue;
            };
            let kept = read_pass(&store, id.generation).await.map_err(call("reading a pass"))?;
            let reports = reports(&store, id).await.map_err(call("reading a pass's reports"))?;
            let progress = kept.filter(|kept| kept.pass.id == id).map(|kept| kept.pass.progress(&reports, false));
            if let Some(progress) = progress.filter(|progress| progress.state.is_final()) {
                return Ok(progress);
            }
            tokio::time::sleep(INTERVAL).await;
        }
        Err(StackError::TimedOut { waited_for: "a pass over the scan records", seconds: deadline.as_secs() })
    }

    /// The tags of an object version.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn tags(&self, object: &ObjectId) -> Result<Vec<Tag>, StackError> {
        S3Objects::new(self.sdk_config()).tags(object).await.map_err(call(format!("reading the tags of {object}")))
    }

    /// The value of one tag of an object version.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn tag(&self, object: &ObjectId, key: &str) -> Result<Option<String>, StackError> {
        Ok(self.tags(object).await?.into_iter().find(|tag| tag.key == key).map(|tag| tag.value))
    }

    fn record_store(&self) -> DynamoRecords {
        DynamoRecords::new(self.sdk_config(), self.output("ScanRecords"))
    }
}

/// The HTTP status with which S3 answers a reader's GET.
///
/// # Errors
/// [`StackError::Call`] when there is no answer at all.
pub async fn get_status(reader: &Client, object: &ObjectId) -> Result<u16, StackError> {
    let request = reader.get_object().bucket(&object.bucket).key(&object.key).set_version_id(object.version_id.clone());
    match request.send().await {
        Ok(_) => Ok(200),
        Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
            Some(status) => Ok(status),
            None => Err(call(format!("reading {object}"))(error)),
        },
    }
}
