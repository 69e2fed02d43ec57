//! The headers of a response. The server sends them, so each may be missing or wrong.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Longest wait that a server can impose on us: a typing error over there must not silence us for years.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(7 * 24);

/// The first second that an HTTP date cannot name: the year 10000.
const HTTP_DATE_END: i64 = 253_402_300_800;

/// Reads a date in any of the three forms of RFC 9110, such as `Sun, 06 Nov 1994 08:49:37 GMT`, from 1970 to 9999: what we remember
/// of a server's dates, we must be able to write to it again.
pub fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text).ok().map(DateTime::from).filter(is_http_date)
}

/// Writes a date as HTTP has it; `None` before 1970 and after 9999.
pub fn http_date_text(date: DateTime<Utc>) -> Option<String> {
    is_http_date(&date).then(|| httpdate::fmt_http_date(date.into()))
}

fn is_http_date(date: &DateTime<Utc>) -> bool {
    (0..HTTP_DATE_END).contains(&date.timestamp())
}

/// The part of a file in a 206: `bytes <first>-<last>/<total>`, where the total may be `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first byte's place.
    pub first: u64,
    /// The last byte's place.
    last: u64,
    /// How many bytes the file has, where the server says so.
    total: Option<u64>,
}

impl Part {
    /// Reads `Content-Range`.
    pub fn parse(range: Option<&str>) -> Option<Self> {
        let (range, total) = range?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        Some(Self { first: first.parse().ok()?, last: last.parse().ok()?, total })
    }

    /// The number of bytes in a response to a request for the first `count`: fewer when the file has no more.
    pub fn beginning_within(self, count: u64) -> u64 {
        self.total.unwrap_or(self.last.saturating_add(1)).min(count)
    }
}

/// The server's cool-down, at most 7 days: `Retry-After` in seconds, or as a date, which counts from the response's own
/// `Date` since clocks differ.
pub fn retry_after(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let value = retry_after.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date in the past is none to wait for.
        Err(_) => (http_date(value)? - http_date(date?)?).to_std().unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn wait(value: &str, now: Option<&str>) -> Option<u64> {
        retry_after(value, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_year_that_cannot_be_written_again_is_no_date() {
        let last = http_date("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(http_date_text(last).is_some());
        assert_eq!(http_date("Sun, 06 Nov 199994 08:49:37 GMT"), None);
        for out_of_range in [last + chrono::TimeDelta::seconds(1), DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            assert_eq!(http_date_text(out_of_range), None);
        }
    }

    #[test]
    fn the_obsolete_forms_are_the_same_date() {
        for form in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!((http_date(form), http_date(form).is_some()), (http_date(NOW), true), "{form}");
        }
    }

    #[test]
    fn a_wait_is_in_seconds_or_a_date_after_the_responses_own() {
        assert_eq!(wait("120", None), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 09:49:37 GMT", Some(NOW)), Some(3600));
        assert_eq!(wait("Sun, 06 Nov 1994 07:49:37 GMT", Some(NOW)), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 09:49:37 GMT", None), None);
    }

    #[test]
    fn no_server_silences_us_for_more_than_seven_days() {
        let week = 7 * 24 * 3600;
        assert_eq!(wait("604801", None), Some(week));
        assert_eq!(wait(&u64::MAX.to_string(), None), Some(week));
        assert_eq!(wait("Sun, 06 Nov 2194 08:49:37 GMT", Some(NOW)).unwrap_or(week), week);
        assert_eq!(wait("Thu, 06 Nov 2194 08:49:37 GMT", Some(NOW)), Some(week));
        assert_eq!(wait("99999999999999999999999", Some(NOW)), None);
    }

    #[test]
    fn a_part_is_expected_to_be_as_long_as_asked_for_or_as_the_file() {
        let expected = |range| Part::parse(Some(range)).map(|part| part.beginning_within(512));
        assert_eq!(expected("bytes 0-511/9000"), Some(512));
        assert_eq!(expected("bytes 0-99/100"), Some(100));
        assert_eq!(expected("bytes 0-99/9000"), Some(512));
        assert_eq!(expected("bytes 0-99/*"), Some(100));
        assert_eq!(expected("bytes 0-18446744073709551615/*"), Some(512));
        assert_eq!(expected("bytes */9000"), None);
        assert_eq!(expected("lines 0-1/2"), None);
        assert_eq!(Part::parse(None), None);
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,60}", now in "[ -~]{0,40}") {
            wait(&value, Some(&now));
            Part::parse(Some(&value));
        }

        #[test]
        fn a_date_is_read_as_it_is_written(seconds in 0_i64..4_102_444_800) {
            let date = DateTime::from_timestamp(seconds, 0).unwrap();
            prop_assert_eq!(http_date(&http_date_text(date).unwrap()), Some(date));
        }
    }
}
