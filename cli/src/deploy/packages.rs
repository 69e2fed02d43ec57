//! The functions' packages, as `make package` writes them.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use nacre_clamav::digest::Sha256Digest;
use zip::ZipArchive;

/// Each package, and the parameter of the template that names its key.
const PACKAGES: [(&str, &str); 3] =
    [("updater.zip", "UpdaterCodeKey"), ("rescanner.zip", "RescannerCodeKey"), ("scanner.zip", "ScannerCodeKey")];

/// What a package's entry `VERSION` may have at most; ours has four lines.
const MAX_VERSION_BYTES: u64 = 4096;

/// Why packages cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("{path} cannot be read: run `make package`, or name the directory of the packages with --packages")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not what SHA256SUMS beside it says: run `make package` again")]
    Digest(PathBuf),
    #[error("{path} is not a package: run `make package` again")]
    Zip {
        path: PathBuf,
        #[source]
        source: zip::result::ZipError,
    },
    #[error("the packages are for different processors ({0}): make all of them on the same host")]
    Mixed(String),
}

/// One package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// The template's parameter for its key.
    pub(crate) parameter: &'static str,
    /// Its key: named by its content, so that `CloudFormation` sees that a function changed, and uploads can be repeated.
    pub(crate) key: String,
    pub(crate) bytes: Vec<u8>,
    /// Of all that is in it.
    pub(crate) unpacked: u64,
    /// As the template names processors; `None` when the package does not say.
    architecture: Option<&'static str>,
}

/// Reads the functions' packages in a directory, and checks them against its SHA256SUMS where there is one.
pub(crate) fn read(directory: &Path) -> Result<Vec<Package>, PackageError> {
    PACKAGES.into_iter().map(|package| read_one(directory, package)).collect()
}

/// Reads one package, and checks it against the directory's SHA256SUMS where that names it.
pub(crate) fn read_one(
    directory: &Path,
    (file, parameter): (&'static str, &'static str),
) -> Result<Package, PackageError> {
    let sums = match fs::read_to_string(directory.join("SHA256SUMS")) {
        Ok(sums) => parse_sums(&sums),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(source) => return Err(PackageError::Read { path: directory.join("SHA256SUMS"), source }),
    };
    let path = directory.join(file);
    let bytes = fs::read(&path).map_err(|source| PackageError::Read { path: path.clone(), source })?;
    let digest = Sha256Digest::of(&bytes).to_string();
    if sums.get(file).is_some_and(|sum| *sum != digest) {
        return Err(PackageError::Digest(path));
    }
    let (unpacked, architecture) = contents(&bytes).map_err(|source| PackageError::Zip { path, source })?;
    Ok(Package { parameter, key: format!("nacre/packages/{digest}.zip"), bytes, unpacked, architecture })
}

/// The processor that all packages are for; `None` when none of them says.
pub(crate) fn architecture(packages: &[Package]) -> Result<Option<&'static str>, PackageError> {
    let mut named: Vec<_> = packages.iter().filter_map(|package| package.architecture).collect();
    named.sort_unstable();
    named.dedup();
    if named.len() > 1 { Err(PackageError::Mixed(named.join(", "))) } else { Ok(named.pop()) }
}

/// Lines of `sha256sum`: a digest, two characters, a name.
fn parse_sums(sums: &str) -> BTreeMap<String, String> {
    let lines = sums.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(sum, name)| (name.trim_start_matches([' ', '*']).to_owned(), sum.to_owned())).collect()
}

/// Bytes of all files, and the processor that `VERSION` names.
fn contents(bytes: &[u8]) -> zip::result::ZipResult<(u64, Option<&'static str>)> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    let mut unpacked = 0_u64;
    for index in 0..zip.len() {
        unpacked = unpacked.saturating_add(zip.by_index_raw(index)?.size());
    }
    if zip.index_for_name("VERSION").is_none() {
        return Ok((unpacked, None));
    }
    let mut version = String::new();
    zip.by_name("VERSION")?.take(MAX_VERSION_BYTES).read_to_string(&mut version)?;
    let named = version.lines().find_map(|line| line.strip_prefix("architecture "));
    let architecture = match named {
        Some("x86_64") => Some("x86_64"),
        Some("aarch64" | "arm64") => Some("arm64"),
        _ => None,
    };
    Ok((unpacked, architecture))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn package(architecture: &str) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in [
            ("bootstrap", "a program".to_owned()),
            ("VERSION", format!("nacre 0\ncommit 1\narchitecture {architecture}\n")),
        ] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn written(architectures: [&str; 3]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for ((file, _), architecture) in PACKAGES.iter().zip(architectures) {
            fs::write(directory.path().join(file), package(architecture)).unwrap();
        }
        directory
    }

    #[test]
    fn packages_are_named_by_their_content_and_say_their_processor() {
        let directory = written(["aarch64"; 3]);
        let packages = read(directory.path()).unwrap();
        let expected = format!("nacre/packages/{}.zip", Sha256Digest::of(&package("aarch64")));
        assert!(packages.iter().all(|package| package.key == expected && package.unpacked > 9));
        assert_eq!(architecture(&packages).unwrap(), Some("arm64"));
        let sums = format!("{}  updater.zip\n", Sha256Digest::of(&package("aarch64")));
        fs::write(directory.path().join("SHA256SUMS"), sums).unwrap();
        assert!(read(directory.path()).is_ok());
    }

    #[test]
    fn what_is_not_as_it_was_made_is_refused() {
        let mixed = written(["x86_64", "aarch64", "x86_64"]);
        let packages = read(mixed.path()).unwrap();
        assert!(matches!(architecture(&packages), Err(PackageError::Mixed(names)) if names == "arm64, x86_64"));
        fs::write(mixed.path().join("SHA256SUMS"), format!("{}  scanner.zip\n", "0".repeat(64))).unwrap();
        assert!(matches!(read(mixed.path()), Err(PackageError::Digest(path)) if path.ends_with("scanner.zip")));
        fs::remove_file(mixed.path().join("SHA256SUMS")).unwrap();
        fs::write(mixed.path().join("scanner.zip"), "no zip").unwrap();
        assert!(matches!(read(mixed.path()), Err(PackageError::Zip { .. })));
        fs::remove_file(mixed.path().join("scanner.zip")).unwrap();
        assert!(matches!(read(mixed.path()), Err(PackageError::Read { .. })));
    }
}
