//! Arguments that several commands have. Each is declared once, with its variable. What is not given is of the stack.

use clap::{Args, builder::NonEmptyStringValueParser};
use nacre_aws::{DynamoRecords, S3Definitions};

use crate::deployment::{Deployment, DeploymentError, Part};

/// The definitions bucket.
#[derive(Debug, Args)]
pub(crate) struct BucketArgument {
    /// The definitions bucket [default: the stack's]
    #[arg(long, env = "AV_DEFINITION_S3_BUCKET", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    bucket: Option<String>,
}

impl BucketArgument {
    pub(crate) async fn store(&self, deployment: &Deployment) -> Result<S3Definitions, DeploymentError> {
        let bucket = deployment.name(Part::DefinitionsBucket, self.bucket.as_deref()).await?;
        Ok(S3Definitions::new(&deployment.sdk, &bucket))
    }
}

/// The table of scan records.
#[derive(Debug, Args)]
pub(crate) struct TableArgument {
    /// The table of scan records [default: the stack's]
    #[arg(long, env = "NACRE_RECORDS_TABLE", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    table: Option<String>,
}

impl TableArgument {
    /// Its name.
    pub(crate) async fn name(&self, deployment: &Deployment) -> Result<String, DeploymentError> {
        deployment.name(Part::ScanRecords, self.table.as_deref()).await
    }

    pub(crate) async fn records(&self, deployment: &Deployment) -> Result<DynamoRecords, DeploymentError> {
        Ok(DynamoRecords::new(&deployment.sdk, &self.name(deployment).await?))
    }
}
