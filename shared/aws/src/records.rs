//! The scan records, in DynamoDB.

mod attention;
mod item;

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};
use chrono::{DateTime, Utc};
use nacre_core::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    port::{Call, Page, RecordLookup, RecordPages, RecordStore, Segment, StoreError, TableExtent},
    rescan::request_mark::RequestMark,
    scan_record::{RECORD_FORMAT, RecordSummary, ScanRecord},
    verdict::Reason,
};

use crate::store_error::{failed, unexpected};
pub use item::RecordKey;
use item::{attribute, key, record_of, summary_of};

/// Most items of one page. DynamoDB ends a page at 1 MiB in any case.
const PAGE_ITEMS: i32 = 1000;

/// Most keys of one `BatchGetItem`.
const BATCH_KEYS: usize = 100;

/// One table of scan records.
#[derive(Clone, Debug)]
pub struct DynamoRecords {
    client: Client,
    table: String,
}

impl DynamoRecords {
    /// Uses this table.
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        Self { client: Client::new(config), table: table.to_owned() }
    }

    fn call(&self, operation: &'static str, object: &ObjectId) -> Call {
        Call::new(operation, format!("the record of {object} in {}", self.table))
    }

    /// Sets a mark of the stored record, provided that it still is this one.
    async fn mark(&self, record: &ScanRecord, mark: &str) -> Result<(), StoreError> {
        let mut expression = Expression::new(&format!("SET #{mark} = :set"), &[mark]);
        expression.values.insert(":set".into(), AttributeValue::Bool(true));
        self.update(record, expression).await
    }

    /// Changes the stored record, provided that it still is this one.
    async fn update(&self, record: &ScanRecord, mut expression: Expression) -> Result<(), StoreError> {
        let same = expression.same(record);
        let request = self.client.update_item().table_name(&self.table).set_key(Some(key(&record.object)));
        let request = request.update_expression(expression.text).condition_expression(same);
        let request = request.set_expression_attribute_names(Some(expression.names));
        let request = request.set_expression_attribute_values(Some(expression.values));
        request.send().await.map(|_| ()).map_err(failed(self.call("UpdateItem", &record.object)))
    }
}

impl RecordStore for DynamoRecords {
    async fn load(&self, object: &ObjectId) -> Result<Option<ScanRecord>, StoreError> {
        let call = self.call("GetItem", object);
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key(object))).consistent_read(true);
        let Some(item) = request.send().await.map_err(failed(call.clone()))?.item else { return Ok(None) };
        if attribute::number(&item, attribute::FORMAT) != Some(u64::from(RECORD_FORMAT)) {
            return Ok(None);
        }
        let record = record_of(object, &item);
        record.map(Some).ok_or_else(|| unexpected(&call, "the item is not a scan record of its format"))
    }

    async fn save(&self, record: &ScanRecord) -> Result<(), StoreError> {
        let condition = save_condition(record);
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item::item_of(record)));
        let request = request.condition_expression(condition.text);
        let request = request.set_expression_attribute_names(Some(condition.names));
        let request = request.set_expression_attribute_values(Some(condition.values));
        request.send().await.map(|_| ()).map_err(failed(self.call("PutItem", &record.object)))
    }

    async fn mark_published(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.mark(record, attribute::PUBLISHED).await
    }

    async fn mark_reported(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.mark(record, attribute::REPORTED).await
    }

    async fn mark_archived(&self, record: &ScanRecord, at: DateTime<Utc>) -> Result<(), StoreError> {
        let names = [attribute::ARCHIVED_AT, attribute::REQUESTED];
        let mut expression = Expression::new("SET #archived_at = :at REMOVE #requested", &names);
        expression.values.insert(":at".into(), item::time(at));
        self.update(record, expression).await
    }

    async fn answer_request(&self, record: &ScanRecord) -> Result<(), StoreError> {
        self.update(record, Expression::new("REMOVE #requested", &[attribute::REQUESTED])).await
    }

    async fn discard(&self, record: &ScanRecord) -> Result<(), StoreError> {
        let mut expression = Expression::new("", &[]);
        let same = expression.same(record);
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key(&record.object)));
        let request = request.condition_expression(same).set_expression_attribute_names(Some(expression.names));
        let request = request.set_expression_attribute_values(Some(expression.values));
        request.send().await.map(|_| ()).map_err(failed(self.call("DeleteItem", &record.object)))
    }

    async fn remove(&self, object: &ObjectId, removed_at: Option<&Sequencer>) -> Result<(), StoreError> {
        let mut request = self.client.delete_item().table_name(&self.table).set_key(Some(key(object)));
        if let Some(removed_at) = removed_at {
            let names = [attribute::SEQUENCER];
            let condition = Expression::new("attribute_not_exists(#sequencer) OR #sequencer <= :removed_at", &names);
            let value = AttributeValue::S(removed_at.as_str().to_owned());
            request = request.condition_expression(condition.text);
            request = request.set_expression_attribute_names(Some(condition.names));
            request = request.expression_attribute_values(":removed_at", value);
        }
        match request.send().await.map_err(failed(self.call("DeleteItem", object))) {
            // The object was written again since.
            Ok(_) | Err(StoreError::PreconditionFailed(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl RecordLookup for DynamoRecords {
    async fn recorded_etags(&self, objects: &[ObjectId]) -> Result<Vec<Option<String>>, StoreError> {
        let call = Call::new("BatchGetItem", &self.table);
        let mut found = HashMap::new();
        for batch in objects.chunks(BATCH_KEYS) {
            // One key twice in a call is an error.
            let keys: HashMap<_, _> =
                batch.iter().map(|object| ((object.partition_key(), object.sort_key()), key(object))).collect();
            let names = [attribute::OBJECT, attribute::VERSION_ID, attribute::ETAG, attribute::REPORTED];
            let names = attribute::names(&names);
            let projection = names.keys().cloned().collect::<Vec<_>>().join(", ");
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys.into_values().collect()));
            let wanted = wanted.set_expression_attribute_names(Some(names)).projection_expression(projection);
            let mut left = Some(wanted.build().map_err(|error| StoreError::Unexpected(call.clone(), error.into()))?);
            // try / 100 ms / try / 200 ms / … / 3.2 s / try
            for attempt in 0..7 {
                let Some(wanted) = left.take() else { break };
                if attempt > 0 {
                    tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
                }
                let response = self.client.batch_get_item().request_items(&self.table, wanted).send().await;
                let mut response = response.map_err(failed(call.clone()))?;
                for item in response.responses.take().into_iter().flatten().flat_map(|(_, items)| items) {
                    let text = |name| attribute::text(&item, name).unwrap_or_default().to_owned();
                    if !attribute::flag(&item, attribute::REPORTED) {
                        continue;
                    }
                    found.insert((text(attribute::OBJECT), text(attribute::VERSION_ID)), text(attribute::ETAG));
                }
                left = response.unprocessed_keys.take().into_iter().flatten().map(|(_, keys)| keys).next();
            }
            if left.is_some() {
                return Err(StoreError::Unavailable(call, "DynamoDB left keys unprocessed in every attempt".into()));
            }
        }
        let etag = |object: &ObjectId| found.get(&(object.partition_key(), object.sort_key().to_owned())).cloned();
        Ok(objects.iter().map(etag).collect())
    }
}

impl RecordPages for DynamoRecords {
    type Cursor = RecordKey;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        let call = Call::new("DescribeTable", &self.table);
        let response = self.client.describe_table().table_name(&self.table).send().await;
        let response = response.map_err(failed(call.clone()))?;
        let table = response.table().ok_or_else(|| unexpected(&call, "the response describes no table"))?;
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        Ok(TableExtent { items: number(table.item_count()), bytes: number(table.table_size_bytes()) })
    }

    async fn advance_generation(&self, record: &RecordSummary, published: Generation) -> Result<(), StoreError> {
        let names = [attribute::GENERATION, attribute::FORMAT, attribute::ETAG, attribute::REPORTED];
        let request = self.client.update_item().table_name(&self.table).set_key(Some(key(&record.object)));
        let request = request.update_expression("SET #generation = :published");
        let request = request.condition_expression(
            "#format = :format AND #etag = :etag AND #generation = :generation AND #reported = :reported",
        );
        let request = request.set_expression_attribute_names(Some(attribute::names(&names)));
        let request = request
            .expression_attribute_values(":published", attribute::n(published.0))
            .expression_attribute_values(":format", attribute::n(RECORD_FORMAT))
            .expression_attribute_values(":etag", attribute::s(&record.etag))
            .expression_attribute_values(":generation", attribute::n(record.generation.0))
            .expression_attribute_values(":reported", AttributeValue::Bool(true));
        request.send().await.map(|_| ()).map_err(failed(self.call("UpdateItem", &record.object)))
    }

    async fn mark_requested(&self, record: &RecordSummary, mark: RequestMark) -> Result<(), StoreError> {
        let names = [attribute::GENERATION, attribute::FORMAT, attribute::ETAG, attribute::REQUESTED];
        let request = self.client.update_item().table_name(&self.table).set_key(Some(key(&record.object)));
        let request = request.update_expression("SET #requested = :requested");
        // A record of another format has no generation that is read, and is requested first: unmarked, it would be so in each pass.
        let condition = "#etag = :etag AND (#format <> :format OR #generation = :generation)";
        let request = request.condition_expression(condition);
        let request = request.set_expression_attribute_names(Some(attribute::names(&names)));
        let request = request
            .expression_attribute_values(":requested", item::requested(mark))
            .expression_attribute_values(":format", attribute::n(RECORD_FORMAT))
            .expression_attribute_values(":etag", attribute::s(&record.etag))
            .expression_attribute_values(":generation", attribute::n(record.generation.0));
        request.send().await.map(|_| ()).map_err(failed(self.call("UpdateItem", &record.object)))
    }

    async fn page(&self, segment: Segment, after: Option<RecordKey>) -> Result<Page<RecordKey>, StoreError> {
        let call = Call::new("Scan", &self.table);
        let number = |number: u32| i32::try_from(number).map_err(|_| unexpected(&call, "more than 2^31 segments"));
        let names: HashMap<String, String> = attribute::names(&attribute::SUMMARY);
        let projection = names.keys().cloned().collect::<Vec<_>>().join(", ");
        let request = self.client.scan().table_name(&self.table).segment(number(segment.index)?);
        let request = request.total_segments(number(segment.total)?).limit(PAGE_ITEMS);
        let request = request.set_exclusive_start_key(after.map(RecordKey::into_item));
        let request = request.projection_expression(projection).set_expression_attribute_names(Some(names));
        let response = request.send().await.map_err(failed(call.clone()))?;
        let items = response.items();
        let records: Vec<_> = items.iter().filter_map(summary_of).collect();
        let unreadable = (items.len() - records.len()) as u64;
        let next = response.last_evaluated_key.filter(|key| !key.is_empty());
        let cursor =
            |key| RecordKey::of(&key).ok_or_else(|| unexpected(&call, "the page ends at a key of another form"));
        Ok(Page { records, unreadable, next: next.map(cursor).transpose()? })
    }
}

/// An expression with the names and values that it uses: every attribute is written `#name`, as many names are reserved.
struct Expression {
    text: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    fn new(expression: &str, names: &[&str]) -> Self {
        Self { text: expression.to_owned(), names: attribute::names(names), values: HashMap::new() }
    }

    /// Adds what says that the stored record still is this one, and returns the condition.
    fn same(&mut self, record: &ScanRecord) -> String {
        let item = item::item_of(record);
        let same = [attribute::ETAG, attribute::GENERATION, attribute::SCANNED_AT].map(|name| {
            self.names.insert(format!("#{name}"), name.to_owned());
            self.values.extend(item.get(name).map(|value| (format!(":{name}"), value.clone())));
            format!("#{name} = :{name}")
        });
        same.join(" AND ")
    }
}

/// [`ScanRecord::may_replace`] as a condition of DynamoDB. A record of an older format is replaced; one of a newer format was
/// written by a later version of this program and stays.
fn save_condition(record: &ScanRecord) -> Expression {
    let transient: Vec<String> = (0..Reason::TRANSIENT.len()).map(|index| format!(":transient{index}")).collect();
    let transient_list = transient.join(", ");
    let (again, later) = match record.sequencer {
        Some(_) => (
            format!("#reason IN ({transient_list}) OR #sequencer < :sequencer"),
            "#etag <> :etag AND (attribute_not_exists(#sequencer) OR #sequencer <= :sequencer)",
        ),
        None => (format!("#reason IN ({transient_list})"), "#etag <> :etag"),
    };
    let newer = format!("#etag = :etag AND (#generation < :generation OR (#generation = :generation AND ({again})))");
    let ours = format!("#format = :format AND (({newer}) OR ({later}))");
    let text = format!("attribute_not_exists(#format) OR #format < :format OR ({ours})");
    let mut names = vec![attribute::FORMAT, attribute::ETAG, attribute::GENERATION, attribute::REASON];
    let mut values = HashMap::from([
        (":format".to_owned(), AttributeValue::N(RECORD_FORMAT.to_string())),
        (":etag".to_owned(), AttributeValue::S(record.etag.clone())),
        (":generation".to_owned(), AttributeValue::N(record.generation.0.to_string())),
    ]);
    for (name, reason) in transient.into_iter().zip(Reason::TRANSIENT) {
        values.insert(name, AttributeValue::S(reason.name().to_owned()));
    }
    if let Some(sequencer) = &record.sequencer {
        names.push(attribute::SEQUENCER);
        values.insert(":sequencer".to_owned(), AttributeValue::S(sequencer.as_str().to_owned()));
    }
    Expression { text, names: attribute::names(&names), values }
}
