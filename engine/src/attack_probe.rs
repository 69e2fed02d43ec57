//! The engine with a worker that attacks its sandbox when its file says so. Never shipped.
//!
//! A file `attack <kind> <argument>` makes the worker try that attack from where a compromised libclamav would. A successful attack
//! is reported as the alert `Attack.Succeeded`, a refused one as a failure; any other kills the worker.

use std::{
    convert::Infallible,
    ffi::CString,
    fs::{self, File, FileTimes},
    io::{self, Read, Write},
    net::{TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::SystemTime,
};

use nacre_engine_protocol::{Failure, FailureCode, Outcome, Report};
use nix::{
    errno::Errno,
    fcntl,
    sys::{ptrace, resource, signal},
    unistd::{self, Pid},
};

fn main() -> ExitCode {
    nacre_engine::main(Some(attack))
}

fn attack(file: &File) -> Option<Outcome> {
    let mut order = String::new();
    file.take(4096).read_to_string(&mut order).ok()?;
    let mut words = order.strip_prefix("attack ")?.splitn(2, ' ');
    let (kind, argument) = (words.next()?, words.next().unwrap_or_default().trim());
    Some(match attempt(kind, argument) {
        Ok(()) => Outcome::Scanned(Report { alerts: vec!["Attack.Succeeded".to_owned()], ..Report::default() }),
        Err(error) => {
            Outcome::Failed(Failure { code: FailureCode::Internal, message: format!("attack refused: {error}") })
        }
    })
}

fn attempt(kind: &str, argument: &str) -> io::Result<()> {
    match kind {
        "tcp" => TcpStream::connect(argument).map(drop),
        "udp" => UdpSocket::bind(argument).map(drop),
        "unix" => UnixStream::connect(argument).map(drop),
        "exec" => exec(argument).map(|never| match never {}).map_err(io::Error::from),
        "spawn" => std::process::Command::new(argument).status().map(drop),
        "read" => fs::read(argument).map(drop),
        "list" => fs::read_dir(argument).map(drop),
        "write" => fs::write(argument, "attacked"),
        "append" => fs::OpenOptions::new().append(true).open(argument).map(drop),
        "link" => std::os::unix::fs::symlink("/etc/passwd", scratch()?.join(argument)),
        "scribble" => fs::OpenOptions::new().read(true).write(true).open(argument).map(drop),
        "chmod" => fs::set_permissions(argument, fs::Permissions::from_mode(0o777)),
        "touch" => File::open(argument)?.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)),
        "pipes" => write_to_pipes(argument),
        // Stands for F_SETOWN and F_SETSIG, which need unsafe code: all commands but those of a list are refused.
        "command" => fcntl::fcntl(io::pipe()?.0, fcntl::FcntlArg::F_GETPIPE_SZ).map(drop).map_err(io::Error::from),
        "truncate" => unistd::truncate(argument, 0).map_err(io::Error::from),
        "ptrace" => ptrace::attach(process(argument)?).map_err(io::Error::from),
        "kill" => signal::kill(process(argument)?, signal::Signal::SIGKILL).map_err(io::Error::from),
        "unlimit" => {
            let none = resource::RLIM_INFINITY;
            resource::setrlimit(resource::Resource::RLIMIT_AS, none, none).map_err(io::Error::from)
        }
        "allocate" => allocate(),
        "fill" => fill(),
        "thread" => thread::spawn(|| 0).join().map(drop).map_err(|_| io::Error::other("the thread died")),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "overflow" => Err(io::Error::other(descend(0).to_string())),
        "panic" => std::panic::resume_unwind(Box::new("attack")),
        _ => Err(io::Error::other("no such attack")),
    }
}

fn process(argument: &str) -> io::Result<Pid> {
    let id =
        if argument == "zygote" { unistd::getppid().as_raw() } else { argument.parse().map_err(io::Error::other)? };
    Ok(Pid::from_raw(id))
}

fn exec(program: &str) -> Result<Infallible, Errno> {
    let program = CString::new(program).map_err(|_| Errno::EINVAL)?;
    unistd::execv(&program, &[&program])
}

/// Writes a line to every pipe of this process, by its name: that opens a pipe for writing of which it holds the other end.
fn write_to_pipes(line: &str) -> io::Result<()> {
    let open = |descriptor: u32| fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{descriptor}"));
    let written = (0..256).map(open).filter_map(Result::ok).filter_map(|mut pipe| writeln!(pipe, "{line}").ok());
    if written.count() > 0 { Ok(()) } else { Err(Errno::EPERM.into()) }
}

/// The only directory that this worker may write to: the newest under `tmp`.
fn scratch() -> io::Result<PathBuf> {
    let place = Path::new("tmp");
    // It cannot be listed from in here, so its number is searched for.
    let mine = (0..10_000).map(|n| place.join(n.to_string())).find(|path| fs::write(path.join("mine"), "").is_ok());
    mine.ok_or_else(|| io::Error::other("no scratch directory"))
}

/// Takes memory until there is no more.
fn allocate() -> io::Result<()> {
    let mut hoard = Vec::new();
    loop {
        let mut more = Vec::new();
        more.try_reserve_exact(16 << 20).map_err(io::Error::other)?;
        more.resize(16 << 20, 1_u8);
        hoard.push(more);
    }
}

/// Writes one file until it can grow no more.
fn fill() -> io::Result<()> {
    let mut file = File::create(scratch()?.join("flood"))?;
    loop {
        file.write_all(&[1; 8 << 10])?;
    }
}

/// Overflows the stack, as safe code can.
#[expect(unconditional_recursion, reason = "that is the attack")]
fn descend(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 512]);
    descend(depth + 1) + room.first().copied().unwrap_or_default()
}
