//! The sparse index of the records that a person should check.

use chrono::{DateTime, SecondsFormat, Utc};
use nacre_core::{
    object::ObjectId,
    port::{AttentionIndex, Call, StoreError},
};

use super::{
    DynamoRecords,
    item::{RecordKey, attribute},
};
use crate::store_error::failed;

/// The index of the template. Its sort key is the time of the scan.
const INDEX: &str = "attention";

impl AttentionIndex for DynamoRecords {
    async fn newest(&self, verdict: &str, since: DateTime<Utc>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        let call = Call::new("Query", format!("the index {INDEX} of {}", self.table));
        let names = attribute::names(&[attribute::ATTENTION, attribute::SCANNED_AT]);
        let (mut objects, mut start) = (Vec::new(), None);
        while objects.len() < limit {
            let most = i32::try_from(limit - objects.len()).unwrap_or(i32::MAX);
            let request = self.client.query().table_name(&self.table).index_name(INDEX).scan_index_forward(false);
            let request = request.key_condition_expression("#attention = :verdict AND #scanned_at >= :since");
            let request = request
                .set_expression_attribute_names(Some(names.clone()))
                .expression_attribute_values(":verdict", attribute::s(verdict))
                .expression_attribute_values(
                    ":since",
                    attribute::s(&since.to_rfc3339_opts(SecondsFormat::Millis, true)),
                );
            let response = request.limit(most).set_exclusive_start_key(start).send().await;
            let response = response.map_err(failed(call.clone()))?;
            objects.extend(response.items().iter().filter_map(RecordKey::of).filter_map(RecordKey::object));
            start = response.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        Ok(objects)
    }
}

impl DynamoRecords {
    /// Every object version with a verdict of this name, `infected` or `unscannable`, oldest scan first. The index follows its table
    /// after a moment: a record that is read next may say otherwise by then.
    ///
    /// # Errors
    /// The table's.
    pub async fn needing_attention(&self, verdict: &str) -> Result<Vec<ObjectId>, StoreError> {
        let mut objects = Vec::new();
        let mut after = None;
        loop {
            let request = self.client.query().table_name(&self.table).index_name(INDEX);
            let request = request.key_condition_expression("#attention = :verdict");
            let request = request.set_expression_attribute_names(Some(attribute::names(&[attribute::ATTENTION])));
            let request = request.expression_attribute_values(":verdict", attribute::s(verdict));
            let page = request.set_exclusive_start_key(after).send().await;
            let page = page.map_err(failed(Call::new("Query", &self.table)))?;
            objects.extend(page.items().iter().filter_map(RecordKey::of).filter_map(RecordKey::object));
            after = page.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(objects);
            }
        }
    }
}
