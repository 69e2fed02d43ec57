//! The commands of a CDIFF's script.
//!
//! One command a line, no escapes and no quotes: fields are split at single spaces, and what is left of a line is data. Lines
//! that begin with `#` say nothing.

use crate::archive::is_member_name;

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Begins to edit a file; line numbers from here on are those that its lines have now.
    Open(&'a str),
    /// Appends a line after all other edits; with its line feed, and empty when the command had no field.
    Add(&'a [u8]),
    /// Removes a line.
    Del {
        /// Its number, from 1.
        line: u64,
        /// What it must begin with.
        prefix: &'a [u8],
    },
    /// Replaces a line.
    Xchg {
        /// Its number, from 1.
        line: u64,
        /// What it must begin with.
        prefix: &'a [u8],
        /// The new line, without its line feed.
        new: &'a [u8],
    },
    /// Makes the edits since `OPEN`.
    Close,
    /// Moves lines from one file to the end of another.
    Move {
        /// From where.
        from: &'a str,
        /// To where.
        to: &'a str,
        /// Number of the first line, from 1.
        first: u64,
        /// What that line must begin with.
        first_prefix: &'a [u8],
        /// Number of the last line; greater than `first`.
        last: u64,
        /// What that line must begin with.
        last_prefix: &'a [u8],
    },
    /// Removes a file.
    Unlink(&'a str),
}

/// Why a line is not a valid command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Not a known command, or an empty line.
    #[error("{0:?} is not a valid command")]
    Unknown(String),
    /// A field is missing.
    #[error("{0} has too few fields")]
    Fields(&'static str),
    /// An invalid line number.
    #[error("{0:?} is not a valid line number")]
    Number(String),
    /// A file name that is empty, has other characters than it may have, or could lead out of a directory.
    #[error("{0:?} is not a valid name of a file in a database")]
    Name(String),
    /// `MOVE` of a single line or of a backward range, which libclamav refuses too.
    #[error("lines {first} to {last} are no range to move")]
    Range {
        /// First line.
        first: u64,
        /// Last line.
        last: u64,
    },
    /// `MOVE` from a file to itself, of which libclamav never comes to an end.
    #[error("lines of {0} cannot be moved to the same file")]
    SameFile(String),
}

/// Reads a script's commands, each with the number of its line, from 1.
pub fn commands(script: &[u8]) -> impl Iterator<Item = (usize, Result<Command<'_>, ScriptError>)> {
    let lines = script.split_inclusive(|byte| *byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.starts_with(b"#")).map(|(number, line)| (number + 1, Command::parse(line)))
}

impl<'a> Command<'a> {
    /// Reads one line, with its line feed if it has one.
    pub fn parse(line: &'a [u8]) -> Result<Self, ScriptError> {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let (word, rest) = split_field(bare);
        match word {
            b"OPEN" => Ok(Self::Open(name(rest.ok_or(ScriptError::Fields("OPEN"))?)?)),
            // The only command whose line feed is data.
            b"ADD" => Ok(Self::Add(line.get(b"ADD ".len()..).filter(|_| rest.is_some()).unwrap_or_default())),
            b"DEL" => {
                let (line, rest) = split_field(rest.ok_or(ScriptError::Fields("DEL"))?);
                let (prefix, _) = split_field(rest.ok_or(ScriptError::Fields("DEL"))?);
                Ok(Self::Del { line: number(line)?, prefix })
            }
            b"XCHG" => {
                let (line, rest) = split_field(rest.ok_or(ScriptError::Fields("XCHG"))?);
                let (prefix, new) = split_field(rest.ok_or(ScriptError::Fields("XCHG"))?);
                Ok(Self::Xchg { line: number(line)?, prefix, new: new.ok_or(ScriptError::Fields("XCHG"))? })
            }
            b"CLOSE" => Ok(Self::Close),
            b"MOVE" => parse_move(rest.ok_or(ScriptError::Fields("MOVE"))?),
            b"UNLINK" => Ok(Self::Unlink(name(rest.ok_or(ScriptError::Fields("UNLINK"))?)?)),
            _ => Err(ScriptError::Unknown(shown(bare))),
        }
    }

    /// Writes the command as a line.
    pub fn write(&self, script: &mut Vec<u8>) {
        let number = |number: &u64| number.to_string().into_bytes();
        let line: Vec<u8> = match self {
            Self::Open(name) => [b"OPEN ", name.as_bytes(), b"\n"].concat(),
            Self::Add([]) => b"ADD\n".to_vec(),
            Self::Add(line) => [b"ADD ", *line].concat(),
            Self::Del { line, prefix } => [b"DEL ", &*number(line), b" ", prefix, b"\n"].concat(),
            Self::Xchg { line, prefix, new } => [b"XCHG ", &*number(line), b" ", prefix, b" ", new, b"\n"].concat(),
            Self::Close => b"CLOSE\n".to_vec(),
            Self::Move { from, to, first, first_prefix, last, last_prefix } => {
                let fields: [&[u8]; 7] =
                    [b"MOVE", from.as_bytes(), to.as_bytes(), &number(first), first_prefix, &number(last), last_prefix];
                [fields.join(&b' ').as_slice(), b"\n"].concat()
            }
            Self::Unlink(name) => [b"UNLINK ", name.as_bytes(), b"\n"].concat(),
        };
        script.extend(line);
    }
}

fn parse_move(fields: &[u8]) -> Result<Command<'_>, ScriptError> {
    let mut fields = fields.split(|byte| *byte == b' ');
    let mut field = || fields.next().ok_or(ScriptError::Fields("MOVE"));
    let (from, to) = (name(field()?)?, name(field()?)?);
    let (first, first_prefix, last, last_prefix) = (number(field()?)?, field()?, number(field()?)?, field()?);
    if from == to {
        return Err(ScriptError::SameFile(from.to_owned()));
    }
    if first >= last {
        return Err(ScriptError::Range { first, last });
    }
    Ok(Command::Move { from, to, first, first_prefix, last, last_prefix })
}

/// A field, and what follows the space after it.
fn split_field(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(space) => (line.get(..space).unwrap_or_default(), line.get(space + 1..)),
        None => (line, None),
    }
}

/// A line number. Off-spec: libclamav takes a leading `+`, too.
fn number(field: &[u8]) -> Result<u64, ScriptError> {
    let digits = std::str::from_utf8(field).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| ScriptError::Number(shown(field)))
}

/// A file name. Off-spec: libclamav takes every letter and digit of Unicode, and does not check the names in `MOVE` at all,
/// which leads it to wherever they point; ours are ASCII and name a member.
fn name(field: &[u8]) -> Result<&str, ScriptError> {
    let allowed = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')) && is_member_name(name)
    };
    std::str::from_utf8(field).ok().filter(allowed).ok_or_else(|| ScriptError::Name(shown(field)))
}

/// The beginning of something unreadable, for an error.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(60)).unwrap_or_default()).into_owned()
}
