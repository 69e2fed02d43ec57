//! Reads a deployment.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    io,
    sync::{Arc, Mutex},
};

use aws_config::SdkConfig;
use aws_sdk_lambda::types::AccountLimit;
use aws_sdk_s3::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef},
    error::{BoxError, ProvideErrorMetadata},
    types::{Event, NotificationConfigurationFilter, S3KeyFilter, ServerSideEncryptionConfiguration},
};
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{DateTime, Utc};
use nacre_aws::{S3Definitions, SystemClock};
use nacre_core::{
    generation::{manifest::Manifest, published::Published},
    port::Clock,
};
use serde_json::{Value, json};

use super::{
    failed_calls::failed_calls,
    keys::keys,
    snapshot::{Bucket, Definitions, Expected, Function, Notification, Queue, Snapshot, Source, Table, Topic},
};
use crate::{
    deployment::{Deployment, DeploymentError, Part},
    dlq::{DeadLetterQueue, DlqError, depth},
    function_logs::LogsError,
    output::explain,
};

const QUEUES: [(&str, Part); 7] = [
    ("ScanQueue", Part::ScanQueue),
    ("ScanDeadLetters", Part::ScanDeadLetters),
    ("RescanQueue", Part::RescanQueue),
    ("FullRescanQueue", Part::FullRescanQueue),
    ("RescanDeadLetters", Part::RescanDeadLetters),
    ("PassQueue", Part::PassQueue),
    ("PassDeadLetters", Part::PassDeadLetters),
];

const FUNCTIONS: [(&str, Part); 4] = [
    ("UpdaterFunction", Part::UpdaterFunction),
    ("RescannerFunction", Part::RescannerFunction),
    ("ScannerFunction", Part::ScannerFunction),
    ("RescanFunction", Part::RescanFunction),
];

const TOPICS: [(&str, Part); 2] = [("ScannerTrigger", Part::ScannerTrigger), ("RescanTrigger", Part::RescanTrigger)];

/// Variables of functions, and the parts that they name.
const VARIABLES: [(&str, &str, Part); 10] = [
    ("ScannerFunction", "NACRE_RECORDS_TABLE", Part::ScanRecords),
    ("RescanFunction", "NACRE_RECORDS_TABLE", Part::ScanRecords),
    ("RescannerFunction", "NACRE_RECORDS_TABLE", Part::ScanRecords),
    ("ScannerFunction", "AV_DEFINITION_S3_BUCKET", Part::DefinitionsBucket),
    ("RescanFunction", "AV_DEFINITION_S3_BUCKET", Part::DefinitionsBucket),
    ("RescannerFunction", "AV_DEFINITION_S3_BUCKET", Part::DefinitionsBucket),
    ("UpdaterFunction", "AV_DEFINITION_S3_BUCKET", Part::DefinitionsBucket),
    ("RescanFunction", "NACRE_RESCAN_TOPIC_ARN", Part::RescanTrigger),
    ("RescannerFunction", "NACRE_TRIGGER_TOPIC_ARN", Part::RescanTrigger),
    ("RescannerFunction", "NACRE_PASS_QUEUE_URL", Part::PassQueue),
];

/// Why a deployment could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatherError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Queues(#[from] DlqError),
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error("{of} cannot be checked: check that the credentials may call {call}")]
    Call {
        of: String,
        call: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the findings cannot be written")]
    Output(#[from] io::Error),
}

fn refused<E: Error + Send + Sync + 'static>(of: &str, call: &'static str) -> impl FnOnce(E) -> GatherError {
    let of = of.to_owned();
    move |error| GatherError::Call { of, call, source: error.into() }
}

/// Reads all that the checks judge.
pub(super) async fn gather(deployment: &Deployment) -> Result<Snapshot, GatherError> {
    let sdk = &deployment.sdk;
    let (mut queues, mut functions, mut topics) = (Vec::new(), Vec::new(), Vec::new());
    for (name, part) in QUEUES {
        queues.push(queue(sdk, name, &deployment.name(part, None).await?).await?);
    }
    for (name, part) in FUNCTIONS {
        functions.push(function(sdk, name, &deployment.name(part, None).await?).await?);
    }
    for (name, part) in TOPICS {
        topics.push(topic(sdk, name, &deployment.name(part, None).await?).await?);
    }
    let mut messages_given_up = BTreeMap::new();
    for queue in DeadLetterQueue::ALL {
        messages_given_up.insert(queue.name(), depth(deployment, queue.part()).await?.all());
    }
    let (buckets, unreadable) = buckets(deployment).await?;
    let [refused, throttled] = failed_calls(deployment).await?;
    let (scanner_role, parameters) =
        (deployment.name(Part::ScannerRole, None).await?, deployment.parameters().await?.clone());
    let rescanner = functions.iter().find(|function| function.name == "RescannerFunction");
    let roles = [scanner_role.as_str(), rescanner.map(|function| function.role.as_str()).unwrap_or_default()];
    let keys = keys(sdk, &parameters, &buckets, roles).await;
    Ok(Snapshot {
        stack: deployment.stack().to_owned(),
        stack_status: deployment.status().await?.to_owned(),
        parameters,
        scanner_role,
        scanner_trigger: deployment.name(Part::ScannerTrigger, None).await?,
        buckets,
        unreadable,
        keys,
        expected: expected(deployment).await?,
        concurrency: concurrency(sdk).await?,
        ahead_seconds: ahead(sdk, &deployment.name(Part::DefinitionsBucket, None).await?).await,
        table: table(sdk, deployment.name(Part::ScanRecords, None).await?).await?,
        definitions: definitions(sdk, &deployment.name(Part::DefinitionsBucket, None).await?).await,
        refused,
        throttled,
        queues,
        functions,
        topics,
        messages_given_up,
    })
}

/// The stack's own bucket, and those that are attached; an attached one that cannot be read, with the reason.
async fn buckets(deployment: &Deployment) -> Result<(Vec<Bucket>, BTreeMap<String, String>), GatherError> {
    let parameters = deployment.parameters().await?;
    let names = |parameter: &str| {
        let arns = parameters.get(parameter).map(String::as_str).unwrap_or_default().split(',');
        arns.filter_map(|arn| Some(arn.trim().rsplit_once(":::")?.1.to_owned())).collect::<Vec<_>>()
    };
    let by_event_bridge = names("EventBridgeBucketArns");
    let own = deployment.name(Part::ScannedBucket, None).await?;
    let (mut buckets, mut unreadable) = (Vec::new(), BTreeMap::new());
    for name in std::iter::once(own.clone()).chain(names("AttachedBucketArns")) {
        let (is_own, bridged) = (name == own, by_event_bridge.contains(&name));
        match bucket(&deployment.sdk, name.clone(), is_own, bridged).await {
            Ok(bucket) => buckets.push(bucket),
            Err(error) if is_own => return Err(error),
            Err(error) => {
                unreadable.insert(name, explain(&error));
            }
        }
    }
    Ok((buckets, unreadable))
}

async fn bucket(sdk: &SdkConfig, name: String, own: bool, by_event_bridge: bool) -> Result<Bucket, GatherError> {
    let client = aws_sdk_s3::Client::new(sdk);
    let found = client.get_bucket_notification_configuration().bucket(&name).send().await;
    let found = found.map_err(refused(&name, "s3:GetBucketNotification"))?;
    let sends_to_event_bridge = found.event_bridge_configuration().is_some();
    let topics =
        found.topic_configurations().iter().map(|one| notification(one.topic_arn(), one.events(), one.filter()));
    let queues =
        found.queue_configurations().iter().map(|one| notification(one.queue_arn(), one.events(), one.filter()));
    let functions = found.lambda_function_configurations().iter();
    let functions = functions.map(|one| notification(one.lambda_function_arn(), one.events(), one.filter()));
    let notifications = topics.chain(queues).chain(functions).collect();

    let policy = match client.get_bucket_policy().bucket(&name).send().await {
        Ok(found) => found.policy().and_then(|text| serde_json::from_str(text).ok()),
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => None,
        Err(error) => return Err(refused(&name, "s3:GetBucketPolicy")(error)),
    };
    let kms_key = match client.get_bucket_encryption().bucket(&name).send().await {
        Ok(found) => {
            let rules = found
                .server_side_encryption_configuration()
                .map(ServerSideEncryptionConfiguration::rules)
                .unwrap_or_default();
            let default = rules.iter().find_map(|rule| rule.apply_server_side_encryption_by_default());
            default.and_then(|default| default.kms_master_key_id()).map(str::to_owned)
        }
        Err(error) if error.code() == Some("ServerSideEncryptionConfigurationNotFoundError") => None,
        Err(error) => return Err(refused(&name, "s3:GetEncryptionConfiguration")(error)),
    };
    Ok(Bucket { name, own, by_event_bridge, sends_to_event_bridge, notifications, policy, kms_key })
}

fn notification(to: &str, events: &[Event], filter: Option<&NotificationConfigurationFilter>) -> Notification {
    let rules = filter.and_then(|filter| filter.key()).map(S3KeyFilter::filter_rules).unwrap_or_default();
    let rules = rules.iter().filter_map(|rule| {
        let value = rule.value().filter(|value| !value.is_empty())?;
        Some(format!("the {} {value}", rule.name()?.as_str().to_lowercase()))
    });
    let events = events.iter().map(|event| event.as_str().to_owned()).collect();
    Notification { destination: to.to_owned(), events, filter: rules.collect() }
}

async fn queue(sdk: &SdkConfig, name: &'static str, url: &str) -> Result<Queue, GatherError> {
    let client = aws_sdk_sqs::Client::new(sdk);
    let found = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send().await;
    let found = found.map_err(refused(name, "sqs:GetQueueAttributes"))?.attributes.unwrap_or_default();
    let text = |attribute: QueueAttributeName| found.get(&attribute).map(String::as_str);
    let number = |attribute| text(attribute).and_then(|value| value.parse().ok()).unwrap_or_default();
    let json = |attribute| text(attribute).and_then(|value| serde_json::from_str::<Value>(value).ok());
    let redrive = json(QueueAttributeName::RedrivePolicy);
    let dead_letters = redrive.and_then(|redrive| Some(redrive.get("deadLetterTargetArn")?.as_str()?.to_owned()));
    Ok(Queue {
        name,
        arn: text(QueueAttributeName::QueueArn).unwrap_or_default().to_owned(),
        visibility_seconds: number(QueueAttributeName::VisibilityTimeout),
        retention_seconds: number(QueueAttributeName::MessageRetentionPeriod),
        dead_letters,
        policy: json(QueueAttributeName::Policy),
        kms_key: text(QueueAttributeName::KmsMasterKeyId).filter(|key| !key.is_empty()).map(str::to_owned),
    })
}

async fn function(sdk: &SdkConfig, name: &'static str, function: &str) -> Result<Function, GatherError> {
    let client = aws_sdk_lambda::Client::new(sdk);
    let found = client.get_function_configuration().function_name(function).send().await;
    let found = found.map_err(refused(name, "lambda:GetFunctionConfiguration"))?;
    let reserved = client.get_function_concurrency().function_name(function).send().await;
    let reserved = reserved.map_err(refused(name, "lambda:GetFunctionConcurrency"))?.reserved_concurrent_executions;
    let mut sources = Vec::new();
    let mut pages = client.list_event_source_mappings().function_name(function).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(refused(name, "lambda:ListEventSourceMappings"))?;
        sources.extend(page.event_source_mappings().iter().map(|mapping| Source {
            queue_arn: mapping.event_source_arn().unwrap_or_default().to_owned(),
            enabled: !mapping.state().is_some_and(|state| state.starts_with("Disabl")),
            reports_failures: !mapping.function_response_types().is_empty(),
        }));
    }
    let environment = found.environment().and_then(|it| it.variables()).map(into_sorted).unwrap_or_default();
    Ok(Function {
        name,
        state: found.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        last_update: found.last_update_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        role: found.role().unwrap_or_default().to_owned(),
        timeout_seconds: found.timeout().and_then(|timeout| u64::try_from(timeout).ok()).unwrap_or_default(),
        reserved: reserved.and_then(|reserved| u64::try_from(reserved).ok()),
        environment,
        sources,
    })
}

fn into_sorted(variables: &HashMap<String, String>) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn topic(sdk: &SdkConfig, name: &'static str, arn: &str) -> Result<Topic, GatherError> {
    let client = aws_sdk_sns::Client::new(sdk);
    let found = client.get_topic_attributes().topic_arn(arn).send().await;
    let found = found.map_err(refused(name, "sns:GetTopicAttributes"))?;
    let attribute = |name: &str| found.attributes().and_then(|all| all.get(name)).filter(|value| !value.is_empty());
    let policy = attribute("Policy").and_then(|policy| serde_json::from_str(policy).ok());
    let kms_key = attribute("KmsMasterKeyId").cloned();
    let mut endpoints = BTreeMap::new();
    let mut pages = client.list_subscriptions_by_topic().topic_arn(arn).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(refused(name, "sns:ListSubscriptionsByTopic"))?;
        for subscription in page.subscriptions() {
            let Some(endpoint) = subscription.endpoint() else { continue };
            // One that is not confirmed has no ARN, and gets nothing.
            let Some(its) = subscription.subscription_arn().filter(|arn| arn.starts_with("arn:")) else { continue };
            let filter = client.get_subscription_attributes().subscription_arn(its).send().await;
            let filter = filter.map_err(refused(name, "sns:GetSubscriptionAttributes"))?;
            let filter = filter.attributes().and_then(|all| all.get("FilterPolicy")).filter(|text| !text.is_empty());
            let filter: Option<Value> = filter.and_then(|filter| serde_json::from_str(filter).ok());
            endpoints.insert(endpoint.to_owned(), filter.filter(|filter| *filter != json!({})));
        }
    }
    Ok(Topic { name, arn: arn.to_owned(), policy, endpoints, kms_key })
}

/// The variables that name parts of the stack.
async fn expected(deployment: &Deployment) -> Result<Vec<Expected>, GatherError> {
    let mut expected = Vec::new();
    for (function, variable, part) in VARIABLES {
        expected.push(Expected { function, variable, value: deployment.name(part, None).await? });
    }
    // Older templates have none, and set none.
    if let Some(value) = deployment.parameters().await?.get("ScanOnly") {
        expected.push(Expected { function: "ScannerFunction", variable: "NACRE_SCAN_ONLY", value: value.clone() });
    }
    Ok(expected)
}

/// Executions at a time that no function has reserved.
async fn concurrency(sdk: &SdkConfig) -> Result<u64, GatherError> {
    let settings = aws_sdk_lambda::Client::new(sdk).get_account_settings().send().await;
    let settings = settings.map_err(refused("the account", "lambda:GetAccountSettings"))?;
    let unreserved = settings.account_limit().and_then(AccountLimit::unreserved_concurrent_executions);
    Ok(u64::try_from(unreserved.unwrap_or_default()).unwrap_or_default())
}

/// Keeps the time of an answer.
#[derive(Clone, Debug, Default)]
struct DateOfAnswer(Arc<Mutex<Option<String>>>);

impl Intercept for DateOfAnswer {
    fn name(&self) -> &'static str {
        "DateOfAnswer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(date), Ok(mut kept)) = (context.response().headers().get("date"), self.0.lock()) {
            *kept = Some(date.to_owned());
        }
        Ok(())
    }
}

/// By how much this machine's clock is ahead of S3's, by the time of an answer, whatever it says otherwise.
async fn ahead(sdk: &SdkConfig, bucket: &str) -> Option<i64> {
    let date = DateOfAnswer::default();
    let request = aws_sdk_s3::Client::new(sdk).head_bucket().bucket(bucket).customize().interceptor(date.clone());
    // A call that was refused has a time, too.
    let _ = request.send().await;
    let now = SystemClock.now();
    let date = date.0.lock().ok()?.take()?;
    Some((now - DateTime::parse_from_rfc2822(&date).ok()?.to_utc()).num_seconds())
}

async fn table(sdk: &SdkConfig, name: String) -> Result<Table, GatherError> {
    let found = aws_sdk_dynamodb::Client::new(sdk).describe_table().table_name(&name).send().await;
    let found = match found {
        Ok(found) => found.table,
        Err(error) if error.code() == Some("ResourceNotFoundException") => None,
        Err(error) => return Err(refused(&name, "dynamodb:DescribeTable")(error)),
    };
    let Some(found) = found else {
        return Ok(Table { name, status: "not there".into(), indexes: BTreeMap::new() });
    };
    let indexes = found.global_secondary_indexes().iter().filter_map(|index| {
        // The local stack's indexes are ready at once, and have no state.
        let status = index.index_status().map_or("ACTIVE", |status| status.as_str());
        Some((index.index_name()?.to_owned(), status.to_owned()))
    });
    let status = found.table_status().map(|status| status.as_str().to_owned()).unwrap_or_default();
    Ok(Table { indexes: indexes.collect(), name, status })
}

async fn definitions(sdk: &SdkConfig, bucket: &str) -> Definitions {
    match Published::read(&S3Definitions::new(sdk, bucket)).await {
        Ok(published) => {
            let age = |built: DateTime<Utc>| (SystemClock.now() - built).num_hours();
            let built = published.manifest.as_ref().map(Manifest::newest_built);
            Definitions { unreadable: None, age_hours: built.map(age), pinned: published.pinned }
        }
        Err(error) => Definitions { unreadable: Some(explain(&error)), age_hours: None, pinned: false },
    }
}
