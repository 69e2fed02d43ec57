//! Each action of each statement of a role, with the call that needs it.

/// What fails without an action.
#[derive(Clone, Copy)]
pub(super) enum Needed {
    /// This call of an adapter: a method of the AWS SDK in a file of `shared/aws/src`.
    Call(&'static str, &'static str),
    /// S3, which answers 403 for what is missing unless the caller may list; the file that distinguishes both, and how.
    Missing(&'static str, &'static str),
    /// The service does it for the resource that says this in the template.
    Service(&'static str),
}
use Needed::{Call, Missing, Service};

const POINTER: Needed = Missing("shared/core/src/generation/published.rs", "PointerRead::Missing");
const GONE: Needed = Missing("scanner/src/scan.rs", "StoreError::NotFound");
const MOVED: Needed = Missing("scanner/src/containment.rs", "StoreError::NotFound");

/// A statement of a role: owner, name, and each action with what needs it.
pub(super) type Statement = (&'static str, &'static str, &'static [(&'static str, Needed)]);

/// The statements of the roles.
pub(super) const ROLES: &[Statement] = &[
    (
        "UpdaterRole",
        "ReadAndPublishDefinitions",
        &[
            ("s3:GetObject", Call("definitions.rs", "get_object")),
            ("s3:PutObject", Call("definitions.rs", "put_object")),
            ("s3:PutObjectTagging", Call("definitions.rs", "copy_object")),
            ("s3:DeleteObject", Call("definitions.rs", "delete_object")),
        ],
    ),
    ("UpdaterRole", "ListDefinitions", &[("s3:ListBucket", Call("definitions.rs", "list_objects_v2"))]),
    ("UpdaterRole", "Announce", &[("sns:Publish", Call("topic.rs", "publish"))]),
    ("UpdaterRole", "Log", &[LOG_STREAM, ("logs:PutLogEvents", Service("LogGroup: !Ref UpdaterLogs}"))]),
    ("RescannerRole", "ReadDefinitions", &[("s3:GetObject", Call("definitions.rs", "get_object"))]),
    ("RescannerRole", "ListDefinitions", &[("s3:ListBucket", POINTER)]),
    (
        "RescannerRole",
        "RememberPasses",
        &[
            ("s3:PutObject", Call("definitions.rs", "put_object")),
            ("s3:DeleteObject", Call("definitions.rs", "delete_object")),
        ],
    ),
    (
        "RescannerRole",
        "PageThroughAndRenewRecords",
        &[
            ("dynamodb:DescribeTable", Call("records.rs", "describe_table")),
            ("dynamodb:Scan", Call("records.rs", "scan")),
            ("dynamodb:UpdateItem", Call("records.rs", "update_item")),
        ],
    ),
    (
        "RescannerRole",
        "HandOn",
        &[
            ("sqs:SendMessage", Call("queue.rs", "send_message_batch")),
            ("sqs:ReceiveMessage", SEGMENTS),
            ("sqs:DeleteMessage", SEGMENTS),
            ("sqs:ChangeMessageVisibility", SEGMENTS),
            ("sqs:GetQueueAttributes", SEGMENTS),
        ],
    ),
    ("RescannerRole", "Trigger", &[("sns:Publish", Call("topic.rs", "publish_batch"))]),
    (
        "RescannerRole",
        "TestItself",
        &[
            ("s3:PutObject", Call("test_objects.rs", "put_object")),
            ("s3:GetObject", Call("test_objects.rs", "get_object")),
            ("s3:GetObjectVersion", Call("test_objects.rs", "get_object")),
            ("s3:GetObjectTagging", Call("test_objects.rs", "get_object_tagging")),
            ("s3:GetObjectVersionTagging", Call("test_objects.rs", "get_object_tagging")),
            ("s3:DeleteObject", Call("test_objects.rs", "delete_object")),
            ("s3:DeleteObjectVersion", Call("test_objects.rs", "delete_object")),
        ],
    ),
    (
        "RescannerRole",
        "TestItselfEncrypted",
        &[
            ("kms:GenerateDataKey", Call("test_objects.rs", "put_object")),
            ("kms:Decrypt", Call("test_objects.rs", "get_object")),
        ],
    ),
    ("RescannerRole", "ReadRecords", &[("dynamodb:GetItem", Call("records.rs", "get_item"))]),
    ("RescannerRole", "ListWhatNeedsAttention", &[("dynamodb:Query", Call("records/attention.rs", "query"))]),
    (
        "RescannerRole",
        "CountDeadLetters",
        &[("sqs:GetQueueAttributes", Call("queue_lengths.rs", "get_queue_attributes"))],
    ),
    ("RescannerRole", "NotifyPeople", &[("sns:Publish", Call("topic.rs", "publish"))]),
    (
        "RescannerRole",
        "GiveUp",
        &[("sqs:SendMessage", Service("DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt AnnouncementDeadLetters.Arn}"))],
    ),
    ("RescannerRole", "Log", &[LOG_STREAM, ("logs:PutLogEvents", Service("LogGroup: !Ref RescannerLogs}"))]),
    ("ScannerRole", "ReadDefinitions", &[("s3:GetObject", Call("definitions.rs", "get_object"))]),
    ("ScannerRole", "ListDefinitions", &[("s3:ListBucket", POINTER)]),
    (
        "ScannerRole",
        "ReadAndTagObjects",
        &[
            ("s3:GetObject", Call("objects.rs", "head_object")),
            ("s3:GetObjectVersion", Call("download.rs", "get_object")),
            ("s3:GetObjectTagging", Call("objects.rs", "get_object_tagging")),
            ("s3:GetObjectVersionTagging", Call("objects.rs", "get_object_tagging")),
            ("s3:PutObjectTagging", Call("objects.rs", "put_object_tagging")),
            ("s3:PutObjectVersionTagging", Call("objects.rs", "put_object_tagging")),
        ],
    ),
    ("ScannerRole", "ListObjects", &[("s3:ListBucket", GONE), ("s3:ListBucketVersions", GONE)]),
    ("ScannerRole", "ReadEncryptedObjects", &[("kms:Decrypt", Call("download.rs", "get_object"))]),
    (
        "ScannerRole",
        "EncryptInQuarantine",
        &[
            ("kms:GenerateDataKey", Call("objects.rs", "copy_object")),
            // Of a copy in parts, as S3 makes one of a large object.
            ("kms:Decrypt", Call("objects.rs", "copy_object")),
        ],
    ),
    (
        "ScannerRole",
        "PublishScanStartsEncrypted",
        &[("kms:GenerateDataKey", Call("topic.rs", "publish")), ("kms:Decrypt", Call("topic.rs", "publish"))],
    ),
    (
        "ScannerRole",
        "RemoveInfectedObjects",
        &[
            ("s3:DeleteObject", Call("objects.rs", "delete_object")),
            ("s3:DeleteObjectVersion", Call("objects.rs", "delete_object")),
        ],
    ),
    (
        "ScannerRole",
        "PutIntoQuarantine",
        &[
            ("s3:PutObject", Call("objects.rs", "put_object")),
            ("s3:GetObject", Call("objects.rs", "head_object")),
            ("s3:PutObjectTagging", Call("objects.rs", "copy_object")),
        ],
    ),
    ("ScannerRole", "ListQuarantine", &[("s3:ListBucket", MOVED)]),
    ("ScannerRole", "PutOnBus", &[("events:PutEvents", Call("bus.rs", "put_events"))]),
    (
        "ScannerRole",
        "ImportFindings",
        &[("securityhub:BatchImportFindings", Missing("shared/aws/src/security_hub.rs", "/findings/import"))],
    ),
    ("ScannerRole", "PublishScanStarts", &[("sns:Publish", Call("topic.rs", "publish"))]),
    (
        "ScannerRole",
        "Remember",
        &[
            ("dynamodb:GetItem", Call("records.rs", "get_item")),
            ("dynamodb:PutItem", Call("records.rs", "put_item")),
            ("dynamodb:UpdateItem", Call("records.rs", "update_item")),
            ("dynamodb:DeleteItem", Call("records.rs", "delete_item")),
        ],
    ),
    ("ScannerRole", "ReportAndAskForFullScans", &[("sns:Publish", Call("topic.rs", "publish"))]),
    (
        "ScannerRole",
        "TakeMessages",
        &[
            ("sqs:ReceiveMessage", SCANS),
            ("sqs:DeleteMessage", SCANS),
            ("sqs:ChangeMessageVisibility", Call("deliveries.rs", "change_message_visibility")),
            ("sqs:GetQueueAttributes", SCANS),
        ],
    ),
    ("ScannerRole", "Log", &[LOG_STREAM, ("logs:PutLogEvents", Service("LogGroup: !Ref ScannerLogs}"))]),
];

/// Lambda's, which a function with a log group of its own needs.
const LOG_STREAM: (&str, Needed) = ("logs:CreateLogStream", Service("LoggingConfig: {LogFormat: JSON"));
/// Lambda's polling of a queue, which it does by the function's role.
const SEGMENTS: Needed = Service("Queue: !GetAtt PassQueue.Arn");
const SCANS: Needed = Service("Queue: !GetAtt ScanQueue.Arn");
