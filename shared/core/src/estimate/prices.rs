//! List prices, each with its date and source. Those of us-east-1, on demand, without a free tier.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, Serializer};

macro_rules! items {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $dollars:literal per $per:literal $unit:literal, $date:literal, $source:literal;)*) => {
        /// Something that is charged for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Item {
            $($(#[$doc])* $variant,)*
        }

        impl Item {
            /// Each.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in a file of prices.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is counted in.
            pub fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// How many the price is for.
            pub fn per(self) -> f64 {
                match self { $(Self::$variant => $per,)* }
            }

            fn list_price(self) -> Price {
                match self {
                    $(Self::$variant => Price { dollars: $dollars, date: $date.to_owned(), source: $source.to_owned() },)*
                }
            }
        }
    };
}

items! {
    /// Requests of S3 Standard; tagging is taken for a GET.
    S3Request = "s3_requests", 0.40 per 1e6 "requests", "2025", "https://aws.amazon.com/s3/pricing/";
    /// Requests of Standard-IA and One Zone-IA.
    S3RequestInfrequent = "s3_requests_infrequent", 1.00 per 1e6 "requests", "2025", "https://aws.amazon.com/s3/pricing/";
    /// Requests of Glacier Instant Retrieval.
    S3RequestInstant = "s3_requests_instant", 10.00 per 1e6 "requests", "2025", "https://aws.amazon.com/s3/pricing/";
    /// Retrieval from Standard-IA and One Zone-IA.
    RetrievedInfrequentGb = "retrieval_infrequent", 0.01 per 1.0 "GB", "2025", "https://aws.amazon.com/s3/pricing/";
    /// Retrieval from Glacier Instant Retrieval.
    RetrievedInstantGb = "retrieval_instant", 0.03 per 1.0 "GB", "2025", "https://aws.amazon.com/s3/pricing/";
    /// Read request units of the table of records.
    RecordRead = "record_reads", 0.125 per 1e6 "units", "2025", "https://aws.amazon.com/dynamodb/pricing/on-demand/";
    /// Write request units of the table of records.
    RecordWrite = "record_writes", 0.625 per 1e6 "units", "2025", "https://aws.amazon.com/dynamodb/pricing/on-demand/";
    /// Messages that are published.
    TopicMessage = "topic_messages", 0.50 per 1e6 "messages", "2025", "https://aws.amazon.com/sns/pricing/";
    /// Requests of queues.
    QueueRequest = "queue_requests", 0.40 per 1e6 "requests", "2025", "https://aws.amazon.com/sqs/pricing/";
    /// Lambda on x86-64, loading included.
    GibSecond = "gib_seconds", 0.000_016_666_7 per 1.0 "GiB-s", "2026-09", "https://aws.amazon.com/lambda/pricing/";
    /// Invocations of functions.
    Invocation = "invocations", 0.20 per 1e6 "requests", "2025", "https://aws.amazon.com/lambda/pricing/";
    /// Logs.
    LogGb = "logs", 0.50 per 1.0 "GB", "2025", "https://aws.amazon.com/cloudwatch/pricing/";
    /// Tags of objects.
    TagMonth = "tags", 0.0065 per 1e4 "tag-months", "2025-03", "https://aws.amazon.com/s3/pricing/";
    /// Records that are kept, with backups.
    RecordGbMonth = "records", 0.45 per 1.0 "GB-months", "2025", "https://aws.amazon.com/dynamodb/pricing/on-demand/";
    /// A deployment: 30 metrics, 27 alarms, a dashboard, updates and self-tests.
    DeploymentMonth = "deployment", 15.00 per 1.0 "months", "2025", "docs/costs.md, by https://aws.amazon.com/cloudwatch/pricing/";
    /// What GuardDuty Malware Protection for S3 scans.
    GuardDutyGb = "guardduty_bytes", 0.09 per 1.0 "GB", "2026-09-28", "https://aws.amazon.com/guardduty/pricing/, as others read it then";
    /// Objects that it evaluates.
    GuardDutyObject = "guardduty_objects", 0.215 per 1e3 "objects", "2026-09-28", "https://aws.amazon.com/guardduty/pricing/, as others read it then";
    /// What Cloud Storage Security scans beyond 100 GB a month.
    CloudStorageSecurityGb = "cloud_storage_security_bytes", 0.80 per 1.0 "GB", "2024-10-28", "an article of that day; the vendor publishes none";
    /// Lambda for cdk-serverless-clamscan, at 10 GB and 25 s an object.
    ClamscanGibSecond = "cdk_serverless_clamscan_gib_seconds", 0.000_016_666_7 per 1.0 "GiB-s", "2026-09", "https://github.com/awslabs/cdk-serverless-clamscan: src/index.ts (10240 MB), issue 1395 (25 s)";
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For as many as [`Item::per`] says.
    pub dollars: f64,
    /// When it was read.
    pub date: String,
    /// Where.
    pub source: String,
}

/// A file has a price of something that is not known, or one that is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownPrice {
    /// No item of this name.
    #[error("there is no price named {0}: `nacre estimate --json` prints all of them")]
    Name(String),
    /// Not a price.
    #[error("the price {0} is not a number of dollars, 0 or more")]
    Dollars(String),
}

/// All prices.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Prices(BTreeMap<Item, Price>);

impl Default for Prices {
    fn default() -> Self {
        Self(Item::ALL.iter().map(|item| (*item, item.list_price())).collect())
    }
}

impl Prices {
    /// Takes these instead of the list's.
    ///
    /// # Errors
    /// [`UnknownPrice`].
    pub fn with(mut self, changed: BTreeMap<String, Price>) -> Result<Self, UnknownPrice> {
        for (name, price) in changed {
            if !price.dollars.is_finite() || price.dollars < 0.0 {
                return Err(UnknownPrice::Dollars(name));
            }
            let item = Item::ALL.iter().find(|item| item.name() == name);
            self.0.insert(*item.ok_or(UnknownPrice::Name(name))?, price);
        }
        Ok(self)
    }

    /// Each.
    pub fn all(&self) -> impl Iterator<Item = (Item, &Price)> {
        self.0.iter().map(|(item, price)| (*item, price))
    }

    /// What so much costs.
    pub fn cost(&self, item: Item, amount: f64) -> f64 {
        self.0.get(&item).map_or(0.0, |price| price.dollars) * amount / item.per()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(dollars: f64) -> Price {
        Price { dollars, date: "2026-11-29".into(), source: "ours".into() }
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let changed = Prices::default().with([("guardduty_bytes".to_owned(), price(1.0))].into()).unwrap();
        let differing: Vec<_> = Item::ALL
            .iter()
            .filter(|item| (changed.cost(**item, 1.0) - Prices::default().cost(**item, 1.0)).abs() > f64::EPSILON)
            .collect();
        assert_eq!(differing, [&Item::GuardDutyGb]);
        let refused =
            |name: &str, dollars| Prices::default().with([(name.to_owned(), price(dollars))].into()).unwrap_err();
        assert_eq!(refused("guard", 1.0), UnknownPrice::Name("guard".into()));
        for dollars in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(refused("logs", dollars), UnknownPrice::Dollars("logs".into()));
        }
    }

    #[test]
    fn every_price_has_a_date_and_a_source() {
        for (item, price) in Prices::default().all() {
            assert!(price.date.starts_with("202") && price.source.len() > 10 && item.per() >= 1.0, "{item}: {price:?}");
        }
    }
}
