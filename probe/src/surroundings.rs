//! What the system says of itself, read from `/proc` and `/sys`.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path, process::Command, thread};

use nix::sys::statvfs::statvfs;

/// Where something might be written.
const DIRECTORIES: [&str; 7] = ["/dev/shm", "/mnt", "/opt", "/tmp", "/usr", "/var/task", "/var/tmp"];

/// Facts that are lines of `/proc/self/status` and `/proc/meminfo`.
const LINES: [(&str, &str, &str); 7] = [
    ("memory available", "/proc/meminfo", "MemAvailable:"),
    ("memory total", "/proc/meminfo", "MemTotal:"),
    ("user", "/proc/self/status", "Uid:"),
    ("capabilities", "/proc/self/status", "CapEff:"),
    ("no new privileges", "/proc/self/status", "NoNewPrivs:"),
    ("seccomp mode", "/proc/self/status", "Seccomp:"),
    ("seccomp filters", "/proc/self/status", "Seccomp_filters:"),
];

/// Lines of `/proc/self/limits`.
const LIMITS: [(&str, &str); 5] = [
    ("limit of address space", "Max address space"),
    ("limit of file size", "Max file size"),
    ("limit of locked memory", "Max locked memory"),
    ("limit of open files", "Max open files"),
    ("limit of processes", "Max processes"),
];

/// Each fact; one that cannot be had says so.
pub(crate) fn facts() -> BTreeMap<&'static str, String> {
    let mut facts: BTreeMap<_, _> = LINES.map(|(name, file, key)| (name, line(file, key))).into();
    facts.extend(LIMITS.map(|(name, key)| (name, line("/proc/self/limits", key))));
    let read = |path| fs::read_to_string(path).map_or_else(|error| unknown(&error), |text| text.trim().to_owned());
    facts.insert("kernel", read("/proc/version"));
    facts.insert("huge pages", read("/sys/kernel/mm/transparent_hugepage/enabled"));
    facts.insert("name servers", line("/etc/resolv.conf", "nameserver"));
    facts.insert(
        "processors",
        thread::available_parallelism().map_or_else(|error| unknown(&error), |count| count.to_string()),
    );
    facts.insert("C library", c_library());
    facts.insert("disk in /tmp", disk("/tmp"));
    facts.insert("environment of process 1", readable("/proc/1/environ"));
    facts.insert("processes in sight", processes());
    facts
}

/// Whether each directory can be written in.
pub(crate) fn directories() -> BTreeMap<&'static str, String> {
    DIRECTORIES.map(|directory| (directory, writable(directory))).into()
}

fn writable(directory: &str) -> String {
    if !Path::new(directory).is_dir() {
        return "absent".to_owned();
    }
    // It has no name, and is gone at once.
    tempfile::tempfile_in(directory).map_or_else(|error| format!("refused: {error}"), |_| "writable".to_owned())
}

/// What follows the key, on the first line that begins with it.
fn line(file: &str, key: &str) -> String {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return unknown(&error),
    };
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let words = value.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
    words.unwrap_or_else(|| "not said".to_owned())
}

/// The library is a program, too, which prints its version.
fn c_library() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.ends_with("/libc.so.6"));
    let Some(path) = path else { return "not found".to_owned() };
    match Command::new(path).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned(),
        Err(error) => unknown(&error),
    }
}

fn disk(path: &str) -> String {
    match statvfs(path) {
        Ok(disk) => {
            let megabytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size()) >> 20;
            format!("{} of {} MB are free", megabytes(disk.blocks_available()), megabytes(disk.blocks()))
        }
        Err(error) => unknown(&error),
    }
}

/// Opened, and not read.
fn readable(path: &str) -> String {
    match fs::File::open(path) {
        Ok(_) => "can be opened".to_owned(),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => "refused".to_owned(),
        Err(error) => unknown(&error),
    }
}

fn processes() -> String {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let count = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_process)).count();
    count.to_string()
}

fn unknown(error: &dyn std::fmt::Display) -> String {
    format!("unknown: {error}")
}
