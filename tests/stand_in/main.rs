//! A function that prints each event and answers with it: it stands in for ours where the stack itself is tested.
//!
//! Of an event of SQS it fails the messages with `poison` in their bodies. Its initialisation takes as many seconds as the file
//! `slow-init` beside it says.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> ExitCode {
    let slow = std::fs::read_to_string("slow-init").ok().and_then(|text| text.trim().parse().ok());
    if let Some(seconds) = slow {
        let _ = writeln!(io::stdout(), "stand-in begins");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    match lambda_runtime::run(service_fn(answer)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(event: LambdaEvent<Value>) -> Result<Value, lambda_runtime::Error> {
    writeln!(io::stdout(), "stand-in was called\nevent {}", event.payload)?;
    let Some(records) = event.payload["Records"].as_array() else { return Ok(event.payload) };
    let poisoned = records.iter().filter(|record| record["body"].as_str().is_some_and(|body| body.contains("poison")));
    let failed: Vec<_> = poisoned.map(|record| json!({ "itemIdentifier": record["messageId"] })).collect();
    Ok(json!({ "batchItemFailures": failed }))
}
