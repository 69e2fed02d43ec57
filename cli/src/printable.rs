//! Text that may hold anything, made fit for a terminal.

/// Escapes control characters: neither a file's name nor a word from within it may reach the terminal as a command.
pub(crate) fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
