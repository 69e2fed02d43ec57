//! What other products charge for the same objects, by their list prices.

use serde::Serialize;

use super::{Corpus, GB, Item, Prices, count};

/// What Cloud Storage Security scans in a month without a further charge, in GB.
const INCLUDED_GB: f64 = 100.0;

/// A scan by cdk-serverless-clamscan: seconds, and GiB of memory.
const CLAMSCAN_SECONDS: f64 = 25.0;
const CLAMSCAN_GIB: f64 = 10.0;

/// Another product.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Other {
    /// Its name.
    pub name: &'static str,
    /// Dollars for the first scan of everything.
    pub first_scan: f64,
    /// Dollars for a scan of everything again: none of them rescans by what changed.
    pub full_rescan: f64,
    /// The prices that these come from.
    pub prices: Vec<Item>,
    /// What else is to be known.
    pub note: &'static str,
}

impl Other {
    /// Dollars for a year in which everything is scanned each night, as new definitions come.
    pub fn year(&self) -> f64 {
        self.first_scan + 365.0 * self.full_rescan
    }
}

/// What others charge for these objects. What is archived is not read by them either.
pub fn others(corpus: &Corpus, prices: &Prices) -> Vec<Other> {
    let all = corpus.readable();
    let (objects, gb) = (count(all.objects), count(all.bytes) / GB);
    let guardduty = prices.cost(Item::GuardDutyGb, gb) + prices.cost(Item::GuardDutyObject, objects);
    let security = |gb| prices.cost(Item::CloudStorageSecurityGb, gb);
    let clamscan = prices.cost(Item::ClamscanGibSecond, objects * CLAMSCAN_SECONDS * CLAMSCAN_GIB);
    vec![
        Other {
            name: "GuardDuty Malware Protection for S3",
            first_scan: guardduty,
            full_rescan: guardduty,
            prices: vec![Item::GuardDutyGb, Item::GuardDutyObject],
            note: "scans uploads; a rescan is a call for each object, outside the free tier",
        },
        Other {
            name: "Cloud Storage Security",
            first_scan: security((gb - INCLUDED_GB).max(0.0)),
            full_rescan: security(gb),
            prices: vec![Item::CloudStorageSecurityGb],
            note: "100 GB a month are included; its agents are charged besides",
        },
        Other {
            name: "cdk-serverless-clamscan",
            first_scan: clamscan,
            full_rescan: clamscan,
            prices: vec![Item::ClamscanGibSecond],
            note: "its default memory; EFS and requests are charged besides",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million objects of 1 MB: 976.6 GB by AWS's GB of 2^30.
    #[test]
    fn a_million_objects_cost_what_the_lists_say() {
        let mut corpus = Corpus::default();
        for n in 0..1000 {
            corpus.add(None, &n.to_string(), 1 << 20);
        }
        let dollars: Vec<_> = others(&corpus, &Prices::default()).iter().map(|of| of.first_scan * 1000.0).collect();
        let [guardduty, security, clamscan] = dollars[..] else { panic!("{dollars:?}") };
        assert!(
            (guardduty - 302.9).abs() < 0.2 && security.abs() < 0.01 && (clamscan - 4166.7).abs() < 0.1,
            "{dollars:?}"
        );
        corpus.add(None, "large", 200 << 30);
        assert!((others(&corpus, &Prices::default())[1].first_scan - 80.8).abs() < 0.1);
    }
}
