//! `nacre scan` as a user runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use jsonschema::Validator;
use nacre_clamav::builder::{eicar, eicar_signature};
use nacre_core::verdict::Reason;
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::Value;
use tempfile::TempDir;

/// A directory with definitions that know EICAR, and one for files.
fn world() -> (TempDir, TempDir) {
    let (definitions, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(definitions.path().join("test.ndb"), eicar_signature()).unwrap();
    (definitions, files)
}

fn nacre_scan(definitions: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nacre"));
    command.arg("scan").arg("--definitions").arg(definitions).args(arguments).output().unwrap()
}

/// The results, each as `docs/schemas/scan.schema.json` says.
fn lines(output: &Output) -> Vec<Value> {
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_as_schema(&["scan", "--json"], &printed);
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn validator(schema: &str) -> Validator {
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

#[test]
fn the_schema_has_every_reason() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schemas/scan.schema.json")).unwrap();
    let known = schema["properties"]["reason"]["enum"].as_array().unwrap();
    let ours: Vec<Value> = Reason::ALL.iter().map(|reason| reason.name().into()).collect();
    assert_eq!(known, &[&[Value::Null], &ours[..]].concat());
}

#[test]
fn the_documentation_shows_this_screen() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("definitions/test.ndb", eicar_signature().as_bytes());
    put("files/a.txt", b"nothing at all\n");
    put("files/b.com", &eicar());
    let mut command = Command::new(env!("CARGO_BIN_EXE_nacre"));
    command.current_dir(directory.path()).args(["scan", "--definitions", "definitions", "files"]);
    let output = command.output().unwrap();
    let mut printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    printed.push_str(&output.status.code().unwrap().to_string());
    printed.push('\n');
    assert_screen("operations.md", "nacre scan --definitions definitions files; echo $?", &printed, &[]);
}

#[test]
fn sarif_is_one_log_of_what_was_found() {
    let (definitions, files) = world();
    fs::write(files.path().join("a.txt"), "nothing at all\n").unwrap();
    fs::write(files.path().join("b c.com"), eicar()).unwrap();
    let output = nacre_scan(definitions.path(), &["--sarif", files.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = validator(include_str!("../schemas/sarif-2.1.0.json"));
    assert!(schema.is_valid(&log), "{:?}: {log}", schema.validate(&log));
    let results = log["runs"][0]["results"].as_array().unwrap();
    let [found] = &results[..] else { panic!("{log}") };
    assert_eq!(found["ruleId"], "Eicar-Test-Signature.UNOFFICIAL");
    let uri = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
    assert!(uri.starts_with("file:///") && uri.ends_with("/b%20c.com"), "{uri}");
    assert_eq!(found["fingerprints"]["sha256/v1"].as_str().unwrap().len(), 64);
}

#[test]
fn the_exit_status_is_that_of_the_worst() {
    let (definitions, files) = world();
    let write = |name: &str, bytes: &[u8]| {
        let path = files.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (clean, infected) = (write("clean.txt", b"nothing at all\n"), write("eicar.com", &eicar()));
    let missing = files.path().join("missing").to_str().unwrap().to_owned();
    let status = |paths: &[&str]| nacre_scan(definitions.path(), paths).status.code();
    assert_eq!(status(&[&clean]), Some(0));
    assert_eq!(status(&[&clean, &infected]), Some(1));
    assert_eq!(status(&[&clean, &missing]), Some(2));
    assert_eq!(status(&[&missing, &infected]), Some(1), "what was found is there, whatever else was not seen");
    assert_eq!(status(&[]), Some(2), "there is nothing to scan");
}

#[test]
fn json_has_one_object_a_line_with_every_field() {
    let (definitions, files) = world();
    fs::write(files.path().join("a.txt"), "nothing at all\n").unwrap();
    fs::write(files.path().join("b.com"), eicar()).unwrap();
    let results = lines(&nacre_scan(definitions.path(), &["--json", files.path().to_str().unwrap()]));
    let [clean, infected] = &results[..] else { panic!("{results:?}") };
    let fields: Vec<&String> = clean.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["layers", "path", "reason", "signatures", "targets", "unread", "verdict"]);
    assert_eq!((&clean["verdict"], &clean["reason"]), (&"clean".into(), &Value::Null));
    assert!(clean["targets"].as_array().unwrap().contains(&7.into()), "a text file is seen as text: {clean}");
    assert_eq!(clean["layers"][0]["size"], 15);
    assert_eq!(infected["verdict"], "infected");
    assert_eq!(infected["signatures"], serde_json::json!(["Eicar-Test-Signature.UNOFFICIAL"]));
}

#[test]
fn what_cannot_be_scanned_is_never_clean() {
    let (definitions, files) = world();
    // An archive whose one file is marked as encrypted: general purpose bit 0.
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(
        "secret.txt",
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
    )
    .unwrap();
    std::io::Write::write_all(&mut zip, b"nobody knows what this is").unwrap();
    let mut archive = zip.finish().unwrap().into_inner();
    archive[6] |= 1;
    let central = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    archive[central + 8] |= 1;
    let path = files.path().join("secret.zip");
    fs::write(&path, archive).unwrap();
    let output = nacre_scan(
        definitions.path(),
        &["--json", path.to_str().unwrap(), files.path().join("gone").to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(2));
    let results = lines(&output);
    let verdicts: Vec<_> =
        results.iter().map(|result| (result["verdict"].as_str(), result["reason"].as_str())).collect();
    assert_eq!(verdicts, [(Some("unscannable"), Some("encrypted")), (Some("unscannable"), Some("not_found"))]);
}

/// libclamav 1.4 does neither where it has no hash of a file before it unpacks it.
#[test]
fn a_retyped_file_is_clean_and_a_large_document_is_not() {
    let (definitions, files) = world();
    let signature = format!("Retype;Engine:81-255,Target:0,HandlerType:CL_TYPE_HTML;0;{}\n", hex::encode("A Page"));
    fs::write(definitions.path().join("retype.ldb"), signature).unwrap();
    fs::write(files.path().join("a.txt"), "A Page, and nothing else\n").unwrap();
    let object = |content: &[u8]| {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let package = [b"\x02\0a\0a\0\0\0\x03\0\x02\0\0\0a\0", &length(content)[..], content, &[0; 2]].concat();
        let head = [&b"\x01\x05\0\0\x02\0\0\0\x08\0\0\0Package\0"[..], &[0; 8], &length(&package)].concat();
        format!("{{\\object\\objemb{{\\*\\objdata {}}}}}\n", hex::encode([head, package].concat()))
    };
    let objects = [object(b"just some words"), object(b"and some others"), object(&eicar())].concat();
    let text = "more text of a document \\par\n".repeat((12 << 20) / 29);
    fs::write(files.path().join("b.rtf"), format!("{{\\rtf1\\ansi hello\n{objects}{text}}}")).unwrap();
    let results = lines(&nacre_scan(definitions.path(), &["--json", files.path().to_str().unwrap()]));
    let verdicts: Vec<_> = results.iter().map(|result| result["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["clean", "infected"], "{results:?}");
}

#[test]
fn definitions_that_cannot_be_used_are_an_error_with_a_remedy() {
    let (definitions, files) = world();
    let file = files.path().join("a.txt");
    fs::write(&file, "nothing at all\n").unwrap();
    let said = |definitions: &Path| {
        let output = nacre_scan(definitions, &[file.to_str().unwrap()]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&definitions.path().join("nowhere")).contains("name one with --definitions"));
    assert!(said(files.path()).contains("the engine is not ready"), "a directory without definitions");
    fs::write(definitions.path().join("broken.ldb"), "not a signature\n").unwrap();
    assert!(said(definitions.path()).contains("Malformed database"));
}

#[test]
fn an_interrupted_scan_leaves_neither_copies_nor_processes() {
    let (definitions, files) = world();
    // A minute's work and more, so that it cannot have ended when it is interrupted.
    let path = files.path().join("large");
    fs::File::create(&path).unwrap().set_len(300 << 20).unwrap();
    for n in 0..100 {
        fs::hard_link(&path, files.path().join(format!("large-{n}"))).unwrap();
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nacre"));
    command.arg("scan").arg("--definitions").arg(definitions.path()).arg(files.path()).env("TMPDIR", scratch.path());
    let mut scan = command.spawn().unwrap();
    let left = || fs::read_dir(scratch.path()).unwrap().count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(10);
    while left() == 0 && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_ne!(left(), 0, "the engine's private directory is there while it scans");
    assert!(Command::new("kill").args(["-INT", &scan.id().to_string()]).status().unwrap().success());
    assert_eq!(scan.wait().unwrap().code(), Some(130));
    assert_eq!(left(), 0, "it is removed with the scan");
}
