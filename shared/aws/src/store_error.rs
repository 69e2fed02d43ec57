//! What a failed call means for its caller, decided in one place.

use std::error::Error;

use aws_sdk_s3::{config::http::HttpResponse, error::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use nacre_core::port::{Call, Obstacle, StoreError};

/// Codes of calls that may work later, besides all kinds of throttling.
const TRANSIENT: [&str; 7] = [
    "SlowDown",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "InternalError",
    "InternalServerError",
    "OperationAborted",
];

/// Codes of conditional calls that lost their race.
const LOST_RACE: [&str; 3] = ["PreconditionFailed", "ConditionalRequestConflict", "ConditionalCheckFailedException"];

/// Classifies a failed call by what its caller can do about it.
pub(super) fn failed<E>(call: Call) -> impl FnOnce(SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| store_error(call, error)
}

/// As [`failed`].
pub(super) fn store_error<E>(call: Call, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    // S3 has no code of its own for objects under a key of the customer's (SSE-C).
    let says = |text: &str| error.message().is_some_and(|message| before_resource(message).contains(text));
    let customer_key = code == "InvalidRequest" && says("Encryption");
    // S3 reports a key that may not be used like an object that may not be read.
    let key_denied = status == Some(403) && says("kms:");
    // Neither has a code of its own.
    let locked = status == Some(403) && (says("protected by object lock") || says("Mfa Authentication"));
    let unsent = matches!(error, SdkError::ConstructionFailure(_));
    let boxed: Box<dyn Error + Send + Sync> = Box::new(error);
    match (status, code.as_str()) {
        (_, code) if code.contains("Throttl") || TRANSIENT.contains(&code) => StoreError::Unavailable(call, boxed),
        (_, code) if LOST_RACE.contains(&code) => StoreError::PreconditionFailed(call),
        (_, "InvalidObjectState") => StoreError::Unreadable(Obstacle::Archived, call, boxed),
        (_, code) if code.starts_with("KMS.") || key_denied => {
            StoreError::Unreadable(Obstacle::KeyUnusable, call, boxed)
        }
        _ if customer_key => StoreError::Unreadable(Obstacle::CustomerKey, call, boxed),
        // S3 answers 405 for a version that is a delete marker.
        (Some(404 | 405), _) => StoreError::NotFound(call),
        (Some(412), _) => StoreError::PreconditionFailed(call),
        _ if locked => StoreError::Locked(call, boxed),
        (Some(401 | 403), _) | (_, "AccessDeniedException") => StoreError::Denied(call, boxed),
        (Some(409 | 429 | 500..), _) => StoreError::Unavailable(call, boxed),
        (None, _) if !unsent => StoreError::Unavailable(call, boxed),
        _ => StoreError::Unexpected(call, boxed),
    }
}

/// What a refusal says before it names its resource: what follows has the key, which its uploader chose.
fn before_resource(message: &str) -> &str {
    message.split_once("on resource:").map_or(message, |(before, _)| before)
}

/// A response that is not valid, in words.
pub(super) fn unexpected(call: &Call, message: impl Into<String>) -> StoreError {
    StoreError::Unexpected(call.clone(), message.into().into())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;
    use nacre_core::telemetry::error_chain;

    fn call() -> Call {
        Call::new("GetObject", "s3://bucket/key")
    }

    fn answered(status: u16, code: &str, message: &str) -> StoreError {
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        store_error(
            call(),
            SdkError::service_error(ErrorMetadata::builder().code(code).message(message).build(), response),
        )
    }

    /// S3 names the resource, and so the key, in what it says of a refusal.
    #[test]
    fn a_key_does_not_decide_what_a_refusal_means() {
        let keys = ["kms:x", "Mfa Authentication", "x protected by object lock.exe", "\" on resource: kms:x"];
        for (action, key) in ["PutObjectTagging", "DeleteObject", "GetObject"].iter().zip(keys) {
            let text = format!(
                "User: arn:aws:sts::1:assumed-role/scanner/x is not authorized to perform: s3:{action} on resource: \
                 \"arn:aws:s3:::uploads/{key}\" with an explicit deny in a resource-based policy"
            );
            assert!(matches!(answered(403, "AccessDenied", &text), StoreError::Denied(..)), "{action} of {key}");
        }
    }

    #[test]
    fn every_failure_says_what_its_caller_can_do() {
        let name = |error: &StoreError| match error {
            StoreError::NotFound(_) => "not found",
            StoreError::PreconditionFailed(_) => "lost",
            StoreError::Denied(..) => "denied",
            StoreError::Locked(..) => "locked",
            StoreError::Unreadable(Obstacle::Archived, ..) => "archived",
            StoreError::Unreadable(Obstacle::CustomerKey, ..) => "customer key",
            StoreError::Unreadable(Obstacle::KeyUnusable, ..) => "key unusable",
            StoreError::Unavailable(..) => "unavailable",
            StoreError::Unexpected(..) => "unexpected",
        };
        for (status, code, expected) in [
            (404, "NoSuchKey", "not found"),
            (404, "NoSuchVersion", "not found"),
            (404, "", "not found"),
            (405, "MethodNotAllowed", "not found"),
            (412, "PreconditionFailed", "lost"),
            (412, "", "lost"),
            (409, "ConditionalRequestConflict", "lost"),
            (400, "ConditionalCheckFailedException", "lost"),
            (409, "OperationAborted", "unavailable"),
            (403, "AccessDenied", "denied"),
            (400, "AccessDeniedException", "denied"),
            (403, "InvalidObjectState", "archived"),
            (400, "KMS.DisabledException", "key unusable"),
            (400, "KMS.ThrottlingException", "unavailable"),
            (400, "ProvisionedThroughputExceededException", "unavailable"),
            (400, "ThrottlingException", "unavailable"),
            (400, "RequestTimeout", "unavailable"),
            (429, "Throttled", "unavailable"),
            (503, "SlowDown", "unavailable"),
            (500, "", "unavailable"),
            (400, "ValidationException", "unexpected"),
            (301, "PermanentRedirect", "unexpected"),
        ] {
            assert_eq!(name(&answered(status, code, "")), expected, "{status} {code}");
        }
    }

    #[test]
    fn an_object_under_a_customers_key_is_unreadable_and_other_invalid_requests_are_not() {
        let text =
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided";
        assert!(matches!(answered(400, "InvalidRequest", text), StoreError::Unreadable(Obstacle::CustomerKey, ..)));
        let text =
            "User: arn:aws:sts::1:assumed-role/scanner is not authorized to perform: kms:Decrypt on this resource";
        assert!(matches!(answered(403, "AccessDenied", text), StoreError::Unreadable(Obstacle::KeyUnusable, ..)));
        assert!(matches!(answered(400, "InvalidRequest", "Missing header"), StoreError::Unexpected(..)));
        for text in [
            "Access Denied because object protected by object lock.",
            "Mfa Authentication must be used for this request",
        ] {
            assert!(matches!(answered(403, "AccessDenied", text), StoreError::Locked(..)), "{text}");
        }
    }

    #[test]
    fn what_never_reached_the_store_may_reach_it_later_unless_it_could_not_be_written() {
        type Failure = SdkError<ErrorMetadata, HttpResponse>;
        assert!(matches!(store_error(call(), Failure::timeout_error("slow")), StoreError::Unavailable(..)));
        assert!(matches!(store_error(call(), Failure::construction_failure("empty key")), StoreError::Unexpected(..)));
    }

    #[test]
    fn the_cause_is_kept() {
        let chain = error_chain(&answered(403, "AccessDenied", "no identity-based policy allows s3:GetObject"));
        assert!(chain.starts_with("GetObject of s3://bucket/key: access denied: "), "{chain}");
        assert!(chain.contains("no identity-based policy"), "{chain}");
    }
}
