//! The sparse index of records that need a person's attention.

use aws_sdk_dynamodb::types::AttributeValue;
use nacre_core::{
    object::ObjectId,
    port::{Call, StoreError},
};

use super::{DynamoRecords, attribute};
use crate::store_error::failed;

/// Name of the index.
const INDEX: &str = "attention";

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
            let request = request.expression_attribute_values(":verdict", AttributeValue::S(verdict.to_owned()));
            let page = request.set_exclusive_start_key(after).send().await;
            let page = page.map_err(failed(Call::new("Query", &self.table)))?;
            objects.extend(page.items().iter().filter_map(|item| {
                let text = |name| attribute::text(item, name);
                ObjectId::from_record_keys(text(attribute::OBJECT)?, text(attribute::VERSION_ID)?)
            }));
            after = page.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(objects);
            }
        }
    }
}
