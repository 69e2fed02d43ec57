//! The self-test that a schedule makes of a deployment: what is uploaded, how its objects are known, and what must be seen of them. Pure.

use crate::{port::Reading, scan_record::ScanRecord, tag_policy::TagNames, verdict::Verdict};

/// Under this, and nowhere else, the scheduled self-test makes objects.
pub const PREFIX: &str = "nacre-self-test/scheduled/";

/// The test file of EICAR, in two halves: whole, scanners would take this program for it.
const EICAR: [&str; 2] = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"];

/// The file that has to be found infected.
pub fn infected_file() -> Vec<u8> {
    EICAR.concat().into_bytes()
}

/// The file that has to be found clean, another one for each run.
pub fn clean_file(run: &str) -> Vec<u8> {
    format!("a clean file of Nacre's self-test {run}\n").into_bytes()
}

/// Whether a record is of the infected file of a self-test: nobody has to hear of it, and it stays where its reader is refused.
///
/// Attack: an uploader names malware so that nobody hears of it. So only these 68 bytes are meant, and no room is left in them.
pub fn is_test_file(record: &ScanRecord) -> bool {
    let is_eicar = |signature: &String| signature.to_ascii_lowercase().contains("eicar");
    let signatures = record.verdict.signatures();
    record.object.key.starts_with(PREFIX)
        && record.size == EICAR.concat().len() as u64
        && !signatures.is_empty()
        && signatures.iter().all(is_eicar)
}

/// What was seen of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The value of its status tag; `None` when it had none in time.
    pub status: Option<String>,
    /// Whether its result is published, by its record.
    pub published: bool,
    /// Of a GET by another role than the scanner's.
    pub reading: Reading,
}

/// Why a deployment does not work as it should; empty when it does.
pub fn findings(infected: &Seen, clean: &Seen, names: &TagNames) -> Vec<String> {
    let mut findings = Vec::new();
    let mut check = |file: &str, seen: &Seen, verdict: &Verdict, reading: Reading| {
        let wanted = names.status_of(verdict);
        match seen.status.as_deref() {
            None => findings.push(format!("{file} has no verdict in time")),
            Some(status) if status != wanted => findings.push(format!("{file} is {status}, not {wanted}")),
            Some(_) => {}
        }
        if seen.status.is_some() && seen.reading != reading {
            findings.push(format!("{file} is {}, not {}", in_words(seen.reading), in_words(reading)));
        }
    };
    check("EICAR", infected, &Verdict::Infected { signatures: Vec::new() }, Reading::Refused);
    check("a clean file", clean, &Verdict::Clean, Reading::Readable);
    if infected.status.is_some() && !infected.published {
        findings.push("the result of EICAR is not published in time".to_owned());
    }
    findings
}

fn in_words(reading: Reading) -> &'static str {
    match reading {
        Reading::Readable => "readable (200)",
        Reading::Refused => "refused (403)",
        Reading::Missing => "missing (404)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::record;

    fn seen(status: &str, published: bool, reading: Reading) -> Seen {
        Seen { status: (!status.is_empty()).then(|| status.to_owned()), published, reading }
    }

    #[test]
    fn only_a_refused_eicar_with_its_result_and_a_readable_clean_file_will_do() {
        let (infected, clean) = (seen("INFECTED", true, Reading::Refused), seen("CLEAN", false, Reading::Readable));
        let found = |infected: &Seen, clean: &Seen| findings(infected, clean, &TagNames::default());
        assert_eq!(found(&infected, &clean), [""; 0]);
        for (infected, clean, finding) in [
            (seen("INFECTED", true, Reading::Readable), clean.clone(), "EICAR is readable (200), not refused (403)"),
            (seen("INFECTED", false, Reading::Refused), clean.clone(), "the result of EICAR is not published in time"),
            (seen("CLEAN", true, Reading::Refused), clean.clone(), "EICAR is CLEAN, not INFECTED"),
            (seen("", false, Reading::Readable), clean.clone(), "EICAR has no verdict in time"),
            (infected.clone(), seen("", false, Reading::Readable), "a clean file has no verdict in time"),
            (
                infected.clone(),
                seen("CLEAN", false, Reading::Refused),
                "a clean file is refused (403), not readable (200)",
            ),
            (infected.clone(), seen("UNSCANNABLE", false, Reading::Readable), "a clean file is UNSCANNABLE, not CLEAN"),
        ] {
            assert_eq!(found(&infected, &clean), [finding]);
        }
    }

    #[test]
    fn nothing_but_the_test_file_is_kept_from_those_who_should_hear_of_it() {
        let file = |key: &str, size: u64, signatures: &[&str]| {
            let signatures = signatures.iter().map(|name| (*name).to_owned()).collect();
            ScanRecord { size, verdict: Verdict::Infected { signatures }, ..record("uploads", key) }
        };
        let (key, size) = ("nacre-self-test/scheduled/1/eicar.com", infected_file().len() as u64);
        assert!(is_test_file(&file(key, size, &["Eicar-Test-Signature"])));
        for other in [
            file("nacre-self-test/1/eicar.com", size, &["Eicar-Test-Signature"]),
            file("other/eicar.com", size, &["Eicar-Test-Signature"]),
            file(key, size + 1, &["Eicar-Test-Signature"]),
            file(key, size, &["Eicar-Test-Signature", "Win.Worm"]),
            file(key, size, &["Win.Worm"]),
            ScanRecord { size, ..record("uploads", key) },
        ] {
            assert!(!is_test_file(&other), "{other:?}");
        }
    }
}
