//! An estimate as it is printed.

use nacre_core::estimate::{
    Amount, Assumptions, Class, Corpus, Estimate, Item, Other, Price, Prices, Usage, estimate, others,
};
use serde::Serialize;

/// Most types that a person is shown.
const SHOWN_TYPES: usize = 8;

/// An estimate with all that it comes from; the form of `--json`, as docs/schemas/estimate.schema.json has it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    source: String,
    objects: u64,
    bytes: u64,
    classes: Vec<Group>,
    types: Vec<Group>,
    first_scan: Part,
    night: Part,
    year: Part,
    others: Vec<Beside>,
    assumptions: Assumptions,
    prices: Vec<Listed>,
}

/// Some of the objects.
#[derive(Debug, Serialize)]
struct Group {
    name: String,
    objects: u64,
    bytes: u64,
}

/// What something costs, and why.
#[derive(Debug, Serialize)]
struct Part {
    dollars: f64,
    usage: Usage,
}

/// Another product.
#[derive(Debug, Serialize)]
struct Beside {
    name: &'static str,
    first_scan: f64,
    full_rescan: f64,
    year: f64,
    prices: Vec<Item>,
    note: &'static str,
}

/// A price.
#[derive(Debug, Serialize)]
struct Listed {
    name: Item,
    #[serde(flatten)]
    price: Price,
    per: f64,
    unit: &'static str,
}

impl Report {
    pub(super) fn new(source: String, corpus: &Corpus, assumptions: Assumptions, prices: &Prices) -> Self {
        let Estimate { first_scan, night, year } = estimate(corpus, &assumptions);
        let part = |usage: Usage| Part { dollars: usage.dollars(prices), usage };
        let group = |name: String, Amount { objects, bytes, .. }: Amount| Group { name, objects, bytes };
        let beside = |other: Other| Beside {
            name: other.name,
            first_scan: other.first_scan,
            full_rescan: other.full_rescan,
            year: other.year(),
            prices: other.prices,
            note: other.note,
        };
        let listed =
            |(name, price): (Item, &Price)| Listed { name, price: price.clone(), per: name.per(), unit: name.unit() };
        let Amount { objects, bytes, .. } = corpus.all();
        Self {
            source,
            objects,
            bytes,
            classes: corpus.classes().map(|(class, amount)| group(class_name(class).to_owned(), amount)).collect(),
            types: corpus.types().into_iter().map(|(kind, amount)| group(kind.to_owned(), amount)).collect(),
            first_scan: part(first_scan),
            night: part(night),
            year: part(year),
            others: others(corpus, prices).into_iter().map(beside).collect(),
            assumptions,
            prices: prices.all().map(listed).collect(),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {} objects, {}", self.source, self.objects, size(self.bytes))];
        let groups = |groups: &[Group]| -> String {
            let shown: Vec<_> = groups
                .iter()
                .take(SHOWN_TYPES)
                .map(|group| format!("{} {} ({})", group.name, group.objects, size(group.bytes)))
                .collect();
            let more = groups.len().saturating_sub(SHOWN_TYPES);
            if more > 0 { format!("{}, {more} more", shown.join(", ")) } else { shown.join(", ") }
        };
        if self.objects > 0 {
            lines.push(format!("classes      {}", groups(&self.classes)));
            lines.push(format!("types        {}", groups(&self.types)));
        }
        lines.push(String::new());
        for (name, part) in [("first scan", &self.first_scan), ("a night", &self.night), ("a year", &self.year)] {
            lines.push(format!("{name:12} {:>12}   {}", dollars(part.dollars), self.most_of(part)));
        }
        lines.push(String::new());
        let row =
            |name: &str, first: &str, again: &str, year: &str| format!("{name:36} {first:>14} {again:>16} {year:>18}");
        lines.push(row("beside others", "first scan", "all of it again", "all, each night"));
        let night = dollars(self.night.dollars);
        lines.push(row(
            "Nacre (what changed, each night)",
            &dollars(self.first_scan.dollars),
            &night,
            &dollars(self.year.dollars),
        ));
        for other in &self.others {
            lines.push(row(other.name, &dollars(other.first_scan), &dollars(other.full_rescan), &dollars(other.year)));
        }
        lines.push(String::new());
        for other in &self.others {
            let of = |item: &Item| self.prices.iter().find(|listed| listed.name == *item);
            for Listed { price: Price { dollars, date, source }, per, unit, .. } in other.prices.iter().filter_map(of) {
                lines.push(format!("{}: ${dollars} for {per} {unit} ({date}, {source}); {}", other.name, other.note));
            }
        }
        lines.push("List prices of us-east-1 and assumptions: --json has each, --prices FILE changes them.".to_owned());
        lines
    }

    /// The three things that most of the money is for.
    fn most_of(&self, part: &Part) -> String {
        let cost = |(item, amount): (Item, f64)| {
            let listed = self.prices.iter().find(|listed| listed.name == item);
            (item, listed.map_or(0.0, |listed| listed.price.dollars * amount / listed.per))
        };
        let mut costs: Vec<_> = part.usage.items().map(cost).collect();
        costs.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        costs.truncate(3);
        costs.iter().map(|(item, cost)| format!("{item} {}", dollars(*cost))).collect::<Vec<_>>().join(", ")
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Standard => "standard",
        Class::Infrequent => "infrequent",
        Class::InstantArchive => "instant_archive",
        Class::Archived => "archived",
    }
}

fn dollars(amount: f64) -> String {
    format!("${amount:.2}")
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(objects: u64) -> Report {
        let mut corpus = Corpus::default();
        for n in 0..objects {
            corpus.add(Some("STANDARD_IA"), &format!("{n}.pdf"), 1 << 20);
        }
        corpus.add(Some("GLACIER"), "cold", 5);
        Report::new("s3://uploads/".into(), &corpus, Assumptions::default(), &Prices::default())
    }

    #[test]
    fn the_json_is_what_its_schema_says() {
        let schema = serde_json::from_str(include_str!("../../../docs/schemas/estimate.schema.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for objects in [0, 3] {
            let json = serde_json::to_value(report(objects)).unwrap();
            assert!(validator.is_valid(&json), "{:?}: {json}", validator.validate(&json));
        }
    }

    #[test]
    fn a_person_sees_the_three_prices_and_where_others_come_from() {
        let lines = report(1000).lines();
        assert_eq!(lines[0], "s3://uploads/: 1001 objects, 1000.0 MiB");
        assert_eq!(lines[2], "types        pdf 1000 (1000.0 MiB), (none) 1 (5 bytes)");
        assert!(lines[4].starts_with("first scan"), "{lines:?}");
        let guardduty: Vec<_> = lines.iter().filter(|line| line.contains("2026-09-28")).collect();
        assert_eq!(guardduty.len(), 2, "{lines:?}");
    }
}
