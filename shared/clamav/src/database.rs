//! Names and numbers of databases.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a database: `main`, `daily`, `bytecode`, or a custom one.
///
/// 1 to 32 ASCII letters, digits, `-` and `_`, so that it is safe in a path, a URL and a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

/// An invalid database name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a database name is 1 to 32 letters, digits, - and _, not {0:?}")]
pub struct InvalidDatabaseName(String);

impl DatabaseName {
    /// Accepts a name.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidDatabaseName> {
        let name = name.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=32).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err(InvalidDatabaseName(name))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = InvalidDatabaseName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The version of a database; grows by one with each release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseVersion(pub u32);

/// ClamAV's functionality level: what an engine knows how to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FunctionalityLevel(pub u32);

/// How a database is packed and what vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerKind {
    /// As its makers released it: signed as a whole, and again by `.info`.
    Cvd,
    /// Updated by CDIFFs: signed by `.info` only.
    Cld,
    /// Built without signatures.
    Cud,
}

impl ContainerKind {
    /// The file extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Cvd => "cvd",
            Self::Cld => "cld",
            Self::Cud => "cud",
        }
    }

    /// The kind by a file's name; `None` for other files.
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        [Self::Cvd, Self::Cld, Self::Cud].into_iter().find(|kind| kind.extension() == extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for wrong in ["", "..", "a/b", "a.b", "a b", "€", &"a".repeat(33)] {
            assert!(DatabaseName::new(wrong).is_err(), "{wrong}");
            assert!(serde_json::from_value::<DatabaseName>(wrong.into()).is_err(), "{wrong}");
        }
        for right in ["main", "daily", "bytecode", "my-own_2"] {
            assert_eq!(DatabaseName::new(right).unwrap().as_str(), right);
        }
    }
}
