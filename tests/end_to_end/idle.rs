//! A stack for what needs no function.

use std::io::Write;

use nacre_test_support::{Packages, Stack, StackOptions, install, programs_directory};
use tempfile::TempDir;

/// A deployed stack whose functions end at once.
pub(crate) async fn idle_stack(parameters: &[(&str, &str)]) -> (Stack, TempDir) {
    let programs = programs_directory().unwrap();
    let python = install(programs.parent().unwrap(), |_| ()).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(b"#!/bin/false\n").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let options = StackOptions {
        python,
        packages: Packages { updater: zip.clone(), rescanner: zip.clone(), scanner: zip.clone(), probe: zip },
        mirror: "http://127.0.0.1:9".into(),
        trust_anchors: String::new(),
        deployer: None,
        parameters: parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        scratch: scratch.path().to_owned(),
    };
    (Box::pin(Stack::start(options)).await.unwrap(), scratch)
}
