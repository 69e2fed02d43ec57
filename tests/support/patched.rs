//! ClamAV's libraries with another key.
//!
//! ClamAV's programs take databases by ClamAV alone, whose keys are in its libraries as decimal numbers. A private copy of these, in
//! which the numbers are our own, makes the stock programs take synthetic databases with not one instruction changed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use nacre_clamav::{digital_signature::RsaPublicKey, trust_anchor::TrustAnchors};

use crate::error::{StackError, system};

/// Copies the libraries that `program` is linked with and that have ClamAV's keys, and puts these keys in their place.
///
/// # Errors
/// [`StackError::System`], and [`StackError::NoKey`] where a library does not have ClamAV's key once as text.
pub fn copy_libraries(program: &Path, to: &Path, own: &TrustAnchors) -> Result<(), StackError> {
    let clamav = TrustAnchors::clamav();
    let libraries = libraries(program)?;
    let find = |name: &str| {
        let found = libraries.iter().find(|(file, _)| file.starts_with(name));
        found.ok_or_else(|| StackError::NoKey { library: name.into() })
    };
    let replaced: [(&str, &[(&RsaPublicKey, &RsaPublicKey)]); 2] = [
        ("libclamav.so", &[(&clamav.container, &own.container), (&clamav.info, &own.info)]),
        ("libfreshclam.so", &[(&clamav.cdiff, &own.cdiff)]),
    ];
    for (name, keys) in replaced {
        let (file, library) = find(name)?;
        let mut bytes = fs::read(library).map_err(system(format!("reading {}", library.display())))?;
        for (theirs, ours) in keys {
            for (theirs, ours) in [(&theirs.modulus, &ours.modulus), (&theirs.exponent, &ours.exponent)] {
                let (theirs, ours) = (theirs.to_string(), ours.to_string());
                replace(&mut bytes, &theirs, &ours).ok_or_else(|| StackError::NoKey { library: library.clone() })?;
            }
        }
        fs::write(to.join(file), bytes).map_err(system("writing a library"))?;
    }
    Ok(())
}

/// Writes a program that runs another with these libraries: an engine is started without an environment.
///
/// # Errors
/// [`StackError::System`].
pub fn with_libraries(program: &Path, libraries: &Path, to: &Path) -> Result<(), StackError> {
    script(to, &format!("LD_LIBRARY_PATH='{}' exec '{}' \"$@\"", libraries.display(), program.display()))
}

/// Writes a program of one command.
///
/// # Errors
/// [`StackError::System`].
pub fn script(path: &Path, command: &str) -> Result<(), StackError> {
    fs::write(path, format!("#!/bin/sh\n{command}\n")).map_err(system("writing a script"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(system("writing a script"))
}

/// The libraries of a program: the names by which it asks for them, and where they are.
fn libraries(program: &Path) -> Result<Vec<(String, PathBuf)>, StackError> {
    let listed = Command::new("ldd").arg(program).output().map_err(system("asking ldd for libraries"))?;
    let line = |line: &str| {
        let (name, rest) = line.trim().split_once(" => ")?;
        Some((name.to_owned(), PathBuf::from(rest.split(" (").next()?)))
    };
    Ok(String::from_utf8_lossy(&listed.stdout).lines().filter_map(line).collect())
}

/// Replaces the only place of a number by another, with zeros before it to the same length.
fn replace(bytes: &mut [u8], theirs: &str, ours: &str) -> Option<()> {
    let mut places = bytes.windows(theirs.len()).enumerate().filter(|(_, window)| *window == theirs.as_bytes());
    let (place, _) = places.next()?;
    if places.next().is_some() || ours.len() > theirs.len() {
        return None;
    }
    let padded = format!("{ours:0>width$}", width = theirs.len());
    bytes.get_mut(place..place + theirs.len())?.copy_from_slice(padded.as_bytes());
    Some(())
}
