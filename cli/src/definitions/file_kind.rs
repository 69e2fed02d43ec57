//! What a file's name says: the content of a database alone does not show its format.

use nacre_clamav::database::{ContainerKind, DatabaseName, DatabaseVersion, InvalidDatabaseName};

/// What a file is, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Container(ContainerKind),
    Cdiff,
    Other,
}

impl FileKind {
    pub(super) fn of(file_name: &str) -> Self {
        match ContainerKind::of_file(file_name) {
            Some(kind) => Self::Container(kind),
            None if extension(file_name) == "cdiff" => Self::Cdiff,
            None => Self::Other,
        }
    }
}

/// What follows the last dot; empty when there is none.
pub(super) fn extension(file_name: &str) -> &str {
    file_name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default()
}

/// The database that a file belongs to: its name up to the first `-` or `.`, as libclamav takes it.
pub(super) fn database_of(file_name: &str) -> Result<DatabaseName, InvalidDatabaseName> {
    DatabaseName::new(file_name.split(['-', '.']).next().unwrap_or_default())
}

/// The version that a CDIFF leads to, by its name `<database>-<version>.cdiff`.
pub(super) fn version_of_cdiff(file_name: &str) -> Option<DatabaseVersion> {
    let (_, version) = file_name.strip_suffix(".cdiff")?.split_once('-')?;
    let digits = version.bytes().all(|byte| byte.is_ascii_digit());
    Some(DatabaseVersion(version.parse().ok().filter(|_| digits)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_has_kind_database_and_version() {
        assert_eq!(FileKind::of("daily.cvd"), FileKind::Container(ContainerKind::Cvd));
        assert_eq!(FileKind::of("daily-3.cdiff"), FileKind::Cdiff);
        assert_eq!(["daily.ndb", "cvd", ".sign", ""].map(FileKind::of), [FileKind::Other; 4]);
        assert_eq!(database_of("daily-27780.cvd").unwrap().as_str(), "daily");
        assert!(database_of(".cvd").is_err());
        assert_eq!(version_of_cdiff("daily-3.cdiff"), Some(DatabaseVersion(3)));
        assert_eq!(["daily.cdiff", "daily-.cdiff", "daily-+3.cdiff", "daily-3.cvd"].map(version_of_cdiff), [None; 4]);
    }
}
