//! A table of made-up scan records on loopback, as DynamoDB pages through one, and an empty definitions bucket beside it.
//!
//! The local stack's DynamoDB is a real one for all that writes; a million records, or ten thousand with the worst keys that one can
//! think of, would take it minutes to be given.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri, header::CONTENT_TYPE},
};
use nacre_core::scan_record::RECORD_FORMAT;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::error::{StackError, system};

/// Most items of a page.
const PAGE: usize = 1000;

/// Writes the record of a number as DynamoDB's JSON.
type Record = dyn Fn(u64) -> String + Send + Sync;

/// A table of so many records; gone when dropped.
#[derive(Debug)]
pub struct GeneratedTable {
    url: String,
    server: JoinHandle<()>,
}

impl GeneratedTable {
    /// Serves a table of records with these numbers, from 0.
    ///
    /// # Errors
    /// [`StackError::System`] when no port can be had.
    pub async fn start(
        records: u64,
        record: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Result<Self, StackError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(system("listening on loopback"))?;
        let address = listener.local_addr().map_err(system("listening on loopback"))?;
        let record: Arc<Record> = Arc::new(record);
        let router = Router::new().fallback(respond).with_state((records, record));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url: format!("http://{address}"), server })
    }

    /// The environment in which `nacre` reads it, with names for what it wants to be named.
    pub fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "x".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
            ("AWS_MAX_ATTEMPTS", "1".to_owned()),
            ("AV_DEFINITION_S3_BUCKET", "definitions".to_owned()),
            ("NACRE_RECORDS_TABLE", "records".to_owned()),
        ]
    }
}

impl Drop for GeneratedTable {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A record of a key with this verdict and what belongs to it, such as `"reason":{"S":"encrypted"}`.
pub fn record_json(key: &str, verdict: &str, more: &str, scanned_at: &str) -> String {
    let object = Value::from(format!("uploads/{key}"));
    format!(
        "{{\"object\":{{\"S\":{object}}},\"version_id\":{{\"S\":\"v1\"}},\"format\":{{\"N\":\"{RECORD_FORMAT}\"}},\"etag\":{{\"S\":\"e\"}},\
         \"size\":{{\"N\":\"4096\"}},\"verdict\":{{\"S\":\"{verdict}\"}},\"generation\":{{\"N\":\"7\"}},\"engine\":{{\"S\":\"1.4.6\"}},\
         \"functionality_level\":{{\"N\":\"216\"}},\"targets\":{{\"N\":\"1\"}},\"scanned_at\":{{\"S\":\"{scanned_at}\"}},\
         \"written_at\":{{\"S\":\"2026-01-01T00:00:00.000Z\"}},\"reported\":{{\"BOOL\":true}}{more}}}"
    )
}

async fn respond(
    State((records, record)): State<(u64, Arc<Record>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    let operation = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, kind, body) = match operation.rsplit('.').next().unwrap_or_default() {
        "Scan" => (StatusCode::OK, "application/x-amz-json-1.0", page(records, &*record, &request)),
        "DescribeTable" => {
            let table = json!({ "TableName": "records", "ItemCount": records, "TableSizeBytes": records * 600 });
            (StatusCode::OK, "application/x-amz-json-1.0", json!({ "Table": table }).to_string())
        }
        _ if method == Method::GET && uri.path().trim_end_matches('/') != "/definitions" => {
            let error = "<Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>";
            (StatusCode::NOT_FOUND, "application/xml", error.to_owned())
        }
        // There is no stack, no log and no queue.
        _ => {
            let error = "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id nacre does not exist</Message></Error></ErrorResponse>";
            (StatusCode::BAD_REQUEST, "text/xml", error.to_owned())
        }
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind).body(body);
    response.unwrap_or_default()
}

/// The page of a segment that begins behind a key. Each key that ends a page has its record's number as version.
fn page(records: u64, record: &Record, request: &Value) -> String {
    let number = |name: &str, other| request.get(name).and_then(Value::as_u64).unwrap_or(other);
    let (segment, total) = (number("Segment", 0), number("TotalSegments", 1).max(1));
    let after = request.pointer("/ExclusiveStartKey/version_id/S").and_then(Value::as_str);
    let first = after.and_then(|after| after.parse().ok()).map_or(segment, |after: u64| after + total);
    let step = usize::try_from(total).unwrap_or(usize::MAX);
    let numbers: Vec<u64> = (first..records).step_by(step).take(PAGE).collect();
    let items: Vec<String> = numbers.iter().map(|number| record(*number)).collect();
    let more = numbers.last().filter(|last| *last + total < records).map(|last| {
        format!(",\"LastEvaluatedKey\":{{\"object\":{{\"S\":\"uploads/x\"}},\"version_id\":{{\"S\":\"{last}\"}}}}")
    });
    let (count, items, more) = (items.len(), items.join(","), more.unwrap_or_default());
    format!("{{\"Count\":{count},\"ScannedCount\":{count},\"Items\":[{items}]{more}}}")
}
