//! Why a database was not updated, and why a CDIFF was not used.

use std::{io, path::PathBuf};

use nacre_clamav::{
    cdiff::{ApplyError, CdiffError},
    cvd::VerifyError,
    detached_signature::DetachedError,
    unpacked::CldError,
};
use nacre_core::generation::published::PublishedError;

use crate::mirror::MirrorError;

/// Why a database could not be updated. What is published stays.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUpdateError {
    /// The mirrors did not give what was needed.
    #[error("{database} could not be fetched")]
    Mirror {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: MirrorError,
    },
    /// A whole database is not what its makers signed.
    #[error("{file} version {version} is not valid")]
    Verify {
        /// The file, such as `daily.cvd`.
        file: String,
        /// The version that its header claims, or `unknown`.
        version: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// The detached signature beside a whole database does not hold.
    #[error(
        "{file} is not valid: ask the mirror's operator, or set NACRE_DETACHED_SIGNATURES=ignore to rely on the other signatures alone"
    )]
    Detached {
        /// The file, such as `daily-27780.cvd.sign`.
        file: String,
        /// Why.
        #[source]
        source: DetachedError,
    },
    /// The members of a CLD make no database of ours.
    #[error("{file} cannot be packed anew")]
    Repack {
        /// The file, such as `daily.cld`.
        file: String,
        /// Why.
        #[source]
        source: UnusableResult,
    },
    /// The published database could not be read to be patched.
    #[error("the published {database} could not be read")]
    Published {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: PublishedError,
    },
    /// The scratch disk failed.
    #[error("{path} could not be written")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DatabaseUpdateError {
    /// Whether nobody has it: any other failure says more.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Mirror { source: MirrorError::Missing { .. }, .. })
    }
}

/// Why a CDIFF cannot be used; the whole CVD can.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableCdiff {
    #[error("it is not valid")]
    Cdiff(#[from] CdiffError),
    #[error("its detached signature does not hold")]
    Detached(#[from] DetachedError),
    #[error("it does not fit the database")]
    Apply(#[from] ApplyError),
}

/// Why members that scripts made are no database.
#[derive(Debug, thiserror::Error)]
pub enum UnusableResult {
    /// They cannot be packed.
    #[error("the patched members make no CLD")]
    Cld(#[from] CldError),
    /// They are not the signed ones.
    #[error("the patched database is not what its makers signed")]
    Verify(#[from] VerifyError),
}
