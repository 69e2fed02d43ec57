//! The log line of one scanned object.

use lambda_runtime::tracing;
use nacre_core::{event::ScanRequest, telemetry::Metric, verdict::Verdict};

use crate::scan::Outcome;

/// Logs an outcome and returns the metrics that it counts for.
pub(crate) fn log_outcome(request: &ScanRequest, outcome: &Outcome) -> &'static [Metric] {
    let object = &request.object;
    macro_rules! log {
        ($level:ident, $verdict:expr, $message:literal) => {
            tracing::$level!(
                s3.bucket = object.bucket,
                s3.key = object.key,
                s3.version_id = object.version_id,
                verdict = $verdict.map(Verdict::name),
                signatures = $verdict.map(|verdict: &Verdict| verdict.signatures().join(" ")),
                reason = $verdict.and_then(Verdict::reason).map(|reason| reason.name()),
                $message
            )
        };
    }
    match outcome {
        Outcome::Scanned(verdict @ Verdict::Infected { .. }) => {
            log!(warn, Some(verdict), "object scanned");
            &[Metric::Scanned, Metric::Infected]
        }
        Outcome::Scanned(verdict @ Verdict::Clean) => {
            log!(info, Some(verdict), "object scanned");
            &[Metric::Scanned, Metric::Clean]
        }
        Outcome::Scanned(verdict) => {
            log!(warn, Some(verdict), "object not scanned");
            &[Metric::Unscanned]
        }
        Outcome::Cleared => {
            log!(warn, Some(&Verdict::Clean), "object cleared: the signatures that convicted it no longer match");
            &[Metric::Scanned, Metric::Clean, Metric::Cleared]
        }
        Outcome::Forwarded => {
            log!(info, None, "object needs a scan with all definitions");
            &[Metric::Forwarded]
        }
        Outcome::AlreadyScanned(verdict) => {
            log!(info, Some(verdict), "object already scanned");
            &[Metric::AlreadyScanned]
        }
        Outcome::NotRescanned(verdict) => {
            log!(warn, Some(verdict), "object not rescanned: it is archived, and keeps the verdict of its last scan");
            &[Metric::NotRescanned]
        }
        Outcome::TestFile(verdict) => {
            log!(info, Some(verdict), "file of the self-test scanned");
            &[Metric::Scanned]
        }
        Outcome::Gone => {
            log!(info, None, "object gone");
            &[Metric::Gone]
        }
    }
}
