//! `nacre deploy`: packages into a bucket, a stack through CloudFormation, and a proof that it works.

mod artifacts;
mod change_set;
mod generation;
mod new_values;
mod packages;
mod plan;
mod probe;
mod prove;
mod report;
mod self_test;
mod template;

use std::{collections::BTreeMap, error::Error, io, path::PathBuf, process::ExitCode};

pub(crate) use artifacts::default_bucket;
use artifacts::{ArtifactError, Artifacts};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::{Stack, StackStatus};
use aws_sdk_lambda::types::AccountLimit;
use change_set::{ChangeSetError, TemplateParameters};
use clap::Args;
use nacre_aws::sdk_config;
pub(crate) use new_values::NewValuesError;
use packages::{Package, PackageError, architecture};
pub(crate) use plan::wanted_concurrency;
use plan::{Choice, LambdaLimits, PlanError, parameters, warnings};
use probe::{ProbeError, probe};
use prove::prove;
use report::{Outcome, Report};
use template::Template;

use crate::{
    attach::give_own,
    deployment::{DEFAULT_STACK, StackArgument},
    interrupt::until_interrupt,
    output::{FINDING, INTERRUPTED, UNPROVEN, explain, failed},
    printable::printable,
    stack::{self, Ended, Situation, StackError, Stacks, parse_name, situation},
};

/// Deploy Nacre, or bring a stack of it up to date, and show that it works.
///
/// Uploads the packages, shows what will change, changes it, waits for definitions, and has EICAR and a clean file scanned under
/// `nacre-self-test/`, which it removes again. What is done already is left alone: run it again after whatever stopped it.
///
/// Exit status: 0 when the stack works, 1 when it is deployed and does not work yet, 2 when it is not deployed, 3 when it is deployed
/// and could not be tested, 130 when interrupted.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Arguments {
    /// Name of the stack
    #[arg(long, env = "NACRE_STACK", value_name = "NAME", default_value = DEFAULT_STACK, value_parser = parse_name)]
    stack: String,
    /// Existing bucket to scan, attached as `nacre attach` does; without, the stack makes one
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// A parameter of the template; others keep their values
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    parameters: Vec<(String, String)>,
    /// Directory of the packages, as `make package` writes it
    #[arg(long, value_name = "DIR", default_value = "dist")]
    packages: PathBuf,
    /// Bucket that the packages go to; made when missing
    #[arg(long, value_name = "NAME", help = "Bucket that the packages go to [default: nacre-packages-ACCOUNT-REGION]")]
    artifacts: Option<String>,
    /// Template to deploy rather than this program's own
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Only show what would change; makes no bucket and uploads nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on where a bucket or table would be replaced or taken out of the stack, and its data left behind
    #[arg(long)]
    leave_data_behind: bool,
    /// Only deploy a function that reports what Lambda allows here, print its report, and remove it: docs/probe.md
    #[arg(long, conflicts_with_all = ["bucket", "dry_run", "leave_data_behind", "no_self_test", "parameters", "template"])]
    probe: bool,
    /// Do not scan EICAR and a clean file
    #[arg(long)]
    no_self_test: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Why nothing was deployed, or not to the end.
#[derive(Debug, thiserror::Error)]
enum DeployError {
    #[error("no AWS region is set: set AWS_REGION")]
    NoRegion,
    #[error("AWS does not know who is calling: set credentials, as the AWS CLI takes them")]
    Identity(#[source] Box<dyn Error + Send + Sync>),
    #[error("Lambda's limits cannot be read: check that the credentials may call lambda:GetAccountSettings")]
    Limits(#[source] Box<dyn Error + Send + Sync>),
    #[error("the template {0} cannot be read")]
    Template(PathBuf, #[source] io::Error),
    #[error(
        "the template {0} is longer than a call takes, and could not be put into the bucket of the packages: what would change is not known. Run without --dry-run, or make it shorter"
    )]
    TooLong(PathBuf),
    #[error(
        "the bucket {0} cannot be scanned by a stack in {1}: it is in another region, or these credentials may not see it"
    )]
    Bucket(String, String),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    ChangeSet(#[from] ChangeSetError),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("the stack {0} is {1}: see its events in the console, and continue or delete it there first")]
    Stuck(String, String),
    #[error(
        "the stack {0} could not be created the last time: without --dry-run its remains are deleted, and it is created anew"
    )]
    Dead(String),
    #[error(
        "these would be replaced, or may be, or would be taken out of the stack, and their data left behind unused: {0}. Give --leave-data-behind if that is what you want"
    )]
    StrandsData(String),
    #[error(
        "the stack {name} is {status}: CloudFormation took it back. Remove the cause and run this again: {failures}"
    )]
    RolledBack { name: String, status: String, failures: String },
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("interrupts cannot be listened to")]
    Interrupts(#[source] io::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> ExitCode {
    let Some(done) = until_interrupt(Box::pin(execute(arguments)), DeployError::Interrupts).await else {
        eprintln!("nacre deploy: interrupted; what CloudFormation has begun goes on. Run again to continue");
        return ExitCode::from(INTERRUPTED);
    };
    match done {
        Ok(report) if !report.findings.is_empty() => ExitCode::from(FINDING),
        Ok(report) if report.untested.is_some() => ExitCode::from(UNPROVEN),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed("deploy", &error),
    }
}

/// Shows how far it is, on standard error: standard output has the result only.
fn say(line: &str) {
    eprintln!("{}", printable(line));
}

async fn execute(arguments: &Arguments) -> Result<Report, DeployError> {
    let sdk = sdk_config().await;
    let region = sdk.region().ok_or(DeployError::NoRegion)?.to_string();
    let caller = aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await;
    let caller = caller.map_err(|error| DeployError::Identity(error.into()))?;
    let account = caller.account().unwrap_or_default().to_owned();
    say(&format!("account {account}, region {region}, as {}", caller.arn().unwrap_or("?")));

    let bucket = arguments.artifacts.clone().unwrap_or_else(|| default_bucket(&account, &region));
    let artifacts = Artifacts::new(&sdk, bucket.clone(), &account, &region);
    if arguments.probe {
        probe(arguments, &sdk, bucket, &artifacts).await?;
        return Ok(Report::new(&arguments.stack, Outcome::Planned, Vec::new()));
    }
    let packages = packages::read(&arguments.packages)?;
    let text = template::read(arguments.template.as_deref())
        .map_err(|error| DeployError::Template(arguments.template.clone().unwrap_or_default(), error))?;
    check_bucket(arguments, &sdk, &region).await?;
    let limits = limits(&sdk).await?;

    let stacks = Stacks::new(&sdk);
    let existing = settled(&stacks, &arguments.stack, arguments.dry_run).await?;
    let template = if arguments.dry_run {
        let named = arguments.template.clone().unwrap_or_default();
        template::for_dry_run(text, &artifacts, existing.is_none()).await.ok_or(DeployError::TooLong(named))?
    } else {
        artifacts.prepare().await?;
        template::uploaded(text, &artifacts).await?
    };
    let declared = stacks.parameters_of(&template).await?;
    let planned = plan_parameters(arguments, &packages, bucket, existing.as_ref(), &declared)?;
    let warnings = warnings(&packages, limits, &values(existing.as_ref(), &declared, &planned));
    for warning in &warnings {
        say(&format!("warning: {warning}"));
    }
    if !arguments.dry_run {
        let uploaded = artifacts.upload(&packages).await?;
        say(&format!("{uploaded} of {} packages uploaded, the others were there", packages.len()));
    }

    let report = change(arguments, &stacks, &template, &planned, existing.is_none()).await?;
    let report = Report { warnings, ..report };
    let refused = match &arguments.bucket {
        Some(bucket) if !arguments.dry_run => attached(arguments, bucket).await,
        _ => None,
    };
    let mut report = if arguments.dry_run { report } else { prove(arguments, &sdk, &stacks, report).await };
    report.findings.extend(refused);
    report.print(arguments.json)?;
    Ok(report)
}

/// The stack when nothing is under way any more; `None` when it has to be made.
async fn settled(stacks: &Stacks, name: &str, dry_run: bool) -> Result<Option<Stack>, DeployError> {
    loop {
        let found = stacks.describe(name).await?;
        found.as_ref().map_or(Ok(()), stack::check_is_ours)?;
        let status = found.as_ref().and_then(Stack::stack_status).cloned();
        let id = found.as_ref().and_then(Stack::stack_id).unwrap_or(name).to_owned();
        match situation(status.as_ref()) {
            Situation::Absent => return Ok(None),
            Situation::Ready => return Ok(found),
            Situation::Stuck => {
                return Err(DeployError::Stuck(name.to_owned(), status.map_or_else(String::new, |it| it.to_string())));
            }
            Situation::Busy => {
                say("an operation on the stack is under way, and waited for");
                stacks.follow(&id, "waiting", stacks.newest_event(&id).await?).await?;
            }
            Situation::Dead if dry_run => return Err(DeployError::Dead(name.to_owned())),
            Situation::Dead => {
                say("the stack could not be created the last time; its remains are deleted");
                let after = stacks.newest_event(&id).await?;
                stacks.delete(&id).await?;
                stacks.follow(&id, "deleting", after).await?;
            }
        }
    }
}

/// Has the events of a given bucket come, as `nacre attach` does; why they do not.
async fn attached(arguments: &Arguments, bucket: &str) -> Option<String> {
    let attached = match StackArgument::of(&arguments.stack).open().await {
        Ok(deployment) => give_own(&deployment, bucket).await,
        Err(error) => Err(error.into()),
    };
    match attached {
        Ok(lines) => lines.iter().for_each(|line| say(line)),
        Err(error) => return Some(format!("the bucket {bucket} is not attached: {}", explain(&error))),
    }
    None
}

/// What a given bucket must be, seen before anything is changed.
async fn check_bucket(arguments: &Arguments, sdk: &SdkConfig, region: &str) -> Result<(), DeployError> {
    let Some(bucket) = &arguments.bucket else { return Ok(()) };
    let head = aws_sdk_s3::Client::new(sdk).head_bucket().bucket(bucket).send().await;
    let refused = || DeployError::Bucket(bucket.clone(), region.to_owned());
    let head = head.map_err(|_| refused())?;
    // S3 publishes to topics of its own region only.
    if head.bucket_region().is_some_and(|its| its != region) { Err(refused()) } else { Ok(()) }
}

/// What the account allows Lambda.
async fn limits(sdk: &SdkConfig) -> Result<LambdaLimits, DeployError> {
    let settings = aws_sdk_lambda::Client::new(sdk).get_account_settings().send().await;
    let settings = settings.map_err(|error| DeployError::Limits(error.into()))?;
    let unreserved = settings.account_limit().and_then(AccountLimit::unreserved_concurrent_executions);
    Ok(LambdaLimits { concurrency: u64::try_from(unreserved.unwrap_or_default()).unwrap_or_default() })
}

fn plan_parameters(
    arguments: &Arguments,
    packages: &[Package],
    bucket: String,
    existing: Option<&Stack>,
    declared: &TemplateParameters,
) -> Result<BTreeMap<String, Choice>, DeployError> {
    let mut ours: BTreeMap<_, _> =
        packages.iter().map(|package| (package.parameter.to_owned(), package.key.clone())).collect();
    ours.insert("CodeBucket".into(), bucket);
    if let Some(architecture) = architecture(packages)? {
        ours.insert("Architecture".into(), architecture.to_owned());
    }
    if let Some(bucket) = &arguments.bucket {
        ours.insert("ScannedBucketName".into(), bucket.clone());
    }
    let has = existing.map(stack::parameters).unwrap_or_default();
    Ok(parameters(&declared.names, &has, ours, &arguments.parameters)?)
}

/// The values that the parameters will have.
fn values(
    existing: Option<&Stack>,
    declared: &TemplateParameters,
    planned: &BTreeMap<String, Choice>,
) -> BTreeMap<String, String> {
    let mut values = declared.defaults.clone();
    values.extend(existing.map(stack::parameters).unwrap_or_default());
    values.extend(planned.iter().filter_map(|(name, choice)| match choice {
        Choice::Value(value) => Some((name.clone(), value.clone())),
        Choice::Previous => None,
    }));
    values
}

/// Shows the changes and makes them.
async fn change(
    arguments: &Arguments,
    stacks: &Stacks,
    template: &Template,
    planned: &BTreeMap<String, Choice>,
    creates: bool,
) -> Result<Report, DeployError> {
    let name = &arguments.stack;
    let Some(change_set) = stacks.change_set(name, template, planned, creates).await? else {
        say("there is nothing to change");
        return Ok(Report::new(name, Outcome::Unchanged, Vec::new()));
    };
    for change in &change_set.changes {
        say(&change.in_words());
    }
    let changes = change_set.changes.clone();
    let strands: Vec<_> =
        changes.iter().filter(|change| change.strands_data()).map(|change| change.resource.clone()).collect();
    let refuses = !strands.is_empty() && !arguments.leave_data_behind;
    if refuses || arguments.dry_run {
        stacks.discard(&change_set.id, &change_set.stack, creates).await?;
        return if refuses {
            Err(DeployError::StrandsData(strands.join(", ")))
        } else {
            Ok(Report::new(name, Outcome::Planned, changes))
        };
    }
    let after = stacks.newest_event(&change_set.stack).await?;
    stacks.execute(&change_set).await?;
    let verb = if creates { "creating" } else { "updating" };
    say(&format!("{verb} the stack {name}; an interrupted run is continued by another"));
    let Ended { status, failures } = stacks.follow(&change_set.stack, verb, after).await?;
    match status {
        StackStatus::CreateComplete => Ok(Report::new(name, Outcome::Created, changes)),
        StackStatus::UpdateComplete => Ok(Report::new(name, Outcome::Updated, changes)),
        status => Err(DeployError::RolledBack {
            name: name.clone(),
            status: status.to_string(),
            failures: failures.join("; "),
        }),
    }
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a parameter is given as NAME=VALUE".into()),
    }
}
