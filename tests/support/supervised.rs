//! A process that cannot outlive us, nor can anything that it starts.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use std::os::unix::process::CommandExt;

/// Somewhat more than the supervisor takes at worst.
const TIME_TO_STOP: Duration = Duration::from_mins(2);

/// A command under `supervise.py`; ended when dropped, and by the kernel's hand when we are killed.
#[derive(Debug)]
pub(crate) struct Supervised {
    supervisor: Child,
    /// Nothing is ever written here. Its closing, for whatever reason, is the order to stop.
    lifeline: Option<ChildStdin>,
}

/// Something that was started could not be ended.
#[derive(Debug)]
pub(crate) struct Left;

impl Supervised {
    /// Starts `command`, whose first word is a path, with exactly this environment, all it says going to `log`.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn start(
        python: &Path,
        command: &[&str],
        environment: &[(&str, String)],
        directory: &Path,
        log: File,
    ) -> io::Result<Self> {
        let mut supervisor = Command::new(python)
            .args(["-c", include_str!("supervise.py")])
            .args(command)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stderr(log.try_clone()?)
            .stdout(log)
            // Ctrl-C at the terminal is for us; we end the rest in good order.
            .process_group(0)
            .spawn()?;
        let lifeline = supervisor.stdin.take();
        Ok(Self { supervisor, lifeline })
    }

    /// Whether the command ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.supervisor.try_wait(), Ok(None))
    }

    /// Ends the command and everything that it started, and waits until all of it is gone.
    ///
    /// # Errors
    /// [`Left`] when something is not.
    pub(crate) fn stop(&mut self) -> Result<(), Left> {
        drop(self.lifeline.take());
        let deadline = Instant::now() + TIME_TO_STOP;
        loop {
            match self.supervisor.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
                _ => return Err(Left),
            }
        }
    }

    /// Everything that the supervisor started and that still runs.
    pub(crate) fn descendants(&self) -> Vec<ProcessInfo> {
        let all = processes();
        let (mut found, mut parents) = (Vec::new(), vec![self.supervisor.id().cast_signed()]);
        while let Some(parent) = parents.pop() {
            let children = all.get(&parent).map(Vec::as_slice).unwrap_or_default();
            parents.extend(children.iter().map(|child| child.id));
            found.extend(children.iter().cloned());
        }
        found
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Whoever wanted to know called `stop`.
        let _ = self.stop();
    }
}

/// One running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its id.
    pub id: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its program's name, cut to 15 bytes.
    pub name: String,
}

/// All processes by their parent.
fn processes() -> HashMap<i32, Vec<ProcessInfo>> {
    let mut children: HashMap<i32, Vec<ProcessInfo>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    // A process may end while we look.
    for process in entries.filter_map(|entry| parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?)) {
        children.entry(process.parent).or_default().push(process);
    }
    children
}

/// Reads `/proc/<pid>/stat`: `<pid> (<name>) <state> <parent> …`, where the name may hold blanks and parentheses.
fn parse_stat(stat: &str) -> Option<ProcessInfo> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (id, name) = before.split_once(" (")?;
    let mut fields = after.split(' ');
    // A zombie runs no more.
    if fields.next()? == "Z" {
        return None;
    }
    Some(ProcessInfo { id: id.parse().ok()?, parent: fields.next()?.parse().ok()?, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read_whole() {
        let process = parse_stat("12 (a) (b) S 3 12 12 0").unwrap();
        assert_eq!(process, ProcessInfo { id: 12, parent: 3, name: "a) (b".to_owned() });
        assert_eq!(parse_stat("12 (sh) Z 3 12"), None);
    }

    #[test]
    fn what_forked_twice_and_ignores_every_plea_is_ended_when_the_lifeline_closes() {
        let scratch = tempfile::tempdir().unwrap();
        let log = File::create(scratch.path().join("log")).unwrap();
        let script = "trap '' INT TERM HUP; (setsid sh -c 'trap \"\" INT TERM HUP; sleep 300' &) ; sleep 300";
        let path = [("PATH", "/usr/bin:/bin".to_owned())];
        let command = ["/bin/sh", "-c", script];
        let mut supervised = Supervised::start(Path::new("python3"), &command, &path, scratch.path(), log).unwrap();
        let deadline = Instant::now() + Duration::from_mins(5);
        while supervised.descendants().len() < 4 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let before = supervised.descendants();
        assert!(before.len() >= 4, "{before:?}");
        supervised.stop().unwrap();
        for process in before {
            assert!(!Path::new(&format!("/proc/{}", process.id)).exists(), "{process:?} is left");
        }
    }
}
