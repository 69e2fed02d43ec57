//! Why a GET returned nothing, by what can be done about it.

use std::{error::Error, io, time::Duration};

use reqwest::{
    StatusCode, Url,
    header::{DATE, HeaderMap, RETRY_AFTER},
};

use super::text;
use nacre_core::http_answer::retry_after;

/// Shortest part of a path that is taken for a token.
const MIN_TOKEN_BYTES: usize = 32;

/// Why a GET returned nothing. Addresses in it are [`redacted`].
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no such file: 404 or 410.
    #[error("{url} does not exist")]
    Missing {
        /// The requested URL.
        url: String,
    },
    /// The server does not want to be asked by us, or not so often: 403 or 429. Asking on makes it worse.
    #[error("{url} answered {status}: we are to leave it alone")]
    CoolDown {
        /// The requested URL.
        url: String,
        /// The response's status.
        status: StatusCode,
        /// For how long, where it said so; at most 7 days.
        retry_after: Option<Duration>,
    },
    /// A response other than the file.
    #[error("{url} answered {status}")]
    Status {
        /// The requested URL.
        url: String,
        /// The response's status.
        status: StatusCode,
    },
    /// No response: no connection, a certificate that is not trusted, too many redirects, an invalid address.
    #[error("{url} did not answer")]
    Connection {
        /// The requested URL.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The body ended before it was complete.
    #[error("{url} broke off after {got} of {expected} bytes")]
    Truncated {
        /// The requested URL.
        url: String,
        /// How many bytes should have come.
        expected: u64,
        /// How many came; 0 when they were of another part of the file.
        got: u64,
    },
    /// There is more than is taken.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// The requested URL.
        url: String,
        /// How many bytes are taken.
        limit: usize,
    },
    /// The server keeps silent, or sends at a pace that would hold us for ever.
    #[error("{url} is too slow")]
    TooSlow {
        /// The requested URL.
        url: String,
    },
}

impl HttpError {
    /// Whether the same GET may well succeed a moment later.
    ///
    /// So for broken connections, cut or slow bodies, 408 and any 5xx; not for a certificate that is not trusted, nor for redirects.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Truncated { .. } | Self::TooSlow { .. } => true,
            Self::Connection { source, .. } => {
                !(source.is_builder() || source.is_redirect() || is_bad_certificate(source))
            }
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            Self::Missing { .. } | Self::CoolDown { .. } | Self::TooLarge { .. } => false,
        }
    }

    /// The error of a response without a file.
    pub(super) fn of_status(url: &str, status: StatusCode, headers: &HeaderMap) -> Self {
        let url = redacted(url);
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Missing { url },
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Self::CoolDown {
                url,
                status,
                retry_after: text(headers, RETRY_AFTER).and_then(|value| retry_after(value, text(headers, DATE))),
            },
            _ => Self::Status { url, status },
        }
    }

    /// The error of a request without a response.
    pub(super) fn connection(url: &str, source: reqwest::Error) -> Self {
        Self::Connection { url: redacted(url), source: source.without_url() }
    }

    /// A body that did not come to its end.
    pub(super) fn broken_body(url: &str, source: reqwest::Error, expected: Option<u64>, got: u64) -> Self {
        match expected {
            Some(expected) if is_early_end(&source) => Self::Truncated { url: redacted(url), expected, got },
            _ => Self::connection(url, source),
        }
    }
}

/// The address without its secrets: user and password, query, fragment, and any part of the path that looks like a token (32 or
/// more letters, digits, `-` and `_`), since some sellers of signatures put it there.
pub fn redacted(url: &str) -> String {
    // Of an address without a host it is unknown what in it is secret.
    let Some(url) = Url::parse(url).ok().filter(|url| url.scheme() == "https" || url.scheme() == "http") else {
        return "an address that is none".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().split('/').map(|part| if is_token(part) { "***" } else { part });
    format!("{}://{host}{port}{}", url.scheme(), path.collect::<Vec<_>>().join("/"))
}

fn is_token(part: &str) -> bool {
    part.len() >= MIN_TOKEN_BYTES
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether the other side's certificate is the trouble: expired, for another name, or by an authority that is not trusted.
fn is_bad_certificate(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

/// Whether the connection was closed in good order but too early, which hyper reports as an unexpected end of file.
fn is_early_end(error: &(dyn Error + 'static)) -> bool {
    let mut ends = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    ends.any(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
}

/// An error and everything beneath it. An [`io::Error`] that wraps another shows it as itself, so its source is examined.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
        Some(Some(wrapped)) => Some(wrapped as &(dyn Error + 'static)),
        _ => error.source(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (address, shown) in [
            ("https://database.clamav.net/daily.cvd", "https://database.clamav.net/daily.cvd"),
            ("https://me:secret@mirror:8443/a/daily.cvd?token=secret#secret", "https://mirror:8443/a/daily.cvd"),
            ("http://[::1]:80/daily-27780.cdiff", "http://[::1]/daily-27780.cdiff"),
            (
                "https://seller/get/signatures/0123456789abcdef0123456789abcdef/a.hdb",
                "https://seller/get/signatures/***/a.hdb",
            ),
            ("me:secret@mirror/daily.cvd", "an address that is none"),
            ("secret", "an address that is none"),
        ] {
            assert_eq!(redacted(address), shown);
        }
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        let status = |code: u16| {
            let status = StatusCode::from_u16(code).unwrap();
            HttpError::of_status("http://mirror/daily.cvd", status, &HeaderMap::new())
        };
        for code in [408, 500, 502, 503, 504, 522] {
            assert!(status(code).is_transient(), "{code}");
        }
        for code in [206, 301, 304, 400, 401, 403, 404, 407, 410, 416, 429] {
            assert!(!status(code).is_transient(), "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_address_panics_and_none_shows_its_query(path in "\\PC{0,40}", secret in "[a-z]{12}") {
            let shown = redacted(&format!("https://u:{secret}@mirror/{path}?k={secret}"));
            prop_assert!(!shown.contains(&secret), "{}", shown);
            redacted(&path);
        }
    }
}
