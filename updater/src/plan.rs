//! Decides how to update one database. Pure: no clock, no network, no logging.
//!
//! Source: clamav.md §4.3, after libfreshclam `updatedb`.

use nacre_clamav::database::DatabaseVersion;

/// Longest chain of CDIFFs: mirrors keep about 90 days of them, and past that one CVD costs less.
pub const MAX_CDIFFS: u32 = 90;

/// What the updater must do next for one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: what we have is the newest, or the newest that is to be had.
    Keep(KeepReason),
    /// Get the CDIFF that leads to this version, and apply it.
    Cdiff(DatabaseVersion),
    /// Download the whole CVD.
    FullDownload(FullDownloadReason),
    /// Stop: it is unknown what the mirror has.
    Fail,
}

/// Why there is nothing more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// It is the newest version.
    Newest,
    /// The mirrors serve an older one: a stale mirror never rolls us back.
    Stale {
        /// What they serve.
        served: DatabaseVersion,
    },
    /// A newer one is announced, and the mirrors have not got it yet.
    Announced {
        /// What is announced.
        advertised: DatabaseVersion,
    },
}

/// Why a database is downloaded as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullDownloadReason {
    /// We have none.
    First,
    /// More than [`MAX_CDIFFS`] versions are missing.
    FarBehind,
    /// The first CDIFF is not there, and more than one version is missing, or waiting for it is over.
    Gap,
    /// The mirror requires it by an empty CDIFF.
    Asked,
    /// A CDIFF does not verify or does not fit.
    Unusable,
}

/// What came of one CDIFF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdiffOutcome {
    /// It was applied.
    Applied,
    /// No mirror has it.
    Missing,
    /// It has no bytes.
    Empty,
    /// It does not verify or does not fit.
    Unusable,
    /// No mirror could be asked.
    Unreachable,
}

/// How far a database has been updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The version that is published.
    pub published: DatabaseVersion,
    /// The version that we have come to.
    pub reached: DatabaseVersion,
    /// The version that is announced.
    pub advertised: DatabaseVersion,
    /// Whether a whole CVD was taken in this run: one is enough.
    pub whole_taken: bool,
    /// Whether the run waits for a CDIFF that is not there yet. Not on private mirrors, which may have none at all, and
    /// not for ever.
    pub wait_for_cdiff: bool,
}

/// The first step, from the published and the advertised version.
pub fn first_step(published: Option<DatabaseVersion>, advertised: DatabaseVersion) -> Step {
    let Some(published) = published else { return Step::FullDownload(FullDownloadReason::First) };
    match advertised.0.checked_sub(published.0) {
        None => Step::Keep(KeepReason::Stale { served: advertised }),
        Some(0) => Step::Keep(KeepReason::Newest),
        Some(1..=MAX_CDIFFS) => Step::Cdiff(next(published)),
        Some(_) => Step::FullDownload(FullDownloadReason::FarBehind),
    }
}

/// The step after a CDIFF; `progress.reached` counts it when it was applied.
///
/// Off-spec: freshclam downloads the whole CVD also when the first CDIFF could not be requested. A connection that failed
/// says nothing about what the mirror has, and the CVD would come over the same connection.
pub fn after_cdiff(progress: Progress, outcome: CdiffOutcome) -> Step {
    let Progress { published, reached, advertised, whole_taken, wait_for_cdiff } = progress;
    let announced = Step::Keep(KeepReason::Announced { advertised });
    match outcome {
        CdiffOutcome::Applied if reached >= advertised => Step::Keep(KeepReason::Newest),
        CdiffOutcome::Applied => Step::Cdiff(next(reached)),
        _ if whole_taken => announced,
        CdiffOutcome::Empty => Step::FullDownload(FullDownloadReason::Asked),
        CdiffOutcome::Unusable => Step::FullDownload(FullDownloadReason::Unusable),
        // What the mirror gave is kept.
        CdiffOutcome::Missing | CdiffOutcome::Unreachable if reached > published => announced,
        // A mirror one version behind the announcement will have it in a few hours.
        CdiffOutcome::Missing if wait_for_cdiff && advertised.0.saturating_sub(reached.0) < 2 => announced,
        CdiffOutcome::Missing => Step::FullDownload(FullDownloadReason::Gap),
        CdiffOutcome::Unreachable => Step::Fail,
    }
}

/// The step after a whole CVD of version `served` was taken; `reached` is the version that we had before it.
pub fn after_full_download(
    reached: Option<DatabaseVersion>,
    served: DatabaseVersion,
    advertised: DatabaseVersion,
    reason: FullDownloadReason,
) -> Step {
    if reached.is_some_and(|reached| served <= reached) {
        return Step::Keep(KeepReason::Stale { served });
    }
    match (reason, advertised.0.saturating_sub(served.0)) {
        (_, 0) => Step::Keep(KeepReason::Newest),
        (FullDownloadReason::First | FullDownloadReason::FarBehind, 1..=MAX_CDIFFS) => Step::Cdiff(next(served)),
        // CDIFFs led here; they are not tried again in the same run, which could go on for ever.
        _ => Step::Keep(KeepReason::Announced { advertised }),
    }
}

fn next(version: DatabaseVersion) -> DatabaseVersion {
    DatabaseVersion(version.0.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn version(number: u32) -> DatabaseVersion {
        DatabaseVersion(number)
    }

    fn progress(published: u32, reached: u32, advertised: u32) -> Progress {
        let (published, reached, advertised) = (version(published), version(reached), version(advertised));
        Progress { published, reached, advertised, whole_taken: false, wait_for_cdiff: true }
    }

    #[test]
    fn a_stale_mirror_never_rolls_us_back() {
        let stale = Step::Keep(KeepReason::Stale { served: version(41) });
        assert_eq!(first_step(Some(version(42)), version(41)), stale);
        assert_eq!(after_full_download(Some(version(42)), version(41), version(50), FullDownloadReason::Gap), stale);
        let same = after_full_download(Some(version(42)), version(42), version(50), FullDownloadReason::Gap);
        assert_eq!(same, Step::Keep(KeepReason::Stale { served: version(42) }));
    }

    #[test]
    fn only_what_is_new_is_fetched() {
        assert_eq!(first_step(None, version(1)), Step::FullDownload(FullDownloadReason::First));
        assert_eq!(first_step(Some(version(1)), version(2)), Step::Cdiff(version(2)));
        assert_eq!(first_step(Some(version(2)), version(2)), Step::Keep(KeepReason::Newest));
        assert_eq!(first_step(Some(version(1)), version(91)), Step::Cdiff(version(2)));
        assert_eq!(first_step(Some(version(1)), version(92)), Step::FullDownload(FullDownloadReason::FarBehind));
    }

    #[test]
    fn what_a_partial_chain_gave_is_kept() {
        let announced = Step::Keep(KeepReason::Announced { advertised: version(6) });
        for outcome in [CdiffOutcome::Missing, CdiffOutcome::Unreachable] {
            assert_eq!(after_cdiff(progress(3, 5, 6), outcome), announced);
            assert_eq!(after_cdiff(progress(3, 4, 6), outcome), announced);
        }
    }

    #[test]
    fn a_mirror_one_behind_is_waited_for_and_one_two_behind_is_not() {
        assert_eq!(
            after_cdiff(progress(5, 5, 6), CdiffOutcome::Missing),
            Step::Keep(KeepReason::Announced { advertised: version(6) })
        );
        assert_eq!(after_cdiff(progress(4, 4, 6), CdiffOutcome::Missing), Step::FullDownload(FullDownloadReason::Gap));
        let not_waiting = Progress { wait_for_cdiff: false, ..progress(5, 5, 6) };
        assert_eq!(after_cdiff(not_waiting, CdiffOutcome::Missing), Step::FullDownload(FullDownloadReason::Gap));
    }

    #[test]
    fn a_failed_connection_is_not_taken_for_a_missing_file() {
        assert_eq!(after_cdiff(progress(4, 4, 6), CdiffOutcome::Unreachable), Step::Fail);
    }

    #[test]
    fn a_cvd_behind_the_announcement_is_patched_on_unless_patches_led_to_it() {
        assert_eq!(
            after_full_download(None, version(5), version(6), FullDownloadReason::First),
            Step::Cdiff(version(6))
        );
        for why in [FullDownloadReason::Asked, FullDownloadReason::Gap, FullDownloadReason::Unusable] {
            let announced = Step::Keep(KeepReason::Announced { advertised: version(6) });
            assert_eq!(after_full_download(Some(version(2)), version(5), version(6), why), announced);
        }
    }

    fn outcome() -> impl Strategy<Value = CdiffOutcome> {
        use CdiffOutcome::{Applied, Empty, Missing, Unreachable, Unusable};
        prop_oneof![6 => Just(Applied), 1 => Just(Missing), 1 => Just(Empty), 1 => Just(Unusable), 1 => Just(Unreachable)]
    }

    proptest! {
        /// Whatever mirrors respond, a run ends, downloads at most one CVD, and never ends at an older version than it started with.
        #[test]
        fn every_run_ends_and_never_lower(
            published in prop::option::of(1_u32..200), advertised in 0_u32..300,
            served in 0_u32..300, wait_for_cdiff: bool, outcomes in prop::collection::vec(outcome(), 400),
        ) {
            let (mut reached, mut wholes, mut outcomes) = (published.map(version), 0, outcomes.into_iter());
            let mut step = first_step(reached, version(advertised));
            let mut steps = 0;
            loop {
                steps += 1;
                prop_assert!(steps < 300, "the run goes on and on");
                step = match step {
                    Step::Keep(_) | Step::Fail => break,
                    Step::FullDownload(why) => {
                        wholes += 1;
                        let before = reached;
                        if before.is_none_or(|before| version(served) > before) {
                            reached = Some(version(served));
                        }
                        after_full_download(before, version(served), version(advertised), why)
                    }
                    Step::Cdiff(target) => {
                        let outcome = outcomes.next().unwrap();
                        let from = reached.unwrap();
                        prop_assert_eq!(target.0, from.0 + 1, "CDIFFs come in order");
                        if outcome == CdiffOutcome::Applied {
                            reached = Some(target);
                        }
                        let published = published.map_or(from, version);
                        let (reached, advertised) = (reached.unwrap(), version(advertised));
                        after_cdiff(Progress { published, reached, advertised, whole_taken: wholes > 0, wait_for_cdiff }, outcome)
                    }
                };
            }
            prop_assert!(wholes <= 1, "{wholes}");
            prop_assert!(published.is_none_or(|published| reached.unwrap().0 >= published));
        }
    }
}
