//! The report in a real browser: what is hostile stays text, and ten thousand rows are no burden.

#[cfg(test)]
mod report;
