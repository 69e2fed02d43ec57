//! The headers of a mirror's answers.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

// The module alone: the updater around it would have to be instrumented with all of the AWS SDK.
#[allow(dead_code, unreachable_pub, reason = "a part of another crate")]
#[path = "../../updater/src/http/answer.rs"]
mod answer;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [RETRY_AFTER, DATE] {
        let value = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok());
        value.and_then(|value| headers.insert(name, value));
    }
    let wait = answer::retry_after(&headers);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_hours(7 * 24)));
    let range = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    if let Some(part) = answer::Part::parse(range) {
        assert!(part.beginning_within(512) <= 512);
    }
    if let Some(date) = range.and_then(answer::http_date) {
        assert_eq!(answer::http_date_text(date).as_deref().and_then(answer::http_date), Some(date));
    }
});
