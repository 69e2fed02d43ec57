//! Arguments that several commands have. Each is declared once, with its variable.

use aws_config::SdkConfig;
use clap::{Args, builder::NonEmptyStringValueParser};
use nacre_aws::{DynamoRecords, S3Definitions, sdk_config};

/// The definitions bucket.
#[derive(Debug, Args)]
pub(crate) struct BucketArgument {
    /// The definitions bucket
    #[arg(long, env = "AV_DEFINITION_S3_BUCKET", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    bucket: String,
}

impl BucketArgument {
    pub(crate) async fn store(&self) -> S3Definitions {
        self.store_by(&sdk_config().await)
    }

    pub(crate) fn store_by(&self, sdk: &SdkConfig) -> S3Definitions {
        S3Definitions::new(sdk, &self.bucket)
    }
}

/// The table of scan records.
#[derive(Debug, Args)]
pub(crate) struct TableArgument {
    /// The table of scan records: output `ScanRecords` of the stack
    #[arg(long, env = "NACRE_RECORDS_TABLE", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    table: String,
}

impl TableArgument {
    pub(crate) fn records(&self, sdk: &SdkConfig) -> DynamoRecords {
        DynamoRecords::new(sdk, &self.table)
    }
}
