//! Writes the script that turns one set of members into another.

use std::collections::BTreeSet;

use super::script::Command;
use crate::unpacked::Unpacked;

/// How far ahead an old line is searched before its place is given to another one.
const LOOK_AHEAD: usize = 200;

/// Most bytes of a line that a script repeats to distinguish it from others.
const PREFIX_BYTES: usize = 16;

/// Why there is no script: it can only write whole lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoScript {
    /// A file to be written does not end with a line feed.
    #[error("{0} does not end with a line feed, so that no script can write it")]
    NoLineFeed(String),
    /// A file has a name that no script can name.
    #[error("{0} is not a name that a script can open")]
    Name(String),
}

/// Writes a script that turns the members of `old` into those of `new`, byte for byte.
pub fn between(old: &Unpacked<'_>, new: &Unpacked<'_>) -> Result<Vec<u8>, NoScript> {
    let mut script = Vec::new();
    let names: BTreeSet<&str> = old.members.keys().chain(new.members.keys()).map(String::as_str).collect();
    for name in names {
        match (old.members.get(name), new.members.get(name)) {
            (Some(old), Some(new)) if old == new => {}
            (Some(_), None) => Command::Unlink(checked(name)?).write(&mut script),
            (old, Some(new)) => {
                let writable =
                    if old.is_some() { new.is_empty() || new.ends_with(b"\n") } else { new.ends_with(b"\n") };
                if !writable {
                    return Err(NoScript::NoLineFeed(name.to_owned()));
                }
                edit(checked(name)?, old.map_or(&[], |old| &**old), new, &mut script);
            }
            (None, None) => {}
        }
    }
    Ok(script)
}

fn checked(name: &str) -> Result<&str, NoScript> {
    let line = [b"OPEN ", name.as_bytes()].concat();
    Command::parse(&line).map(|_| name).map_err(|_| NoScript::Name(name.to_owned()))
}

fn edit<'a>(name: &'a str, old: &'a [u8], new: &'a [u8], script: &mut Vec<u8>) {
    let mut old = old;
    if !old.is_empty() && !old.ends_with(b"\n") {
        // Its lines cannot be edited: it is written anew.
        Command::Unlink(name).write(script);
        old = &[];
    }
    let lines = |bytes: &'a [u8]| bytes.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    Command::Open(name).write(script);
    let mut fresh = new.iter();
    let mut removed = 0;
    for (at, line) in old.iter().enumerate() {
        let number = at as u64 + 1;
        if removed > 0 {
            removed -= 1;
            Command::Del { line: number, prefix: prefix(line) }.write(script);
            continue;
        }
        match fresh.as_slice() {
            [] => Command::Del { line: number, prefix: prefix(line) }.write(script),
            [next, ..] if next == line => drop(fresh.next()),
            [next, ..] => {
                let ahead = old.get(at + 1..).unwrap_or_default().iter().take(LOOK_AHEAD);
                if let Some(run) = ahead.into_iter().position(|line| line == next) {
                    removed = run;
                    Command::Del { line: number, prefix: prefix(line) }.write(script);
                } else {
                    let new = next.strip_suffix(b"\n").unwrap_or(next);
                    Command::Xchg { line: number, prefix: prefix(line), new }.write(script);
                    fresh.next();
                }
            }
        }
    }
    for line in fresh {
        Command::Add(line).write(script);
    }
    Command::Close.write(script);
}

/// What distinguishes a line from its neighbours: its beginning, as far as a field goes.
fn prefix(line: &[u8]) -> &[u8] {
    let end = line.iter().take(PREFIX_BYTES).position(|byte| matches!(byte, b' ' | b'\n'));
    line.get(..end.unwrap_or(PREFIX_BYTES.min(line.len()))).unwrap_or_default()
}
