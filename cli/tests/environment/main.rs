//! What every command that reaches AWS says when the environment is wrong: one sentence with the remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics fails, as it should")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
};

/// Commands that reach AWS, by no name but the stack's.
const COMMANDS: [&[&str]; 22] = [
    &["definitions", "list"],
    &["definitions", "status"],
    &["definitions", "rollback"],
    &["definitions", "unpin"],
    &["rescan", "plan"],
    &["rescan", "start"],
    &["rescan", "status"],
    &["rescan", "cancel"],
    &["backfill", "s3://bucket"],
    &["quarantine", "list"],
    &["status"],
    &["doctor"],
    &["object", "s3://bucket/key"],
    &["infected"],
    &["unscannable"],
    &["trigger", "s3://bucket/key"],
    &["dlq", "list"],
    &["dlq", "redrive", "scan"],
    &["logs"],
    &["destroy"],
    &["report", "--output", "/dev/null"],
    &["console"],
];

/// Runs each command in this environment, which must be said to be wrong by this sentence.
fn each_says(sentence: &str, environment: &[(&str, &str)]) {
    let home = tempfile::tempdir().unwrap();
    let run = &|arguments: &'static [&'static str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nacre"));
        command.args(arguments).env_clear().env("HOME", home.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_MAX_ATTEMPTS", "1").envs(environment.iter().copied());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{arguments:?}: {said}");
        assert!(!said.contains("dispatch failure") && said.lines().count() == 1, "{arguments:?}: {said}");
    };
    // Together: most of them wait before they try again.
    thread::scope(|scope| COMMANDS.into_iter().for_each(|arguments| drop(scope.spawn(move || run(arguments)))));
}

/// AWS as it responds to credentials that have expired, at an address of its own.
fn expired() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|connection| drop(refuse(connection))));
    format!("http://{address}")
}

fn refuse(mut connection: TcpStream) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte)? > 0 {
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    connection.read_exact(&mut vec![0; length.unwrap_or_default()])?;
    let body = if head.contains("x-amz-target") || head.contains("/functions/") {
        r#"{"__type":"x#ExpiredTokenException","message":"The security token included in the request is expired"}"#
    } else if head.starts_with("post") {
        "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>expired</Message></Error></ErrorResponse>"
    } else {
        "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    };
    let length = body.len();
    write!(connection, "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];

#[test]
fn a_missing_region_is_said() {
    each_says("no AWS region is set: set AWS_REGION", &KEYS);
}

#[test]
fn missing_credentials_are_said() {
    each_says("there are no AWS credentials: sign in", &[("AWS_REGION", "eu-west-1")]);
}

#[test]
fn expired_credentials_are_said() {
    let endpoint = expired();
    let environment = [&KEYS[..], &[("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", &endpoint)]].concat();
    each_says("the AWS credentials have expired: sign in again", &environment);
}

#[test]
fn a_network_without_aws_is_said() {
    let nowhere = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let environment = [&KEYS[..], &[("AWS_REGION", "eu-west-1"), nowhere]].concat();
    each_says("AWS cannot be reached: check the network", &environment);
}
