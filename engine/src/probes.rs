//! Our own signatures in every engine: one that is always true per matcher target, and the canary's.
//!
//! A probe `Name;Engine:51-255,Target:N;0=0;<4096 bytes>` holds as long as its bytes do *not* occur, so it alerts exactly
//! when target N's matcher ran. Name and bytes are random per load: an uploader who knew the bytes could put them into
//! a file and switch the probe off, and an `.ign2` in the definitions could name a fixed name.
//!
//! Source: `cli_mtargets` in `libclamav/matcher.h`, logical signatures in ClamAV's manual.

use std::{collections::BTreeSet, fmt::Write as _};

/// Number of matcher targets, 0 to 14; 8 is unused but loads.
pub(crate) const TARGETS: u16 = 15;
/// Target of text. One signature with an offset from the end makes libclamav scan all text differently: whole, with hashes, and by the
/// normalised size. Every daily has such signatures; an engine with fewer signatures must scan the same way.
const TEXT: u16 = 7;
/// Number of signatures that [`Probes::signatures`] holds.
pub(crate) const SIGNATURES: u32 = TARGETS as u32 + 1;
/// Bytes of the canary's pattern, and of that at the end of text.
const PATTERN_BYTES: usize = 16;
/// Bytes of the pattern of each target's probe: as long as the longest that a line of 8,190 bytes can hold.
///
/// libclamav reads a file in windows of 128 KiB, which overlap by the longest pattern of the matcher, and counts a match in the overlap
/// twice. With this pattern all windows overlap alike, so that no signature's count depends on which others are loaded.
const OVERLAP_BYTES: usize = 4096;
/// What libclamav appends to names of signatures that Cisco did not sign.
const UNOFFICIAL: &str = ".UNOFFICIAL";

/// The probes of one load.
#[derive(Debug)]
pub(crate) struct Probes {
    prefix: String,
    canary: [u8; PATTERN_BYTES],
    signatures: String,
}

/// Alerts by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SortedAlerts {
    /// Bit set of the targets whose probes alerted.
    pub(crate) targets: u16,
    /// Whether the canary's signature alerted.
    pub(crate) canary: bool,
    /// Signatures of the definitions, and heuristics.
    pub(crate) signatures: Vec<String>,
    /// Limits that were exceeded.
    pub(crate) limits_exceeded: Vec<String>,
    /// Encryption that hid content.
    pub(crate) encrypted: Vec<String>,
}

impl Probes {
    /// Makes probes with random names and patterns.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce)?;
        let prefix = format!("Nacre.{}.", hex::encode(nonce));
        let mut signatures = String::new();
        let (mut pattern, mut overlap) = ([0; PATTERN_BYTES], [0; OVERLAP_BYTES]);
        for target in 0..TARGETS {
            getrandom::fill(&mut pattern)?;
            getrandom::fill(&mut overlap)?;
            let (pattern, overlap) = (hex::encode(pattern), hex::encode(overlap));
            let (expression, patterns) = match target {
                TEXT => ("(0=0)&(1=0)", format!("{overlap};EOF-32:{pattern}")),
                _ => ("0=0", overlap),
            };
            writeln!(signatures, "{prefix}Target.{target};Engine:51-255,Target:{target};{expression};{patterns}").ok();
        }
        getrandom::fill(&mut pattern)?;
        writeln!(signatures, "{prefix}Canary;Engine:51-255,Target:0;0;{}", hex::encode(pattern)).ok();
        Ok(Self { prefix, canary: pattern, signatures })
    }

    /// Returns the signatures as the text of an `.ldb` file.
    pub(crate) fn signatures(&self) -> &str {
        &self.signatures
    }

    /// Returns the bytes that the canary's signature finds.
    pub(crate) fn canary(&self) -> &[u8] {
        &self.canary
    }

    /// Separates alerts of probes, of the definitions, and of libclamav about limits and encryption.
    pub(crate) fn sort(&self, alerts: BTreeSet<String>) -> SortedAlerts {
        let mut sorted = SortedAlerts::default();
        for alert in alerts {
            if let Some(probe) = alert.strip_prefix(&self.prefix) {
                let probe = probe.strip_suffix(UNOFFICIAL).unwrap_or(probe);
                match probe.strip_prefix("Target.").map(str::parse::<u16>) {
                    Some(Ok(target)) if target < TARGETS => sorted.targets |= 1 << target,
                    _ => sorted.canary |= probe == "Canary",
                }
            } else if is_own_alert(&alert, "Heuristics.Limits.Exceeded") {
                sorted.limits_exceeded.push(alert);
            } else if is_own_alert(&alert, "Heuristics.Encrypted") {
                sorted.encrypted.push(alert);
            } else {
                sorted.signatures.push(alert);
            }
        }
        sorted
    }
}

/// Whether an alert is libclamav's own of such names, and not that of an operator's signature that is called so.
pub(crate) fn is_own_alert(alert: &str, prefix: &str) -> bool {
    alert.starts_with(prefix) && !alert.ends_with(UNOFFICIAL)
}

/// Whether an alert is that of a probe for target 0, whose matcher runs on everything that libclamav matches on.
pub(crate) fn is_generic_probe(alert: &[u8]) -> bool {
    let alert = alert.strip_suffix(UNOFFICIAL.as_bytes()).unwrap_or(alert);
    alert.starts_with(b"Nacre.") && alert.ends_with(b".Target.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_has_probes_of_its_own() {
        let (one, other) = (Probes::new().unwrap(), Probes::new().unwrap());
        assert_ne!(one.prefix, other.prefix);
        assert_ne!(one.canary, other.canary);
        assert_eq!(one.signatures().lines().count(), SIGNATURES as usize);
        let patterns: BTreeSet<_> = one.signatures().lines().map(|line| line.rsplit(';').next()).collect();
        assert_eq!(patterns.len(), SIGNATURES as usize);
    }

    #[test]
    fn alerts_are_sorted_by_kind() {
        let probes = Probes::new().unwrap();
        let own = |name: &str| format!("{}{name}", probes.prefix);
        let alerts = [
            own("Target.0.UNOFFICIAL"),
            own("Target.14"),
            own("Target.15"),
            own("Canary.UNOFFICIAL"),
            "Nacre.0000000000000000.Target.3".to_owned(),
            "Heuristics.Limits.Exceeded.MaxFiles".to_owned(),
            "Heuristics.Encrypted.Zip".to_owned(),
            "Eicar-Test-Signature".to_owned(),
            "Heuristics.Encrypted.Own.UNOFFICIAL".to_owned(),
        ];
        let sorted = probes.sort(alerts.into());
        assert_eq!(sorted.targets, 1 | 1 << 14);
        assert!(sorted.canary);
        assert_eq!(
            sorted.signatures,
            ["Eicar-Test-Signature", "Heuristics.Encrypted.Own.UNOFFICIAL", "Nacre.0000000000000000.Target.3"]
        );
        assert_eq!(sorted.limits_exceeded, ["Heuristics.Limits.Exceeded.MaxFiles"]);
        assert_eq!(sorted.encrypted, ["Heuristics.Encrypted.Zip"]);
    }
}
