//! What an operator can do about a call to AWS that says nothing of the command: the credentials, the region, the network. Decided
//! in one place, for every command.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ConnectorError, ErrorMetadata};

/// The sentence for an error, and its remedy; `None` where the error is the command's own to explain.
pub(crate) fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let (mut cause, mut found) = (Some(error), None);
    while let Some(error) = cause {
        // The innermost says the most: credentials that are missing surface as a connection that failed.
        found = of_layer(error).or(found);
        cause = error.source();
    }
    found
}

/// What an error says before the SDK's part of it: what was done, and to what.
pub(crate) fn before_sdk(error: &(dyn Error + 'static)) -> String {
    let (mut cause, mut layers) = (Some(error), Vec::new());
    while let Some(error) = cause {
        let layer = error.to_string();
        if SDK_LAYERS.contains(&layer.as_str()) {
            break;
        }
        layers.push(layer);
        cause = error.source();
    }
    layers.join(": ")
}

/// What `SdkError` is displayed as; its type has two parameters, so that it cannot be recognized by it.
const SDK_LAYERS: [&str; 5] =
    ["dispatch failure", "service error", "request has timed out", "failed to construct request", "response error"];

/// By types and codes, never by what a message says: a refusal names the object, whose key its uploader chose.
fn of_layer(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref::<CredentialsError>() {
        return Some(of_credentials(error));
    }
    if let Some(error) = error.downcast_ref::<ConnectorError>() {
        if error.is_io() || error.is_timeout() {
            return Some(UNREACHABLE);
        }
        // What the SDK says before it sends anything; it has no type of its own that is public.
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let no_region = cause.contains("Missing Region") || cause.starts_with("A region must be set");
        return no_region.then_some(NO_REGION);
    }
    error.downcast_ref::<ErrorMetadata>().and_then(ErrorMetadata::code).and_then(of_code)
}

const UNREACHABLE: &str = "AWS cannot be reached: check the network, proxies, AWS_REGION and AWS_ENDPOINT_URL";

const NO_REGION: &str = "no AWS region is set: set AWS_REGION, or `region` in the profile";

const NO_CREDENTIALS: &str =
    "there are no AWS credentials: sign in (`aws sso login`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID";

const EXPIRED: &str = "the AWS credentials have expired: sign in again (`aws sso login`), or set new ones";

fn of_credentials(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => NO_CREDENTIALS,
        CredentialsError::ProviderTimedOut(_) => {
            "the source of AWS credentials does not respond: check AWS_PROFILE, and the network if it is a service"
        }
        CredentialsError::InvalidConfiguration(_) => {
            "the AWS configuration is not valid: check AWS_PROFILE and ~/.aws/config"
        }
        _ => "the AWS credentials cannot be read: sign in again (`aws sso login`), or check AWS_PROFILE",
    }
}

/// Codes that mean the same with every service.
fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => EXPIRED,
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" | "InvalidToken" => {
            "AWS does not know these credentials: check AWS_PROFILE and AWS_ACCESS_KEY_ID, and that the region is \
             enabled in the account"
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => {
            "AWS does not accept the signature: check AWS_SECRET_ACCESS_KEY, and this machine's clock"
        }
        "RequestTimeTooSkewed" | "RequestInTheFuture" => "this machine's clock is wrong: set it, then run this again",
        "OptInRequired" | "SubscriptionRequiredException" => {
            "the account may not use this service or region: enable it, or set another AWS_REGION"
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket is in another region than the one that is set: set AWS_REGION to the bucket's"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        config::http::HttpResponse, error::SdkError, operation::get_object::GetObjectError, primitives::SdkBody,
    };
    use nacre_core::port::{Call, StoreError};

    use super::*;

    type Failure = SdkError<GetObjectError, HttpResponse>;

    fn stored(failure: Failure) -> StoreError {
        StoreError::Unavailable(Call::new("GetObject", "s3://bucket/key"), failure.into())
    }

    fn refused(code: &str, message: &str) -> StoreError {
        let metadata = ErrorMetadata::builder().code(code).message(message).build();
        let response = HttpResponse::new(403.try_into().unwrap(), SdkBody::empty());
        stored(SdkError::service_error(GetObjectError::generic(metadata), response))
    }

    #[test]
    fn what_is_wrong_with_the_environment_is_found_beneath_every_layer() {
        for (code, expected) in [
            ("ExpiredToken", "have expired"),
            ("InvalidClientTokenId", "does not know these credentials"),
            ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            ("RequestTimeTooSkewed", "clock is wrong"),
            ("PermanentRedirect", "another region"),
        ] {
            let found = remedy(&refused(code, "")).unwrap_or_default();
            assert!(found.contains(expected), "{code}: {found}");
        }
        let io = |error: ConnectorError| stored(SdkError::dispatch_failure(error));
        assert_eq!(remedy(&io(ConnectorError::io("refused".into()))), Some(UNREACHABLE));
        assert_eq!(remedy(&io(ConnectorError::timeout("slow".into()))), Some(UNREACHABLE));
        let unsent = "A region must be set when sending requests to S3.";
        assert_eq!(remedy(&io(ConnectorError::other(unsent.into(), None))), Some(NO_REGION));
        let missing = CredentialsError::not_loaded("nothing");
        assert_eq!(remedy(&io(ConnectorError::other(missing.into(), None))), Some(NO_CREDENTIALS));
    }

    #[test]
    fn what_was_done_is_said_without_the_sdks_words() {
        assert_eq!(before_sdk(&refused("ExpiredToken", "x")), "GetObject of s3://bucket/key: service unavailable");
        let unsent = stored(SdkError::dispatch_failure(ConnectorError::io("refused".into())));
        assert_eq!(before_sdk(&unsent), "GetObject of s3://bucket/key: service unavailable");
    }

    #[test]
    fn what_a_key_says_decides_nothing() {
        let error = refused("AccessDenied", "not authorized on resource: \"arn:aws:s3:::b/ExpiredToken InvalidToken\"");
        assert_eq!(remedy(&error), None);
    }
}
