//! The local stack, deployed and running.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use aws_config::SdkConfig;
use serde_json::Value;

use crate::{
    command::{PACKAGES, deploy_by_command},
    deploy::deploy,
    error::{StackError, system},
    identity,
    invocation::{self, InvokeOutcome},
    ministack::MiniStack,
    packages::{Packages, programs_directory},
    supervised::ProcessInfo,
};

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// The Python that [`install`](crate::install) returned.
    pub python: PathBuf,
    /// The functions' packages.
    pub packages: Packages,
    /// Where definitions come from, such as [`Mirror::url`](crate::Mirror::url).
    pub mirror: String,
    /// The keys that definitions must be signed by, as JSON; empty means `ClamAV`'s own.
    pub trust_anchors: String,
    /// Further parameters of the template, which win over those above.
    pub parameters: Vec<(String, String)>,
    /// The program `nacre`, to deploy with its `deploy`: then the stack has definitions when it is there. Without, the template is
    /// deployed by calls of our own and no update is run.
    pub deployer: Option<PathBuf>,
    /// Directory for everything that the stack writes, its log included; made when missing, never removed.
    pub scratch: PathBuf,
}

/// A warm execution environment of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The function's process.
    pub process: i32,
}

impl Environment {
    /// Its `/tmp`, which ends with it.
    pub fn tmp(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/tmp", self.process))
    }
}

/// A deployed stack. All that it started is ended when it is stopped or dropped, or when this process ends in whatever way.
#[derive(Debug)]
pub struct Stack {
    ministack: MiniStack,
    sdk: SdkConfig,
    outputs: BTreeMap<String, String>,
    users: AtomicUsize,
}

impl Stack {
    /// Starts `MiniStack` on a free port of loopback and deploys the template into it.
    ///
    /// # Errors
    /// [`StackError`].
    pub async fn start(options: StackOptions) -> Result<Self, StackError> {
        fs::create_dir_all(&options.scratch).map_err(system(format!("making {}", options.scratch.display())))?;
        let scratch = fs::canonicalize(&options.scratch).map_err(system("looking up the scratch directory"))?;
        let ministack =
            MiniStack::start(&options.python, &programs_directory()?.join("nacre-lambda-cell"), &scratch).await?;
        let sdk = identity::operator(&ministack.endpoint).await;
        let ours = [
            ("DefinitionsMirror", options.mirror),
            ("TrustAnchors", options.trust_anchors),
            // Each is a process with an engine of its own, on a machine that may have two processors.
            ("ScanConcurrency", "2".to_owned()),
            ("RescanConcurrency", "2".to_owned()),
            ("PassConcurrency", "2".to_owned()),
        ];
        let ours = ours.map(|(name, value)| (name.to_owned(), value));
        let mut parameters: Vec<_> = ours.into_iter().chain(options.parameters).collect();
        let outputs = if let Some(program) = &options.deployer {
            let administrator = identity::administrator(&sdk, &ministack.endpoint, "deployer").await?;
            deploy_by_command(program, &administrator, &options.packages, &parameters, &scratch).await?
        } else {
            // A test's mirror is filled once the stack is there, and each says itself when the updater is to look.
            parameters.push(("StartFirstUpdate".to_owned(), "False".to_owned()));
            deploy(&sdk, &options.packages, &parameters).await?
        };
        Ok(Self { ministack, sdk, outputs, users: AtomicUsize::new(0) })
    }

    /// The environment in which programs of AWS's talk to this stack as the operator.
    pub fn operator_environment(&self) -> [(&'static str, String); 4] {
        identity::operator_environment(&self.ministack.endpoint)
    }

    /// The environment in which programs are a new IAM user who may do all that no policy denies.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn administrator_environment(&self) -> Result<[(&'static str, String); 4], StackError> {
        let name = format!("administrator-{}", self.users.fetch_add(1, Ordering::Relaxed));
        identity::administrator(&self.sdk, &self.ministack.endpoint, &name).await
    }

    /// Calls that were made so far, each as its action and the ARN of who made it.
    ///
    /// # Errors
    /// [`StackError`].
    pub fn calls(&self) -> Result<Vec<(String, String)>, StackError> {
        let log = self.logs().join("calls.log");
        let log = fs::read_to_string(&log).map_err(system(format!("reading {}", log.display())))?;
        let call = |line: &str| line.split_once(' ').map(|(action, caller)| (action.to_owned(), caller.to_owned()));
        Ok(log.lines().filter_map(call).collect())
    }

    /// The clients' configuration with the operator's credentials, whom policies do not bind.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.sdk
    }

    /// S3 as the operator.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.sdk)
    }

    /// `DynamoDB` as the operator.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.sdk)
    }

    /// SNS as the operator.
    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.sdk)
    }

    /// SQS as the operator.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    /// Lambda as the operator.
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.sdk)
    }

    /// An output of the template.
    ///
    /// # Panics
    /// When the template has none of that name.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("infra/template.yaml has no output {name}"))
    }

    /// S3 as a new IAM user who may read, write and tag the scanned bucket's objects, and nothing else.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn ordinary_user(&self) -> Result<aws_sdk_s3::Client, StackError> {
        self.user_of(self.output("ScannedBucket")).await
    }

    /// S3 as a new IAM user who may do the same in another bucket.
    ///
    /// # Errors
    /// [`StackError::Call`].
    pub async fn user_of(&self, bucket: &str) -> Result<aws_sdk_s3::Client, StackError> {
        let name = format!("ordinary-{}", self.users.fetch_add(1, Ordering::Relaxed));
        let user = identity::ordinary_user(&self.sdk, &name, bucket).await?;
        Ok(aws_sdk_s3::Client::new(&user))
    }

    /// Calls a function, named by its output's value, and waits for its answer.
    ///
    /// # Errors
    /// [`StackError::Call`] when it could not be called; its own failure is an outcome.
    pub async fn invoke(&self, function: &str, payload: Value) -> Result<InvokeOutcome, StackError> {
        invocation::invoke(&self.sdk, function, &payload).await
    }

    /// Address of the local AWS.
    pub fn endpoint(&self) -> &str {
        &self.ministack.endpoint
    }

    /// For when something went wrong: a directory with `ministack.log` and a log of each function that ran.
    pub fn logs(&self) -> &Path {
        &self.ministack.logs
    }

    /// The warm execution environments of a function, named by its output's value.
    pub fn environments(&self, function: &str) -> Vec<Environment> {
        let wanted = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
        let is_its = |process: &ProcessInfo| {
            let variables = fs::read(format!("/proc/{}/environ", process.id)).unwrap_or_default();
            process.name == "bootstrap" && variables.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
        };
        let processes = self.ministack.processes().into_iter();
        processes.filter(is_its).map(|process| Environment { process: process.id }).collect()
    }

    /// The packages that the stack was deployed of, when `nacre deploy` deployed it.
    pub fn packages(&self) -> PathBuf {
        self.ministack.logs.with_file_name(PACKAGES)
    }

    /// Everything that the stack and its functions run at this moment.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        self.ministack.processes()
    }

    /// The engines that functions run at this moment: process ids of the zygotes, not of their workers.
    pub fn engine_processes(&self) -> Vec<i32> {
        let processes = self.ministack.processes();
        let is_engine = |process: &ProcessInfo| process.name == "nacre-engine";
        let engines: Vec<_> = processes.iter().filter(|process| is_engine(process)).collect();
        let is_worker = |process: &ProcessInfo| engines.iter().any(|engine| engine.id == process.parent);
        engines.iter().filter(|engine| !is_worker(engine)).map(|engine| engine.id).collect()
    }

    /// Stops everything and waits until all of it is gone.
    ///
    /// # Errors
    /// [`StackError::LeftRunning`] when something is not.
    pub async fn stop(self) -> Result<(), StackError> {
        self.ministack.stop().await
    }
}
