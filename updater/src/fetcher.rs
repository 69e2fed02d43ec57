//! Which program fetches the databases. Pure.

use nacre_clamav::database::DatabaseName;

use crate::{freshclam, mirror::Mirror};

/// The program that fetches databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetcher {
    /// A stock freshclam, which ClamAV's own network serves.
    Freshclam,
    /// Our own client.
    Native,
}

/// What `NACRE_FETCHER` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// freshclam for ClamAV's own network, our own client for everything else.
    Auto,
    /// This one.
    Always(Fetcher),
}

impl Choice {
    /// Reads the setting.
    ///
    /// # Errors
    /// The valid values.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "auto" => Ok(Self::Auto),
            "freshclam" => Ok(Self::Always(Fetcher::Freshclam)),
            "native" => Ok(Self::Always(Fetcher::Native)),
            _ => Err("auto, freshclam or native"),
        }
    }

    /// The fetcher of these databases from these mirrors.
    ///
    /// # Errors
    /// What freshclam cannot do, and the remedy.
    pub fn fetcher(self, mirrors: &[Mirror], private: bool, databases: &[DatabaseName]) -> Result<Fetcher, String> {
        let fetcher = match self {
            Self::Always(fetcher) => fetcher,
            Self::Auto if !private && mirrors.iter().all(Mirror::is_clamav) => Fetcher::Freshclam,
            Self::Auto => Fetcher::Native,
        };
        if fetcher == Fetcher::Native {
            return Ok(fetcher);
        }
        if mirrors.iter().any(|mirror| matches!(mirror, Mirror::Bucket(_))) {
            return Err("native, since freshclam does not read s3:// mirrors".to_owned());
        }
        if private && mirrors.iter().any(Mirror::is_clamav) {
            return Err(
                "native, or unset NACRE_PRIVATE_MIRROR: ClamAV's own mirrors are not private to freshclam".into()
            );
        }
        match databases.iter().find(|name| !freshclam::is_known(name)) {
            Some(name) => Err(format!("native, since freshclam knows no database of the name {name}")),
            None => Ok(fetcher),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(addresses: &[&str]) -> Vec<Mirror> {
        addresses.iter().map(|address| Mirror::Http((*address).to_owned())).collect()
    }

    fn names(names: &[&str]) -> Vec<DatabaseName> {
        names.iter().map(|name| DatabaseName::new(*name).unwrap()).collect()
    }

    #[test]
    fn clamavs_network_is_freshclams_and_everything_else_ours() {
        let standard = names(&["bytecode", "daily", "main"]);
        let auto = |mirrors: &[Mirror], private| Choice::Auto.fetcher(mirrors, private, &standard);
        assert_eq!(auto(&http(&["https://database.clamav.net"]), false), Ok(Fetcher::Freshclam));
        assert_eq!(
            auto(&http(&["https://db.local.clamav.net", "https://database.clamav.net"]), false),
            Ok(Fetcher::Freshclam)
        );
        let mixed = http(&["https://mirror.example", "https://database.clamav.net"]);
        for (mirrors, private) in [
            (http(&["https://mirror.example"]), false),
            (http(&["https://mirror.example"]), true),
            (http(&["http://127.0.0.1:8000"]), false),
            (mixed, false),
            (vec![Mirror::Bucket("mirror".into())], false),
        ] {
            assert_eq!(auto(&mirrors, private), Ok(Fetcher::Native), "{mirrors:?}");
        }
    }

    #[test]
    fn what_freshclam_cannot_do_is_refused_at_the_start() {
        let choice = Choice::parse("freshclam").unwrap();
        let refused = |mirrors: &[Mirror], private, databases: &[&str]| {
            choice.fetcher(mirrors, private, &names(databases)).unwrap_err()
        };
        let (clamav, other) = (http(&["https://database.clamav.net"]), http(&["http://mirror"]));
        assert!(refused(&[Mirror::Bucket("mirror".into())], false, &["main"]).contains("s3://"));
        assert!(refused(&clamav, true, &["main"]).contains("NACRE_PRIVATE_MIRROR"));
        assert!(refused(&other, false, &["main", "ours"]).contains("ours"));
        assert_eq!(choice.fetcher(&other, true, &names(&["main", "test"])), Ok(Fetcher::Freshclam));
        assert!(Choice::parse("curl").is_err());
    }
}
