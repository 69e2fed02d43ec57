//! A deployment, found by the name of its stack: which bucket, table, topic, queue or function is which.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use clap::Args;
use nacre_aws::sdk_config;
use nacre_core::rescan::plan::size_limit;
use tokio::sync::OnceCell;

use crate::stack::{StackError, Stacks, check_is_ours, outputs, parameters, parse_name_or_arn};

/// Name of the stack when none is given, as of `nacre deploy`.
pub(crate) const DEFAULT_STACK: &str = "nacre";

/// The stack whose parts a command uses.
#[derive(Clone, Debug, Args)]
pub(crate) struct StackArgument {
    /// The stack, whose outputs name what is not given
    #[arg(long, env = "NACRE_STACK", value_name = "NAME", default_value = DEFAULT_STACK, value_parser = parse_name_or_arn)]
    stack: String,
}

impl StackArgument {
    /// The stack of this name or ARN.
    pub(crate) fn of(stack: &str) -> Self {
        Self { stack: stack.to_owned() }
    }

    /// The deployment; nothing is read of the stack before a part is needed that was not given.
    pub(crate) async fn open(&self) -> Result<Deployment, DeploymentError> {
        Deployment::new(sdk_config().await, &self.stack)
    }
}

/// A part of a deployment, which an output of the stack names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    DefinitionsBucket,
    QuarantineBucket,
    ScannedBucket,
    ScannerRole,
    UpdaterFunction,
    ScannerFunction,
    RescanFunction,
    ScanRecords,
    ScannerTrigger,
    RescanTrigger,
    RescannerFunction,
    ScanQueue,
    RescanQueue,
    FullRescanQueue,
    PassQueue,
    ScanDeadLetters,
    RescanDeadLetters,
    PassDeadLetters,
    AnnouncementDeadLetters,
}

impl Part {
    /// The output's name.
    fn output(self) -> &'static str {
        match self {
            Self::DefinitionsBucket => "DefinitionsBucket",
            Self::QuarantineBucket => "QuarantineBucket",
            Self::ScannedBucket => "ScannedBucket",
            Self::ScannerRole => "ScannerRole",
            Self::UpdaterFunction => "UpdaterFunction",
            Self::ScannerFunction => "ScannerFunction",
            Self::RescanFunction => "RescanFunction",
            Self::ScanRecords => "ScanRecords",
            Self::ScannerTrigger => "ScannerTrigger",
            Self::RescanTrigger => "RescanTrigger",
            Self::RescannerFunction => "RescannerFunction",
            Self::ScanQueue => "ScanQueue",
            Self::RescanQueue => "RescanQueue",
            Self::FullRescanQueue => "FullRescanQueue",
            Self::PassQueue => "PassQueue",
            Self::ScanDeadLetters => "ScanDeadLetters",
            Self::RescanDeadLetters => "RescanDeadLetters",
            Self::PassDeadLetters => "PassDeadLetters",
            Self::AnnouncementDeadLetters => "AnnouncementDeadLetters",
        }
    }
}

/// Why a part of a deployment is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeploymentError {
    #[error("no AWS region is set: set AWS_REGION, or `region` in the profile")]
    NoRegion,
    #[error(
        "account {account} has no stack {stack} in {region}: give --stack or NACRE_STACK, or other credentials or another AWS_REGION"
    )]
    Absent { stack: String, account: String, region: String },
    #[error(
        "the stack {0} moves nothing to quarantine: deploy it with --parameter InfectedObjects=quarantine, or give --bucket"
    )]
    NoQuarantine(String),
    #[error(
        "the stack {stack} has no output {output}: it is not deployed yet, or by another version: see `nacre deploy`"
    )]
    NoOutput { stack: String, output: &'static str },
    #[error(transparent)]
    Stack(#[from] StackError),
}

/// Whether the name that was given for a part counts. Where the command line names a stack, one that only the environment has does not:
/// it is of whichever deployment was worked on before. Pure.
fn counts(given: &str, arguments: &[String]) -> bool {
    let names_a_stack = arguments.iter().any(|argument| argument == "--stack" || argument.starts_with("--stack="));
    let is_argument = arguments
        .iter()
        .any(|argument| argument == given || argument.split_once('=').is_some_and(|(_, value)| value == given));
    !names_a_stack || is_argument
}

/// A deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) sdk: SdkConfig,
    stack: String,
    found: OnceCell<Found>,
}

/// What CloudFormation says of the stack.
#[derive(Debug)]
struct Found {
    status: String,
    outputs: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

impl Deployment {
    fn new(sdk: SdkConfig, stack: &str) -> Result<Self, DeploymentError> {
        sdk.region().ok_or(DeploymentError::NoRegion)?;
        Ok(Self { sdk, stack: stack.to_owned(), found: OnceCell::new() })
    }

    /// The region, which every deployment has.
    pub(crate) fn region(&self) -> String {
        self.sdk.region().map(ToString::to_string).unwrap_or_default()
    }

    /// The name of a part: the given one, without a call, or what the stack says.
    pub(crate) async fn name(&self, part: Part, given: Option<&str>) -> Result<String, DeploymentError> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match given.filter(|given| counts(given, &arguments)) {
            Some(given) => Ok(given.to_owned()),
            None => named(&self.stack, &self.found().await?.outputs, part),
        }
    }

    /// The stack's name or ARN.
    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }

    /// The stack's state, such as `UPDATE_COMPLETE`.
    pub(crate) async fn status(&self) -> Result<&str, DeploymentError> {
        Ok(&self.found().await?.status)
    }

    /// The stack's parameters, defaults included.
    pub(crate) async fn parameters(&self) -> Result<&BTreeMap<String, String>, DeploymentError> {
        Ok(&self.found().await?.parameters)
    }

    /// The size up to which the deployment scans objects, as its passes have it; the engine's where the stack cannot be read.
    pub(crate) async fn size_limit(&self) -> u64 {
        let parameters = self.parameters().await.ok();
        size_limit(parameters.and_then(|all| all.get("MaxObjectBytes")?.parse().ok()))
    }

    /// The resources of this kind: their names in the template, and their own.
    pub(crate) async fn resources(&self, kind: &str) -> Result<BTreeMap<String, String>, DeploymentError> {
        self.found().await?;
        let all = Stacks::new(&self.sdk).resources(&self.stack).await?;
        Ok(all.into_iter().filter(|one| one.kind == kind).map(|one| (one.logical, one.physical)).collect())
    }

    async fn found(&self) -> Result<&Found, DeploymentError> {
        self.found.get_or_try_init(|| self.read()).await
    }

    async fn read(&self) -> Result<Found, DeploymentError> {
        let Some(found) = Stacks::new(&self.sdk).describe(&self.stack).await? else {
            // Whose account it is: that is what is mostly wrong. Not to know it is no reason to say less.
            let caller = aws_sdk_sts::Client::new(&self.sdk).get_caller_identity().send().await;
            let account =
                caller.ok().and_then(|caller| caller.account).unwrap_or_else(|| "of these credentials".into());
            return Err(DeploymentError::Absent { stack: self.stack.clone(), account, region: self.region() });
        };
        check_is_ours(&found)?;
        let status = found.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default();
        Ok(Found { status, outputs: outputs(&found), parameters: parameters(&found) })
    }
}

/// The name of a part by the outputs of its stack. Pure.
fn named(stack: &str, outputs: &BTreeMap<String, String>, part: Part) -> Result<String, DeploymentError> {
    match outputs.get(part.output()).filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.clone()),
        None if part == Part::QuarantineBucket && !outputs.is_empty() => {
            Err(DeploymentError::NoQuarantine(stack.to_owned()))
        }
        None => Err(DeploymentError::NoOutput { stack: stack.to_owned(), output: part.output() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [Part; 19] = [
        Part::DefinitionsBucket,
        Part::QuarantineBucket,
        Part::ScanRecords,
        Part::ScannerTrigger,
        Part::RescanTrigger,
        Part::RescannerFunction,
        Part::ScanQueue,
        Part::RescanQueue,
        Part::FullRescanQueue,
        Part::PassQueue,
        Part::ScanDeadLetters,
        Part::RescanDeadLetters,
        Part::PassDeadLetters,
        Part::AnnouncementDeadLetters,
        Part::ScannedBucket,
        Part::ScannerRole,
        Part::UpdaterFunction,
        Part::ScannerFunction,
        Part::RescanFunction,
    ];

    fn example() -> BTreeMap<String, String> {
        PARTS.iter().map(|part| (part.output().to_owned(), format!("the-{}", part.output()))).collect()
    }

    #[test]
    fn a_stack_on_the_command_line_outweighs_the_environment() {
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(counts("dev-table", &line("status")));
        assert!(!counts("dev-table", &line("status --stack prod")));
        assert!(!counts("dev-table", &line("status --stack=prod")));
        assert!(counts("dev-table", &line("status --stack prod --table dev-table")));
        assert!(counts("other", &line("status --stack prod --table=other")));
    }

    #[test]
    fn every_part_is_an_output_of_the_template() {
        let template = include_str!("../../infra/template.yaml");
        let (_, declared) = template.split_once("\nOutputs:\n").unwrap();
        for part in PARTS {
            assert!(declared.contains(&format!("\n  {}:\n", part.output())), "{part:?}");
            assert_eq!(named("nacre", &example(), part).unwrap(), format!("the-{}", part.output()));
        }
    }

    #[test]
    fn what_a_stack_does_not_have_is_said_with_a_remedy() {
        let mut outputs = example();
        outputs.remove("QuarantineBucket");
        outputs.insert("ScanRecords".into(), String::new());
        let error = |part| named("prod", &outputs, part).unwrap_err().to_string();
        assert!(error(Part::QuarantineBucket).contains("InfectedObjects=quarantine"));
        assert!(error(Part::ScanRecords).starts_with("the stack prod has no output ScanRecords"));
        let none = named("prod", &BTreeMap::new(), Part::QuarantineBucket).unwrap_err();
        assert!(matches!(none, DeploymentError::NoOutput { .. }));
    }

    #[tokio::test]
    async fn what_is_given_needs_no_stack_and_a_region_is_needed_always() {
        let config = SdkConfig::builder().build();
        assert!(matches!(Deployment::new(config, "nacre"), Err(DeploymentError::NoRegion)));
        let config = SdkConfig::builder().region(aws_config::Region::new("eu-west-1")).build();
        let deployment = Deployment::new(config, "nacre").unwrap();
        assert_eq!(deployment.name(Part::ScanRecords, Some("mine")).await.unwrap(), "mine");
    }
}
