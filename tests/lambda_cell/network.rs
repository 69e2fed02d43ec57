//! A network of the cell's own: no other interface than its loopback, on which only those ports of this machine's answer that the
//! function's environment names.
//!
//! A namespace belongs to the thread that made it and to what that thread starts, a socket to the namespace it was made in. So one thread
//! makes the namespace, listens there, and starts the cell; others, which are still on the host's network, pass connections on.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{self, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::{Command, ExitStatus},
    sync::mpsc,
    thread,
};

use nix::{
    libc,
    sched::{CloneFlags, unshare},
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
    unistd::{getegid, geteuid},
};

/// How an address of this machine is written before its port.
const HERE: [&str; 2] = ["127.0.0.1:", "localhost:"];

/// Index of the loopback interface of every namespace.
const LOOPBACK: i32 = 1;

/// The ports of this machine that an environment names.
pub(crate) fn ports(environment: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for (_, value) in environment {
        let value = value.to_string_lossy();
        for rest in HERE.iter().flat_map(|here| value.split(here).skip(1)) {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
            ports.extend(digits.parse::<u16>().ok().filter(|port| *port > 0));
        }
    }
    ports
}

/// Runs a command in a network of its own, until it ends. Where this user may not make one, it says so on stderr and runs the command on
/// the host's.
///
/// Called while the process has one thread: only such a process may get a user namespace, which an ordinary user needs first.
///
/// # Errors
/// Those of preparing a network that was made, and of starting the command.
pub(crate) fn run_alone(mut command: Command, named: BTreeSet<u16>) -> io::Result<ExitStatus> {
    let allowed = if geteuid().is_root() { Ok(()) } else { own_users() };
    let (listening, listeners) = mpsc::channel();
    // It waits for the command: bwrap ends with the thread that started it.
    let inside = thread::spawn(move || {
        match allowed.and_then(|()| Ok(unshare(CloneFlags::CLONE_NEWNET)?)) {
            // A network without its listeners would only show as refused connections.
            Ok(()) => _ = listening.send(listen(&named)?),
            Err(error) => {
                let _ = writeln!(io::stderr(), "nacre-lambda-cell: no network of its own ({error})");
            }
        }
        drop(listening);
        command.status()
    });
    for listener in listeners.into_iter().flatten() {
        thread::spawn(move || pass_on(&listener));
    }
    inside.join().map_err(|_| io::Error::other("the thread that runs the cell has panicked"))?
}

/// A user namespace in which this user stays who it is, and may make other namespaces.
fn own_users() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Listens at these ports of a network that was just made.
fn listen(ports: &BTreeSet<u16>) -> io::Result<Vec<TcpListener>> {
    raise_loopback()?;
    ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect()
}

/// Has the kernel bring up the loopback interface, by `RTM_NEWLINK`: rtnetlink(7).
fn raise_loopback() -> io::Result<()> {
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let number = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).map_err(number)?;
    let up = u32::try_from(libc::IFF_UP).map_err(number)?;
    // A header of 16 bytes: length, type, flags, sequence and port; then family, padding, type, index, flags, and which flags change.
    let mut message = Vec::with_capacity(32);
    message.extend_from_slice(&32_u32.to_ne_bytes());
    message.extend_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&[0; 12]);
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    message.extend_from_slice(&up.to_ne_bytes());
    message.extend_from_slice(&up.to_ne_bytes());
    send(netlink.as_raw_fd(), &message, MsgFlags::empty())?;
    // The answer has a header, too, and then an error's number, negative, or zero.
    let mut answer = [0; 64];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let code = answer.get(16..20.min(length)).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Passes each connection on to the same port of the host's loopback, as long as the process lives.
fn pass_on(listener: &TcpListener) {
    let Ok(address) = listener.local_addr() else { return };
    for connection in listener.incoming() {
        let Ok(inside) = connection else { return };
        // A connection that is refused there ends here.
        let Ok(outside) = TcpStream::connect(address) else { continue };
        let (Ok(to_inside), Ok(to_outside)) = (inside.try_clone(), outside.try_clone()) else { continue };
        thread::spawn(move || copy(inside, to_outside));
        thread::spawn(move || copy(outside, to_inside));
    }
}

/// Copies until one side ends, then ends the other's direction.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = from.set_nodelay(true);
    // Either side may reset a connection.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_that_the_environment_names() {
        let named = |value: &str| ports([("NAME".into(), value.into())]).into_iter().collect::<Vec<_>>();
        assert_eq!(named("http://127.0.0.1:4566/path,localhost:80"), [80, 4566]);
        assert_eq!(named("127.0.0.1:9001"), [9001]);
        for none in ["https://database.clamav.net:443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999"] {
            assert!(named(none).is_empty(), "{none}");
        }
    }
}
