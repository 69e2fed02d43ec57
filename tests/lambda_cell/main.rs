//! Runs a program in a cell that is at least as strict as AWS Lambda's: docs/lambda.md says what it imitates. Never shipped.
//!
//! `nacre-lambda-cell --task DIRECTORY [--opt DIRECTORY] [--memory-mib SIZE] [--tmp-mib SIZE] [--bind DIRECTORY]…
//! [--without CALL]… [--chdir DIRECTORY] PROGRAM [ARGUMENT…]`: the directories become `/var/task` and `/opt`; `PROGRAM` is a path in the cell. Each
//! `--bind` is a further directory to write in, and each `--without` a system call that is refused besides, for tests alone. `nacre-lambda-cell --sweep` removes what cells left that were killed.

mod control_groups;
mod filter;
mod network;
mod root;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    os::{
        fd::{IntoRawFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            process::ExitStatusExt,
        },
    },
    path::PathBuf,
    process::{Command, ExitCode},
};

use control_groups::ControlGroups;
use nix::sys::{
    memfd::{MFdFlags, memfd_create},
    resource::{Resource, setrlimit},
};

/// Lambda's bound on open files.
const DESCRIPTORS: u64 = 1024;

/// The user and group of functions on Lambda.
const IDENTITY: [&str; 4] = ["--uid", "993", "--gid", "990"];

const USAGE: &str = "usage: nacre-lambda-cell --task DIRECTORY [--opt DIRECTORY] [--memory-mib SIZE] [--tmp-mib SIZE] [--bind DIRECTORY]… [--without CALL]… [--chdir DIRECTORY] PROGRAM [ARGUMENT…]";

fn main() -> ExitCode {
    control_groups::sweep();
    let mut arguments = env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == "--sweep").is_some() {
        return ExitCode::SUCCESS;
    }
    let ended = Cell::parse(arguments).map_err(io::Error::other).and_then(Cell::run);
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let _ = writeln!(io::stderr(), "nacre-lambda-cell: {error}");
            ExitCode::from(2)
        }
    }
}

/// A cell, and what runs in it.
struct Cell {
    task: PathBuf,
    opt: Option<PathBuf>,
    memory_mib: Option<u64>,
    tmp_mib: u64,
    binds: Vec<PathBuf>,
    without: Vec<i64>,
    directory: OsString,
    command: Vec<OsString>,
}

impl Cell {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, &'static str> {
        let (mut task, mut opt, mut memory_mib, mut tmp_mib, mut binds) = (None, None, None, 512, Vec::new());
        let mut without = Vec::new();
        let mut directory = OsString::from("/var/task");
        let number = |value: &OsStr| value.to_str().and_then(|text| text.parse().ok()).ok_or(USAGE);
        let program = loop {
            let argument = arguments.next().ok_or(USAGE)?;
            let Some(option) = argument.to_str().filter(|text| text.starts_with("--")) else { break argument };
            let value = arguments.next().ok_or(USAGE)?;
            match option {
                "--task" => task = Some(PathBuf::from(value)),
                "--opt" => opt = Some(PathBuf::from(value)),
                "--chdir" => directory = value,
                "--without" => without.push(value.to_str().and_then(filter::needed).ok_or(USAGE)?),
                "--bind" => binds.push(PathBuf::from(value)),
                "--memory-mib" => memory_mib = Some(number(&value)?),
                "--tmp-mib" => tmp_mib = number(&value)?,
                _ => return Err(USAGE),
            }
        };
        let command = std::iter::once(program).chain(arguments).collect();
        Ok(Self { task: task.ok_or(USAGE)?, opt, memory_mib, tmp_mib, binds, without, directory, command })
    }

    /// Runs the program, and returns its exit status: 128 and the signal's number when one ended it.
    fn run(self) -> io::Result<u8> {
        setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS)?;
        let groups = self.memory_mib.and_then(|memory| match ControlGroups::new(memory) {
            Ok(groups) => Some(groups),
            Err(error) => {
                let _ = writeln!(io::stderr(), "nacre-lambda-cell: no bound on memory and processes ({error})");
                None
            }
        });
        let doors = groups.as_ref().map(ControlGroups::doors).unwrap_or_default();
        let mut bwrap = Command::new("bwrap");
        bwrap.args(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
        bwrap.args(["--die-with-parent", "--new-session"]).args(IDENTITY);
        root::arguments(&mut bwrap)?;
        let mut ro_bind = |from: &OsStr, to: &str| _ = bwrap.arg("--ro-bind").arg(from).arg(to);
        ro_bind(self.task.as_os_str(), "/var/task");
        match &self.opt {
            Some(opt) => ro_bind(opt.as_os_str(), "/opt"),
            None => _ = bwrap.args(["--dir", "/opt"]),
        }
        let bytes = self.tmp_mib.saturating_mul(1 << 20).to_string();
        bwrap.args(["--perms", "1777", "--size", &bytes, "--tmpfs", "/tmp"]);
        for bind in &self.binds {
            bwrap.arg("--bind").arg(bind).arg(bind);
        }
        bwrap.args(["--remount-ro", "/", "--chdir"]).arg(&self.directory);
        for filter in filter::filters(&self.without).map_err(io::Error::other)? {
            let code: Vec<u8> = filter.iter().flat_map(instruction).collect();
            bwrap.args(["--add-seccomp-fd", &inherited(&code)?.to_string()]);
        }
        // Everything by a descriptor: bwrap's own environment and arguments can be read in the cell, and credentials are among them.
        let mut arguments: Vec<Vec<u8>> = bwrap.get_args().map(|argument| argument.as_bytes().to_vec()).collect();
        for (name, value) in env::vars_os() {
            arguments.extend([b"--setenv".to_vec(), name.into_vec(), value.into_vec()]);
        }
        let arguments: Vec<u8> = arguments.into_iter().flat_map(|argument| [argument, vec![0]].concat()).collect();
        let program = find("bwrap")?;
        let named = network::ports(env::vars_os());
        // The shell joins the groups, then becomes bwrap: nothing of the cell is ever outside of them.
        let mut command = Command::new("/bin/sh");
        command.env_clear().args(["-c", JOIN, "nacre-lambda-cell"]).arg(doors.len().to_string()).args(doors);
        command.arg(program).args(["--args", &inherited(&arguments)?.to_string(), "--"]).args(&self.command);
        let status = network::run_alone(command, named)?;
        let ended = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ok(u8::try_from(ended).unwrap_or(u8::MAX))
    }
}

/// A program of `PATH`, or of where Debian puts it.
fn find(program: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/bin")]).map(|directory| directory.join(program));
    let missing = || io::Error::other(format!("{program} is missing: it is in Debian's package bubblewrap"));
    places.into_iter().find(|place| place.is_file()).ok_or_else(missing)
}

/// `$1` files to write our process id to, and then a command.
const JOIN: &str =
    r#"n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1" || exit 2; shift; n=$((n - 1)); done; exec "$@""#;

/// An instruction as the kernel reads it.
fn instruction(filter: &seccompiler::sock_filter) -> [u8; 8] {
    let [code, k] = [filter.code.to_ne_bytes().to_vec(), filter.k.to_ne_bytes().to_vec()];
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&[code, vec![filter.jt, filter.jf], k].concat());
    bytes
}

/// A descriptor that bwrap inherits and reads this content from.
fn inherited(content: &[u8]) -> io::Result<i32> {
    let file: OwnedFd = memfd_create("cell", MFdFlags::empty())?;
    let mut file = fs::File::from(file);
    file.write_all(content)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into_raw_fd())
}
