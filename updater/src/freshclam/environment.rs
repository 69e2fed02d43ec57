//! The environment of freshclam: what it needs, and none of ours, which has credentials.

use std::path::Path;

/// The variables that are passed on as they are.
const PASSED: [&str; 9] =
    ["PATH", "LANG", "TZ", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"];

/// Where systems keep the certificates that they trust: Debian, Amazon Linux, others.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The environment of freshclam, from our own by `variable` and of the system by `is_file`.
///
/// The package's freshclam is Debian's, whose certificates are not where Amazon Linux has them: `CURL_CA_BUNDLE` names them.
pub fn environment(
    variable: impl Fn(&str) -> Option<String>,
    is_file: impl Fn(&Path) -> bool,
) -> Vec<(String, String)> {
    let found = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut environment: Vec<_> = PASSED.iter().filter_map(|name| Some(((*name).to_owned(), found(name)?))).collect();
    // curl reads these in lower case alone; our own client reads both.
    for (upper, lower) in [("HTTP_PROXY", "http_proxy"), ("NO_PROXY", "no_proxy")] {
        if let (None, Some(value)) = (found(lower), found(upper)) {
            environment.push((lower.to_owned(), value));
        }
    }
    let bundle = || BUNDLES.iter().find(|bundle| is_file(Path::new(bundle))).map(|bundle| (*bundle).to_owned());
    let bundle = found("CURL_CA_BUNDLE").or_else(|| found("SSL_CERT_FILE")).or_else(bundle);
    environment.extend(bundle.map(|bundle| ("CURL_CA_BUNDLE".to_owned(), bundle)));
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ours: &[(&str, &str)], there: &str) -> Vec<String> {
        let variable = |name: &str| ours.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let environment = environment(variable, |path| path == Path::new(there));
        environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn no_credentials_and_no_libraries_pass() {
        let ours = [
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "secret"),
            ("LD_PRELOAD", "/tmp/evil.so"),
            ("CVD_CERTS_DIR", "/tmp/evil"),
            ("PATH", "/usr/bin"),
            ("TZ", ":UTC"),
            ("LANG", ""),
        ];
        assert_eq!(of(&ours, ""), ["PATH=/usr/bin", "TZ=:UTC"]);
    }

    #[test]
    fn proxies_pass_under_the_names_that_curl_reads() {
        let ours = [("HTTP_PROXY", "http://a"), ("HTTPS_PROXY", "http://b"), ("NO_PROXY", "c")];
        assert_eq!(of(&ours, ""), ["HTTPS_PROXY=http://b", "http_proxy=http://a", "no_proxy=c"]);
        assert_eq!(of(&[("HTTP_PROXY", "http://a"), ("http_proxy", "http://b")], ""), ["http_proxy=http://b"]);
    }

    #[test]
    fn certificates_are_the_operators_or_the_systems() {
        let bundle = "/etc/pki/tls/certs/ca-bundle.crt";
        assert_eq!(of(&[], bundle), [format!("CURL_CA_BUNDLE={bundle}")]);
        assert_eq!(of(&[("SSL_CERT_FILE", "/own.pem")], bundle), ["CURL_CA_BUNDLE=/own.pem"]);
        assert_eq!(
            of(&[("SSL_CERT_FILE", "/own.pem"), ("CURL_CA_BUNDLE", "/x.pem")], bundle),
            ["CURL_CA_BUNDLE=/x.pem"]
        );
    }
}
