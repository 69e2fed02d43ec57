//! What a failed call means for its caller, decided in one place.

use std::error::Error;

use aws_sdk_s3::{config::http::HttpResponse, error::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::port::StoreError;

/// Codes that say that a stored object cannot be read as it is: archived, or its key is not ours to use.
const UNREADABLE: [&str; 5] = [
    "InvalidObjectState",
    "KMS.DisabledException",
    "KMS.NotFoundException",
    "KMS.KMSInvalidStateException",
    "KMSInvalidStateException",
];

/// Codes of calls that may work later.
const PASSING: [&str; 6] = [
    "SlowDown",
    "ThrottlingException",
    "Throttling",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "InternalServerError",
];

/// Tells a failed call by what its caller can do about it.
pub(super) fn store_error<E>(error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let boxed: Box<dyn Error + Send + Sync> = Box::new(error);
    match (status, code.as_str()) {
        (_, code) if UNREADABLE.contains(&code) => StoreError::Unreadable(boxed),
        (_, code) if PASSING.contains(&code) => StoreError::Unavailable(boxed),
        // A version that is a delete marker answers 405.
        (Some(404 | 405), _) => StoreError::NotFound,
        (Some(409 | 412), _) | (_, "ConditionalCheckFailedException") => StoreError::PreconditionFailed,
        (Some(401 | 403), _) | (_, "AccessDeniedException" | "AuthorizationError") => StoreError::Denied(boxed),
        (None | Some(429 | 500..), _) => StoreError::Unavailable(boxed),
        _ => StoreError::Unexpected(boxed),
    }
}

/// An answer that makes no sense, in words.
pub(super) fn unexpected(message: impl Into<String>) -> StoreError {
    StoreError::Unexpected(message.into().into())
}
