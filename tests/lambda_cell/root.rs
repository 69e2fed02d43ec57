//! The root directory of `provided.al2023`, as far as a program may count on it.

use std::{fs, io, path::Path, process::Command};

use crate::inherited;

/// Where this system keeps glibc, and its loader.
#[cfg(target_arch = "x86_64")]
const GLIBC: (&str, &str) = ("/lib/x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2");
/// Where this system keeps glibc, and its loader.
#[cfg(target_arch = "aarch64")]
const GLIBC: (&str, &str) = ("/lib/aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1");

/// glibc's own libraries. Nothing else is there but a shell, which AWS's own tutorial of custom
/// runtimes counts on: no libgcc, no libstdc++, no ICU, no tables of character sets.
const LIBRARIES: [&str; 11] = [
    "libc.so.6",
    "libm.so.6",
    "libmvec.so.1",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "libutil.so.1",
    "libanl.so.1",
    "libnss_dns.so.2",
    "libnss_files.so.2",
];

/// Debian's bundle of certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Devices that a function has. There is no `/dev/shm`.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Files of `/etc`, but for those of the network.
const ETC: [(&str, &str); 4] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n"),
    ("/etc/group", "root:x:0:\nsbx_user1051:x:990:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Adds the arguments that make the root.
pub(crate) fn arguments(bwrap: &mut Command) -> io::Result<()> {
    let (libraries, loader) = GLIBC;
    for library in LIBRARIES {
        bwrap.arg("--ro-bind-try").arg(Path::new(libraries).join(library)).arg(Path::new("/usr/lib64").join(library));
    }
    bwrap.args(["--ro-bind", loader, &format!("/usr/lib64/{}", loader.rsplit('/').next().unwrap_or_default())]);
    // Debian's loader searches its own directory where Amazon Linux's searches /lib64.
    bwrap.args(["--symlink", "usr/lib64", "/lib64", "--symlink", "/usr/lib64", libraries]);
    if loader.starts_with("/lib/") {
        bwrap.args(["--symlink", &format!("/usr/lib64/{}", loader.trim_start_matches("/lib/")), loader]);
    }
    bwrap.arg("--ro-bind").arg(fs::canonicalize("/bin/sh")?).args(["/usr/bin/sh", "--symlink", "usr/bin", "/bin"]);
    for (path, content) in ETC {
        bwrap.args(["--ro-bind-data", &inherited(content.as_bytes())?.to_string(), path]);
    }
    bwrap.args(["--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf"]);
    bwrap.args(["--ro-bind-try", CERTIFICATES, "/etc/pki/tls/certs/ca-bundle.crt"]);
    bwrap.args(["--symlink", "../pki/tls/certs", "/etc/ssl/certs"]);
    bwrap.args(["--proc", "/proc", "--dir", "/var/runtime"]);
    // Settings of the kernel, which root of the host could write.
    for setting in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"] {
        bwrap.args(["--ro-bind-try", setting, setting]);
    }
    for device in DEVICES {
        bwrap.args(["--dev-bind", device, device]);
    }
    for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        bwrap.args(["--symlink", &format!("/proc/self/fd/{number}"), &format!("/dev/{name}")]);
    }
    bwrap.args(["--symlink", "/proc/self/fd", "/dev/fd"]);
    Ok(())
}
