//! `nacre definitions verify`: whether files are what their makers signed.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use nacre_aws::SystemClock;
use nacre_clamav::{
    archive::ArchiveLimits,
    cdiff::{Cdiff, CdiffError},
    cvd::{Cvd, VerifyError},
    database::{ContainerKind, InvalidDatabaseName},
    detached_signature::{self, CertificateError, Detached, DetachedError, FUNCTIONALITY_LEVEL, RootCertificate},
    trust_anchor::TrustAnchors,
};
use nacre_core::port::Clock;

use super::{
    build_time,
    file_kind::{FileKind, database_of, version_of_cdiff},
    keys::{KeysArgument, KeysError, read_text},
    parse_date,
    source::{Files, Location, SourceError},
};
use crate::output::{FINDING, explain, failed, print};

/// Verify databases and CDIFFs.
///
/// Checks every signature that a file has: those within it, and a detached one beside it, `FILE.sign` or of a CVD also
/// `<database>-<version>.cvd.sign`. Prints one line for each file.
///
/// Exit status: 0 when all verify, 1 when one does not or cannot be read, 2 when nothing could be verified.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files to verify: .cvd, .cld, .cud or .cdiff
    #[arg(required = true, value_name = "FILE")]
    files: Vec<Location>,
    /// Root certificate that detached signatures must chain to; every file must have one then [default: that of the keys]
    #[arg(long, value_name = "PEM")]
    root: Option<Location>,
    /// Time at which the certificates must be valid: YYYY-MM-DD or RFC 3339 [default: now]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    at: Option<DateTime<Utc>>,
    #[command(flatten)]
    keys: KeysArgument,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("there are no keys to verify by")]
    Keys(#[from] KeysError),
    #[error("there is no root certificate to verify by")]
    ReadRoot(#[source] KeysError),
    #[error("the certificate {0} cannot be used")]
    Root(Location, #[source] CertificateError),
    #[error("the results cannot be written")]
    Output(#[from] std::io::Error),
}

/// Why one file does not verify.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("it cannot be read")]
    Read(#[from] SourceError),
    #[error("its name ends in none of .cvd, .cld, .cud and .cdiff")]
    Kind,
    #[error("its name is not that of a database")]
    Name(#[from] InvalidDatabaseName),
    #[error("its name is not <database>-<version>.cdiff")]
    CdiffName,
    #[error(transparent)]
    Container(#[from] VerifyError),
    #[error(transparent)]
    Cdiff(#[from] CdiffError),
    #[error("{0} cannot be read")]
    ReadSign(String, #[source] SourceError),
    #[error("{0} does not vouch for it")]
    Sign(String, #[source] DetachedError),
    #[error("{0} has no signature for functionality level {level}", level = FUNCTIONALITY_LEVEL.0)]
    SignNotForUs(String),
    #[error("there is no .sign beside it")]
    NoSign,
}

/// What a file is verified by.
struct Trust {
    anchors: TrustAnchors,
    /// What detached signatures must chain to.
    root: Option<RootCertificate>,
    /// Whether a file without a detached signature fails.
    must_have_sign: bool,
    at: DateTime<Utc>,
}

/// Runs the command.
pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    match verify_all(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDING),
        Err(error) => failed("definitions verify", &error),
    }
}

async fn verify_all(arguments: &Arguments) -> Result<bool, CommandError> {
    let files = Files::default();
    let anchors = arguments.keys.trust_anchors(&files).await?;
    let given = match &arguments.root {
        None => None,
        Some(location) => {
            let pem = read_text(&files, location).await.map_err(CommandError::ReadRoot)?;
            let root = RootCertificate::from_pem(&pem);
            Some(root.map_err(|error| CommandError::Root(location.clone(), error))?)
        }
    };
    let must_have_sign = given.is_some();
    let root = given.or_else(|| anchors.certificate.clone());
    let trust = Trust { anchors, root, must_have_sign, at: arguments.at.unwrap_or_else(|| SystemClock.now()) };
    let mut all = true;
    for location in &arguments.files {
        match verify_file(&files, location, &trust).await {
            Ok(summary) => print(&format!("{location}: OK {summary}"))?,
            Err(error) => {
                all = false;
                print(&format!("{location}: FAILED {}", explain(&error)))?;
            }
        }
    }
    Ok(all)
}

async fn verify_file(files: &Files, location: &Location, trust: &Trust) -> Result<String, FileError> {
    let name = location.file_name();
    let kind = match FileKind::of(name) {
        FileKind::Other => return Err(FileError::Kind),
        kind => kind,
    };
    let file = files.read(location).await?;
    let mut sign_names = vec![format!("{name}.sign")];
    let summary = if let FileKind::Container(kind) = kind {
        let database = database_of(name)?;
        let cvd = Cvd::parse_as(kind, &file).map_err(VerifyError::from)?;
        let header = cvd.verify(&database, &trust.anchors, ArchiveLimits::default())?.header;
        let version = header.version.0;
        if kind == ContainerKind::Cvd {
            sign_names.push(format!("{database}-{version}.cvd.sign"));
        }
        format!("version {version}, {} signatures, built {}", header.signatures, build_time(&header))
    } else {
        let version = version_of_cdiff(name).ok_or(FileError::CdiffName)?;
        let cdiff = Cdiff::parse(&file)?.verify(version, &trust.anchors)?;
        format!("version {}, {} bytes of script", cdiff.version.0, cdiff.script.len())
    };
    sign_names.dedup();
    let sign = verify_sign(files, location, &sign_names, &file, trust).await?;
    Ok(format!("{summary}, signed by {}{sign}", trust.anchors.identity()))
}

/// Verifies every detached signature that is there. Returns the outcome in words, empty when there is no signature.
async fn verify_sign(
    files: &Files,
    location: &Location,
    names: &[String],
    file: &[u8],
    trust: &Trust,
) -> Result<String, FileError> {
    let (mut outcome, mut vouched) = (String::new(), false);
    for name in names {
        let sign = match files.read(&location.beside(name)).await {
            Ok(sign) => sign,
            Err(SourceError::NotFound) => continue,
            Err(error) => return Err(FileError::ReadSign(name.clone(), error)),
        };
        let Some(root) = &trust.root else {
            return Ok(", .sign not checked: there is no root certificate".into());
        };
        let verified = detached_signature::verify(&sign, file, root, FUNCTIONALITY_LEVEL, trust.at);
        match verified.map_err(|error| FileError::Sign(name.clone(), error))? {
            Detached::Signed { signer } => {
                outcome = format!(", .sign by {signer}");
                vouched = true;
            }
            // It vouches for as little as a missing one.
            Detached::NotForUs if trust.must_have_sign => return Err(FileError::SignNotForUs(name.clone())),
            Detached::NotForUs if !vouched => {
                outcome = ", .sign not checked: it is for other versions of ClamAV".into();
            }
            Detached::NotForUs => {}
        }
    }
    if trust.must_have_sign && !vouched { Err(FileError::NoSign) } else { Ok(outcome) }
}
