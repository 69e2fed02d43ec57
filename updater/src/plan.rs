//! Decides how to bring one database up to date. Pure: no clock, no network, no logging.

use nacre_shared::definitions::database::DatabaseVersion;

/// What the updater must do next for one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdatePlan {
    /// The published version is the newest.
    UpToDate,
    /// Download the whole CVD.
    FetchCvd,
    /// The mirror is behind us: keep what we have.
    Hold {
        /// What the mirror advertises.
        advertised: DatabaseVersion,
        /// What is published.
        published: DatabaseVersion,
    },
}

/// Chooses a plan from the published and the advertised version.
pub fn plan_update(published: Option<DatabaseVersion>, advertised: DatabaseVersion) -> UpdatePlan {
    match published {
        None => UpdatePlan::FetchCvd,
        Some(published) if advertised > published => UpdatePlan::FetchCvd,
        Some(published) if advertised < published => UpdatePlan::Hold { advertised, published },
        Some(_) => UpdatePlan::UpToDate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_mirror_never_rolls_us_back() {
        let (advertised, published) = (DatabaseVersion(41), DatabaseVersion(42));
        assert_eq!(plan_update(Some(published), advertised), UpdatePlan::Hold { advertised, published });
    }

    #[test]
    fn only_what_is_new_is_fetched() {
        assert_eq!(plan_update(None, DatabaseVersion(1)), UpdatePlan::FetchCvd);
        assert_eq!(plan_update(Some(DatabaseVersion(1)), DatabaseVersion(2)), UpdatePlan::FetchCvd);
        assert_eq!(plan_update(Some(DatabaseVersion(2)), DatabaseVersion(2)), UpdatePlan::UpToDate);
    }
}
