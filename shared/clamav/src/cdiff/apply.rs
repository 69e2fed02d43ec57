//! Applies a script to the members of a database.

use std::{borrow::Cow, collections::BTreeMap};

use super::script::{Command, ScriptError, commands};
use crate::{archive::ArchiveLimits, unpacked::Unpacked};

/// Why a script does not fit a database; says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the script cannot be applied")]
pub struct ApplyError {
    /// Line of the script, from 1; one past the last when it ends too early.
    pub line: usize,
    #[source]
    pub cause: CommandError,
}

/// Why a command cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is not a valid command.
    #[error("it is not a command")]
    Script(#[from] ScriptError),
    /// An edit or `CLOSE` without `OPEN`.
    #[error("no file is open")]
    NotOpen,
    /// `OPEN`, `MOVE` or `UNLINK` before the last file was closed.
    #[error("{0} is still open")]
    StillOpen(String),
    /// The script ends before `CLOSE`.
    #[error("the script ends with {0} open")]
    Unfinished(String),
    /// The file is not there.
    #[error("there is no {0}")]
    NoFile(String),
    /// The file's last line has no line feed, so that its lines cannot be separated.
    #[error("{0} does not end with a line feed")]
    NoLineFeed(String),
    /// The line is another one than the script was made for.
    #[error("line {line} of {file} does not begin as the script says")]
    Prefix {
        /// The file.
        file: String,
        /// The line.
        line: u64,
    },
    /// There is no such line.
    #[error("{file} has no line {line}")]
    NoLine {
        /// The file.
        file: String,
        /// The line.
        line: u64,
    },
    /// The result would have too many members or bytes.
    #[error("the result is larger than a database may be")]
    TooLarge,
}

/// What is to be done to one line.
enum Edit<'s> {
    Del { prefix: &'s [u8] },
    Xchg { prefix: &'s [u8], new: &'s [u8] },
}

/// A file between `OPEN` and `CLOSE`.
struct Open<'s> {
    name: &'s str,
    /// By line: of several edits of one line the last counts, in whatever order they come.
    edits: BTreeMap<u64, Edit<'s>>,
    added: Vec<&'s [u8]>,
}

/// Applies a script.
///
/// Off-spec: works on a copy of what it is given, so that a script that fails changes nothing, and requires `CLOSE`;
/// libclamav leaves the files half edited, and drops the edits of a file that is never closed without a word.
pub fn apply<'a>(base: &Unpacked<'a>, script: &[u8], limits: ArchiveLimits) -> Result<Unpacked<'a>, ApplyError> {
    let (mut database, mut open, mut last) = (base.clone(), None, 0);
    for (line, command) in commands(script) {
        last = line;
        let command = command.map_err(CommandError::from);
        command
            .and_then(|command| carry_out(&mut database, &mut open, command, limits))
            .map_err(|cause| ApplyError { line, cause })?;
    }
    match open {
        Some(open) => Err(ApplyError { line: last + 1, cause: CommandError::Unfinished(open.name.to_owned()) }),
        None => Ok(database),
    }
}

fn carry_out<'s>(
    database: &mut Unpacked<'_>,
    open: &mut Option<Open<'s>>,
    command: Command<'s>,
    limits: ArchiveLimits,
) -> Result<(), CommandError> {
    let none_open = |open: &Option<Open<'_>>| match open {
        Some(open) => Err(CommandError::StillOpen(open.name.to_owned())),
        None => Ok(()),
    };
    match command {
        Command::Open(name) => {
            none_open(open)?;
            *open = Some(Open { name, edits: BTreeMap::new(), added: Vec::new() });
        }
        Command::Add(line) => open.as_mut().ok_or(CommandError::NotOpen)?.added.push(line),
        Command::Del { line, prefix } => {
            open.as_mut().ok_or(CommandError::NotOpen)?.edits.insert(line, Edit::Del { prefix });
        }
        Command::Xchg { line, prefix, new } => {
            open.as_mut().ok_or(CommandError::NotOpen)?.edits.insert(line, Edit::Xchg { prefix, new });
        }
        Command::Close => close(database, &open.take().ok_or(CommandError::NotOpen)?, limits)?,
        Command::Move { from, to, first, first_prefix, last, last_prefix } => {
            none_open(open)?;
            let range = &Range { first, first_prefix, last, last_prefix };
            move_lines(database, from, to, range, limits)?;
        }
        Command::Unlink(name) => {
            none_open(open)?;
            database.members.remove(name).ok_or_else(|| CommandError::NoFile(name.to_owned()))?;
        }
    }
    Ok(())
}

/// Makes the edits of a file, then appends what was added.
fn close(database: &mut Unpacked<'_>, open: &Open<'_>, limits: ArchiveLimits) -> Result<(), CommandError> {
    let name = open.name;
    let old = database.members.get(name).map(|member| &**member);
    let mut new = match old {
        None if open.edits.is_empty() => Vec::new(),
        None => return Err(CommandError::NoFile(name.to_owned())),
        Some(_) if open.edits.is_empty() && open.added.is_empty() => return Ok(()),
        Some(old) => edited(name, old, open)?,
    };
    for line in &open.added {
        new.extend_from_slice(line);
        if new.len() as u64 > limits.member_bytes {
            return Err(CommandError::TooLarge);
        }
    }
    if old.is_some() || !new.is_empty() {
        database.members.insert(name.to_owned(), Cow::Owned(new));
    }
    check_size(database, limits)
}

/// The file's lines with their edits, and room for what will be added.
fn edited(name: &str, old: &[u8], open: &Open<'_>) -> Result<Vec<u8>, CommandError> {
    let added: usize = open.added.iter().map(|line| line.len()).sum();
    let mut new = Vec::with_capacity(old.len() + added);
    let mut rest = Lines::of(name, old);
    if open.edits.is_empty() {
        new.extend_from_slice(old);
        return Ok(new);
    }
    rest.complete()?;
    for (&line, edit) in &open.edits {
        new.extend_from_slice(rest.before(line)?);
        let (Edit::Del { prefix } | Edit::Xchg { prefix, .. }) = edit;
        rest.take(prefix)?;
        if let Edit::Xchg { new: line, .. } = edit {
            new.extend_from_slice(line);
            new.push(b'\n');
        }
    }
    new.extend_from_slice(rest.rest);
    Ok(new)
}

/// Lines of one file that `MOVE` names.
struct Range<'s> {
    first: u64,
    first_prefix: &'s [u8],
    last: u64,
    last_prefix: &'s [u8],
}

fn move_lines(
    database: &mut Unpacked<'_>,
    from: &str,
    to: &str,
    range: &Range<'_>,
    limits: ArchiveLimits,
) -> Result<(), CommandError> {
    let no_file = |name: &str| CommandError::NoFile(name.to_owned());
    let source = database.members.get(from).ok_or_else(|| no_file(from))?;
    let mut lines = Lines::of(from, source);
    // Off-spec: ClamAV moves lines out of a file whose last line has no end as long as that line stays. No database has one.
    lines.complete()?;
    let head = lines.before(range.first)?;
    let moved = lines.rest;
    lines.take(range.first_prefix)?;
    lines.before(range.last)?;
    lines.take(range.last_prefix)?;
    let moved = moved.get(..moved.len() - lines.rest.len()).unwrap_or_default().to_vec();
    let kept = [head, lines.rest].concat();
    let target = database.members.get(to).ok_or_else(|| no_file(to))?;
    let target = [&**target, &moved].concat();
    if target.len() as u64 > limits.member_bytes {
        return Err(CommandError::TooLarge);
    }
    database.members.insert(from.to_owned(), kept.into());
    database.members.insert(to.to_owned(), target.into());
    check_size(database, limits)
}

fn check_size(database: &Unpacked<'_>, limits: ArchiveLimits) -> Result<(), CommandError> {
    let bytes: u64 = database.members.values().map(|member| member.len() as u64).sum();
    let fits = bytes <= limits.unpacked_bytes && database.members.len() <= limits.members;
    if fits { Ok(()) } else { Err(CommandError::TooLarge) }
}

/// What is left of a file, and the number of its next line.
struct Lines<'f> {
    file: &'f str,
    rest: &'f [u8],
    next: u64,
}

impl<'f> Lines<'f> {
    fn of(file: &'f str, bytes: &'f [u8]) -> Self {
        Self { file, rest: bytes, next: 1 }
    }

    fn complete(&self) -> Result<(), CommandError> {
        let complete = self.rest.is_empty() || self.rest.ends_with(b"\n");
        if complete { Ok(()) } else { Err(CommandError::NoLineFeed(self.file.to_owned())) }
    }

    /// Takes the lines before this one.
    fn before(&mut self, line: u64) -> Result<&'f [u8], CommandError> {
        let missing = || CommandError::NoLine { file: self.file.to_owned(), line };
        let count = line.checked_sub(self.next).ok_or_else(missing)?;
        let mut end = 0;
        for _ in 0..count {
            let rest = self.rest.get(end..).unwrap_or_default();
            end += memchr::memchr(b'\n', rest).ok_or_else(missing)? + 1;
        }
        let (before, rest) = self.rest.split_at(end);
        (self.rest, self.next) = (rest, line);
        Ok(before)
    }

    /// Takes the next line, which must begin with the prefix.
    fn take(&mut self, prefix: &[u8]) -> Result<(), CommandError> {
        let line = self.next;
        let missing = || CommandError::NoLine { file: self.file.to_owned(), line };
        let end = memchr::memchr(b'\n', self.rest).ok_or_else(missing)?;
        let (taken, rest) = self.rest.split_at(end + 1);
        if !taken.starts_with(prefix) {
            return Err(CommandError::Prefix { file: self.file.to_owned(), line });
        }
        (self.rest, self.next) = (rest, line + 1);
        Ok(())
    }
}
