//! Every name on the wire, as literal JSON: a rename in Rust must not change it.

use nacre_engine_protocol::{
    Command, Digests, Failure, FailureCode, Hello, Landlock, Layer, Limits, Loaded, Message, Outcome, Proposal,
    Proposed, Report, Request, Response, Sandbox, Severity,
};
use serde_json::{Value, json, to_value};

const LIMITS: Limits =
    Limits { max_scan_size: 1, max_file_size: 2, max_files: 3, max_recursion: 4, max_scan_time_ms: 5, max_memory: 6 };

fn assert_request(command: Command, json: Value) {
    let request = Request { id: 7, command };
    assert_eq!(to_value(&request).ok(), Some(json.clone()));
    assert_eq!(serde_json::from_value::<Request>(json).ok(), Some(request));
}

fn assert_response(outcome: Outcome, json: Value) {
    let response = Response { id: 7, outcome };
    assert_eq!(to_value(&response).ok(), Some(json.clone()));
    assert_eq!(serde_json::from_value::<Response>(json).ok(), Some(response));
}

#[test]
fn requests_keep_their_names() {
    assert_request(Command::Hello { protocol: 2 }, json!({"id": 7, "command": "hello", "protocol": 2}));
    assert_request(Command::Load { directory: "/d".into() }, json!({"id": 7, "command": "load", "directory": "/d"}));
    assert_request(
        Command::Scan { engine: 1, file: "f".into(), limits: LIMITS, deadline_ms: 8 },
        json!({"id": 7, "command": "scan", "engine": 1, "file": "f", "deadline_ms": 8, "limits": {
            "max_scan_size": 1, "max_file_size": 2, "max_files": 3, "max_recursion": 4, "max_scan_time_ms": 5,
            "max_memory": 6}}),
    );
    assert_request(Command::Cancel { scan: 6 }, json!({"id": 7, "command": "cancel", "scan": 6}));
    assert_request(Command::Unload { engine: 1 }, json!({"id": 7, "command": "unload", "engine": 1}));
}

#[test]
fn responses_keep_their_names() {
    for (landlock, name) in [(Landlock::Full, "full"), (Landlock::Partial, "partial"), (Landlock::Absent, "absent")] {
        let hello = Hello {
            protocol: 2,
            clamav_version: "1.4.6".into(),
            functionality_level: 216,
            unrar: true,
            sandbox: Sandbox { no_new_privileges: true, not_dumpable: true, seccomp: true, landlock },
        };
        assert_response(
            Outcome::Hello(hello),
            json!({"id": 7, "outcome": "hello", "protocol": 2, "clamav_version": "1.4.6", "functionality_level": 216,
                "unrar": true, "sandbox": {"no_new_privileges": true, "not_dumpable": true, "seccomp": true, "landlock": name}}),
        );
    }
    let loaded = Loaded {
        engine: 1,
        signatures: 2,
        eicar: vec!["E".into()],
        load_ms: 3,
        compile_ms: 4,
        canary_ms: 5,
        messages: vec![Message { severity: Severity::Warning, text: "w".into() }],
    };
    assert_response(
        Outcome::Loaded(loaded),
        json!({"id": 7, "outcome": "loaded", "engine": 1, "signatures": 2, "eicar": ["E"], "load_ms": 3,
            "compile_ms": 4, "canary_ms": 5, "messages": [{"severity": "warning", "text": "w"}]}),
    );
    assert_response(Outcome::Cancelled, json!({"id": 7, "outcome": "cancelled"}));
    assert_response(Outcome::Unloaded, json!({"id": 7, "outcome": "unloaded"}));
}

#[test]
fn reports_keep_their_names() {
    let report = Report {
        status: 1,
        alerts: vec!["A".into()],
        limits_exceeded: vec!["L".into()],
        encrypted: vec!["E".into()],
        targets: 2,
        layers: vec![Layer {
            file_type: "T".into(),
            size: 3,
            depth: 4,
            md5: "m".into(),
            sha1: "s".into(),
            sha256: "t".into(),
        }],
        layer_count: 5,
        derived: vec![Digests { size: 6, md5: "m".into(), sha1: "s".into(), sha256: "t".into() }],
        unread: 7,
        proposals: vec![
            Proposal { filter: "F".into(), of: Proposed::File, digest: "d".into(), size: Some(1) },
            Proposal { filter: "F".into(), of: Proposed::Section, digest: "e".into(), size: None },
        ],
        unlooked: 11,
        unopened: 8,
        read_whole: vec![0],
        containers: vec!["C".into()],
        empty: vec![0],
        messages: vec![
            Message { severity: Severity::Warning, text: "w".into() },
            Message { severity: Severity::Error, text: "e".into() },
        ],
        bytes_scanned: 9,
        duration_ms: 10,
    };
    assert_response(
        Outcome::Scanned(report),
        json!({"id": 7, "outcome": "scanned", "status": 1, "alerts": ["A"], "limits_exceeded": ["L"],
            "encrypted": ["E"], "targets": 2,
            "layers": [{"file_type": "T", "size": 3, "depth": 4, "md5": "m", "sha1": "s", "sha256": "t"}],
            "layer_count": 5, "derived": [{"size": 6, "md5": "m", "sha1": "s", "sha256": "t"}],
            "unread": 7, "proposals": [{"filter": "F", "of": "file", "digest": "d", "size": 1},
                {"filter": "F", "of": "section", "digest": "e", "size": null}],
            "unlooked": 11, "unopened": 8, "read_whole": [0], "containers": ["C"], "empty": [0],
            "messages": [{"severity": "warning", "text": "w"}, {"severity": "error", "text": "e"}],
            "bytes_scanned": 9, "duration_ms": 10}),
    );
}

#[test]
fn failure_codes_keep_their_names() {
    for (code, name) in [
        (FailureCode::BadRequest, "bad_request"),
        (FailureCode::ProtocolMismatch, "protocol_mismatch"),
        (FailureCode::NoSuchEngine, "no_such_engine"),
        (FailureCode::LoadFailed, "load_failed"),
        (FailureCode::CanaryFailed, "canary_failed"),
        (FailureCode::DeadlineExceeded, "deadline_exceeded"),
        (FailureCode::Cancelled, "cancelled"),
        (FailureCode::WorkerDied, "worker_died"),
        (FailureCode::Internal, "internal"),
    ] {
        assert_response(
            Outcome::Failed(Failure { code, message: "m".into() }),
            json!({"id": 7, "outcome": "failed", "code": name, "message": "m"}),
        );
    }
}
