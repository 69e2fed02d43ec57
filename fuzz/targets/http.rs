//! The headers of a mirror's answers.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use nacre_core::http_answer::{Part, http_date, http_date_text, retry_after};

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).ok());
    let mut next = || lines.next().flatten();
    let (wait, date, range) = (next(), next(), next());
    let wait = wait.and_then(|wait| retry_after(wait, date));
    assert!(wait.is_none_or(|wait| wait <= Duration::from_hours(7 * 24)));
    if let Some(part) = Part::parse(range) {
        assert!(part.beginning_within(512) <= 512);
    }
    if let Some(date) = range.and_then(http_date) {
        assert_eq!(http_date_text(date).as_deref().and_then(http_date), Some(date));
    }
});
