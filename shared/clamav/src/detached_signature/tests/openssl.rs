//! The same cases given to OpenSSL, which ClamAV verifies with.

use std::{path::Path, process::Command};

use super::{
    cases::{Case, cases},
    *,
};

/// Whether OpenSSL takes a signature as ClamAV has it do.
fn openssl_takes(directory: &Path, file: &[u8], content: &[u8], root_pem: &str) -> bool {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let text = file.rsplit(|byte| *byte == b':').next().unwrap();
    let der = Base64::decode_vec(std::str::from_utf8(text).unwrap().trim()).unwrap();
    for (name, bytes) in [("s.der", der.as_slice()), ("content", content), ("root.pem", root_pem.as_bytes())] {
        std::fs::write(path(name), bytes).unwrap();
    }
    let mut command = Command::new("openssl");
    command.args(["cms", "-verify", "-binary", "-inform", "DER", "-attime", &today().timestamp().to_string()]);
    command.args(["-in", &path("s.der"), "-content", &path("content"), "-CAfile", &path("root.pem")]);
    command.args(["-out", &path("out")]).output().unwrap().status.success()
}

#[test]
fn openssl_says_the_same_but_where_we_know_of_it() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let takes =
        |case: &Case, content: &[u8]| openssl_takes(directory.path(), &case.file, content, &case.root.root_pem());
    let cases: Vec<Case> = cases().collect();
    let surprises = cases.iter().filter(|case| takes(case, CONTENT) != case.openssl);
    assert_eq!(surprises.map(|case| (&case.name, &case.expected)).collect::<Vec<_>>(), []);
    let careless = cases.iter().filter(|case| takes(case, b"other content"));
    assert_eq!(careless.map(|case| &case.name).collect::<Vec<_>>(), [""; 0]);
}
