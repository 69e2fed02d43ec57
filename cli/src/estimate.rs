//! `nacre estimate`: what a bucket would cost to scan, before anything is deployed.

mod print;

use std::{collections::BTreeMap, fs, io, path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Args, builder::NonEmptyStringValueParser};
use nacre_aws::sdk_config;
use nacre_core::estimate::{Assumptions, Corpus, Price, Prices, UnknownPrice};
use print::Report;
use serde::Deserialize;

use crate::{
    backfill::{Inventory, Listing, Source, SourceError},
    interrupt::until_interrupt,
    output::{INTERRUPTED, conclude, print_json, print_lines},
    s3_url::Place,
};

/// Estimate what scanning a bucket would cost, and what others charge for it.
///
/// Nothing has to be deployed. The bucket is listed, or an inventory of it is read; no object is. The model is that of docs/scale.md and
/// docs/costs.md, by list prices of us-east-1.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["bucket", "inventory"])))]
pub(crate) struct Arguments {
    /// The bucket or a part of it, as `s3://bucket` or `s3://bucket/prefix`, which is listed
    #[arg(long, value_name = "S3-URL", value_parser = Place::parse)]
    bucket: Option<Place>,
    /// manifest.json of an S3 Inventory (CSV), by s3:// or path; files that are beside it are read there
    #[arg(long, value_name = "MANIFEST", value_parser = NonEmptyStringValueParser::new())]
    inventory: Option<String>,
    /// Prices and assumptions that take the place of ours, as JSON
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print one JSON object, with every price and assumption
    #[arg(long)]
    json: bool,
}

/// What a file of prices may have.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    prices: BTreeMap<String, Price>,
    assumptions: Assumptions,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
enum EstimateError {
    #[error("the objects cannot be listed")]
    Source(#[from] SourceError),
    #[error("the inventory has no column Size, without which nothing can be estimated")]
    NoSizes,
    #[error("the prices in {0} cannot be read")]
    Read(PathBuf, #[source] io::Error),
    #[error(
        "{0} has no prices: {{\"prices\": {{NAME: {{\"dollars\": 0.1, \"date\": \"2026-11-29\", \"source\": \"…\"}}}}, \"assumptions\": {{}}}}"
    )]
    Format(PathBuf, #[source] serde_json::Error),
    #[error(transparent)]
    Unknown(#[from] UnknownPrice),
    #[error("interrupts cannot be listened to")]
    Interrupts(#[source] io::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    match until_interrupt(Box::pin(execute(arguments)), EstimateError::Interrupts).await {
        Some(done) => conclude("estimate", done),
        None => ExitCode::from(INTERRUPTED),
    }
}

async fn execute(arguments: &Arguments) -> Result<(), EstimateError> {
    let Changes { prices, assumptions } = match &arguments.prices {
        None => Changes::default(),
        Some(path) => {
            let bytes = fs::read(path).map_err(|error| EstimateError::Read(path.clone(), error))?;
            serde_json::from_slice(&bytes).map_err(|error| EstimateError::Format(path.clone(), error))?
        }
    };
    let prices = Prices::default().with(prices)?;
    let sdk = sdk_config().await;
    let (source, corpus) = match (&arguments.bucket, &arguments.inventory) {
        (Some(Place { bucket, prefix }), _) => {
            let corpus = count(&mut Listing::new(&sdk, bucket, prefix)).await?;
            (format!("s3://{bucket}/{prefix}"), corpus)
        }
        (None, inventory) => {
            let at = inventory.as_deref().unwrap_or_default();
            let mut inventory = Inventory::open(&sdk, at, None, "").await?;
            if !inventory.has_sizes() {
                return Err(EstimateError::NoSizes);
            }
            (at.to_owned(), count(&mut inventory).await?)
        }
    };
    let report = Report::new(source, &corpus, assumptions, &prices);
    if arguments.json {
        print_json(&report)?;
    } else {
        print_lines(&report.lines().join("\n"))?;
    }
    Ok(())
}

/// Counts the objects, a page at a time.
async fn count(source: &mut impl Source) -> Result<Corpus, SourceError> {
    let (mut corpus, mut after) = (Corpus::default(), None);
    loop {
        let page = source.page(after).await?;
        for one in &page.candidates {
            corpus.add(one.class.as_deref(), &one.object.key, one.size);
        }
        after = page.next;
        if after.is_none() {
            return Ok(corpus);
        }
    }
}
