use nacre_core::generation::Generation;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn event(request_type: &str, url: &str) -> Value {
    json!({
        "RequestType": request_type, "RequestId": "r", "ResponseURL": url, "LogicalResourceId": "FirstUpdate",
        "StackId": "arn:aws:cloudformation:eu-west-1:1:stack/nacre/1", "ResourceType": "Custom::FirstUpdate",
        "ResourceProperties": { "ServiceToken": "arn" },
    })
}

fn request(request_type: &str, url: &str) -> StackRequest {
    StackRequest::parse(&event(request_type, url)).unwrap()
}

fn data(answer: &[u8]) -> (String, String) {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!((&answer["Status"], &answer["RequestId"]), (&json!("SUCCESS"), &json!("r")));
    assert_eq!((&answer["LogicalResourceId"], answer["StackId"].as_str().is_some()), (&json!("FirstUpdate"), true));
    let text = |name: &str| answer["Data"][name].as_str().unwrap().to_owned();
    (text("Generation"), text("Outcome"))
}

#[test]
fn only_a_stacks_request_is_one() {
    assert!(request("Create", "https://s3/").request_type == RequestType::Create);
    assert!(request("Delete", "https://s3/").is_deletion() && !request("Update", "https://s3/").is_deletion());
    for other in [
        json!({ "source": "aws.events", "detail-type": "Scheduled Event" }),
        json!({ "RequestType": "Create" }),
        event("Recreate", "https://s3/"),
        Value::Null,
        json!("Create"),
    ] {
        assert_eq!(StackRequest::parse(&other), None, "{other}");
    }
}

#[test]
fn an_update_succeeds_for_the_stack_whatever_it_came_to() {
    let request = request("Create", "https://s3/");
    let published =
        Update::Published { generation: Generation(1), databases: vec!["daily 1".into()], held: Vec::new() };
    assert_eq!(data(&request.answer(Some(&Ok(published)))), ("1".into(), "published generation 1: daily 1".into()));
    let (generation, outcome) = data(&request.answer(Some(&Err(UpdateError::OutOfTime))));
    assert_eq!(generation, "none");
    assert!(outcome.starts_with("failed, and is tried again on schedule: the time of the invocation ran out"));
    assert_eq!(data(&request.answer(None)), ("none".into(), "nothing to do".into()));
}

#[test]
fn the_resource_keeps_its_identity() {
    let mut again = event("Update", "https://s3/");
    again["PhysicalResourceId"] = json!("as it was");
    let answer = StackRequest::parse(&again).unwrap().answer(None);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["PhysicalResourceId"], "as it was");
}

/// `CloudFormation` takes 4,096 bytes and no more; without an answer it would wait until its time is over.
#[test]
fn no_error_makes_an_answer_too_long() {
    for text in ["\"".repeat(100_000), "\n".repeat(100_000), "ü€".repeat(50_000), "\u{1}\\".repeat(50_000)] {
        let error = UpdateError::Stale { age: text, until: chrono::DateTime::UNIX_EPOCH };
        let answer = request("Create", "https://s3/").answer(Some(&Err(error)));
        assert!(answer.len() <= 4096, "{}", answer.len());
        data(&answer);
    }
}

#[test]
fn answers_go_by_https_or_to_a_local_aws() {
    let allowed = |url: &str, endpoint| is_allowed(&Url::parse(url).unwrap(), endpoint);
    assert!(allowed("https://cloudformation-custom-resource-response.s3.amazonaws.com/x?y", None));
    let local = Some("http://127.0.0.1:4566");
    assert!(allowed("http://127.0.0.1:4566/_ministack/x", local) && allowed("http://[::1]:1/", local));
    assert!(!allowed("http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", None), "the runtime's own API");
    assert!(!allowed("http://127.0.0.1:4566/", Some("https://s3.internal.example")));
    assert!(!allowed("http://169.254.169.254/", local) && !allowed("ftp://127.0.0.1/", local));
    assert!(!allowed("http://127.0.0.1.example/", local) && !allowed("file:///etc/passwd", local));
}

/// Answers each connection with the next of these, and returns the requests.
async fn served(statuses: &'static [&'static str], listener: TcpListener) -> Vec<String> {
    let mut requests = Vec::new();
    for status in statuses {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request ends early");
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        requests.push(String::from_utf8(bytes).unwrap());
    }
    requests
}

#[tokio::test]
async fn an_answer_is_put_without_a_content_type_until_it_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/response?signed=yes", listener.local_addr().unwrap());
    let server = tokio::spawn(served(&["503 Slow Down", "200 OK"], listener));
    let request = request("Create", &url);
    request.send(request.answer(None), Some(&url)).await.unwrap();
    let requests = server.await.unwrap();
    assert_eq!(requests.len(), 2);
    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("PUT /response?signed=yes HTTP/1.1\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("content-type"), "{head}");
    assert_eq!(data(body.as_bytes()).0, "none");
}

#[tokio::test]
async fn an_answer_that_is_never_taken_is_an_error_without_the_signed_address() {
    // Nobody listens on the discard port.
    let request = request("Create", "http://127.0.0.1:9/?X-Amz-Signature=secret");
    let error = request.send(Vec::new(), Some("http://127.0.0.1:9")).await.unwrap_err();
    assert!(!error_chain(&error).contains("secret"), "{}", error_chain(&error));
}
