//! Who is let in: requests to this address, with the token, that only read. Pure.

use std::fmt;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Page,
    Live,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is meant for another host.
    Host,
    /// There is nothing, or the token is wrong: both look the same.
    Absent,
    /// It would change something.
    Method,
}

/// The address that is served, and the token that it needs.
pub(super) struct Gate {
    port: u16,
    token: String,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Gate {
    /// With a token of 122 random bits.
    pub(super) fn new(port: u16) -> Self {
        Self { port, token: uuid::Uuid::new_v4().simple().to_string() }
    }

    /// The address of the page.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// What is wanted of a request: its hosts are all that it names.
    ///
    /// Attacks: a page of another site whose name comes to mean 127.0.0.1 (DNS rebinding) sends that name as host; another user of this
    /// machine does not have the token; a form of another site posts.
    pub(super) fn admit<'h>(
        &self,
        method: &str,
        hosts: impl IntoIterator<Item = &'h str>,
        path: &str,
    ) -> Result<Wanted, Refused> {
        let ours = format!("127.0.0.1:{}", self.port);
        let mut hosts = hosts.into_iter().peekable();
        if hosts.peek().is_none() || hosts.any(|host| host != ours) {
            return Err(Refused::Host);
        }
        let (token, rest) = path.strip_prefix('/').and_then(|path| path.split_once('/')).ok_or(Refused::Absent)?;
        if !is_same(token, &self.token) {
            return Err(Refused::Absent);
        }
        let wanted = match rest {
            "" => Wanted::Page,
            "live.json" => Wanted::Live,
            _ => return Err(Refused::Absent),
        };
        if method == "GET" || method == "HEAD" { Ok(wanted) } else { Err(Refused::Method) }
    }
}

/// Whether two texts are the same, in a time that does not say how far they are.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_reading_with_token_and_host_is_let_in() {
        let gate = Gate::new(8080);
        let path = |rest: &str| format!("/{}/{rest}", gate.token);
        let ask = |method: &str, host: &str, path: &str| gate.admit(method, [host], path);
        let ours = "127.0.0.1:8080";
        assert_eq!(ask("GET", ours, &path("")), Ok(Wanted::Page));
        assert_eq!(ask("HEAD", ours, &path("live.json")), Ok(Wanted::Live));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", ""] {
            assert_eq!(ask(method, ours, &path("")), Err(Refused::Method), "{method}");
        }
        for host in ["evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:80", "localhost:8080", ""] {
            assert_eq!(ask("GET", host, &path("")), Err(Refused::Host), "{host}");
        }
        assert_eq!(gate.admit("GET", [], &path("")), Err(Refused::Host));
        assert_eq!(gate.admit("GET", [ours, "evil.example"], &path("")), Err(Refused::Host));
        for other in ["/", "//", "/live.json", &path("../"), &path("x"), &path("").to_uppercase(), &path("")[..33]] {
            assert_eq!(ask("GET", ours, other), Err(Refused::Absent), "{other}");
        }
        assert_eq!(gate.url(), format!("http://127.0.0.1:8080{}", path("")));
        assert_ne!(gate.token, Gate::new(8080).token);
    }

    proptest! {
        #[test]
        fn no_other_path_has_anything(path: String) {
            prop_assert_eq!(Gate::new(1).admit("GET", ["127.0.0.1:1"], &path), Err(Refused::Absent));
        }
    }
}
