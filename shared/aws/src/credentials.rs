//! Takes a function's credentials out of its environment.
//!
//! Attack: a compromised engine has the function's user, and where the system refuses `PR_SET_DUMPABLE`, as AWS Lambda does, it may read
//! `/proc/<function>/environ`. The values are overwritten in place: removing a variable leaves its bytes there.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt,
};

use aws_sdk_s3::config::Credentials;

/// The variables that hold credentials.
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// Reads the credentials that this process was started with, and overwrites them with zeros; `None` when it has none. Call it before
/// anything makes the process non-dumpable: its own memory is closed to it then.
///
/// # Errors
/// When `/proc/self` cannot be read or written; the values then stay.
pub(crate) fn take_credentials() -> io::Result<Option<Credentials>> {
    let environment = fs::read("/proc/self/environ")?;
    let (Some(key_id), Some(secret)) = (find(&environment, KEY_ID), find(&environment, SECRET)) else {
        return Ok(None);
    };
    let token = find(&environment, TOKEN);
    let start = environment_start(&fs::read_to_string("/proc/self/stat")?)?;
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    for Found { offset, value } in [Some(&key_id), Some(&secret), token.as_ref()].into_iter().flatten() {
        memory.write_all_at(&vec![0; value.len()], start + *offset as u64)?;
    }
    Ok(Some(Credentials::new(key_id.value, secret.value, token.map(|token| token.value), None, "environment")))
}

/// The value of a variable, and its offset in the environment.
struct Found {
    offset: usize,
    value: String,
}

fn find(environment: &[u8], name: &str) -> Option<Found> {
    let mut offset = 0;
    for entry in environment.split(|byte| *byte == 0) {
        let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let value = String::from_utf8(value.to_vec()).ok()?;
            return Some(Found { offset: offset + name.len() + 1, value });
        }
        offset += entry.len() + 1;
    }
    None
}

/// The address of the environment: field 50 of `/proc/self/stat`, of which the second may contain anything. Source: `proc_pid_stat(5)`.
fn environment_start(stat: &str) -> io::Result<u64> {
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
    let address = fields.and_then(|mut fields| fields.nth(47)?.parse().ok()).filter(|address| *address != 0);
    address.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat does not say where the environment is")
    })
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// Set in the process whose environment is overwritten.
    const CHILD: &str = "NACRE_TEST_CHILD";

    #[test]
    fn nobody_reads_them_in_the_environment_any_more() {
        let environment = || fs::read("/proc/self/environ").unwrap();
        if find(&environment(), CHILD).is_none() {
            let test = "credentials::tests::nobody_reads_them_in_the_environment_any_more";
            let output = Command::new(env::current_exe().unwrap())
                .args([test, "--exact", "--nocapture"])
                .envs([
                    (CHILD, "1"),
                    (KEY_ID, "the-id"),
                    (SECRET, "the-secret"),
                    (TOKEN, "the-token"),
                    ("OTHER", "kept"),
                ])
                .output()
                .unwrap();
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && out.contains("1 passed"), "{out}{output:?}");
            return;
        }
        let taken = take_credentials().unwrap().unwrap();
        let found = (taken.access_key_id(), taken.secret_access_key(), taken.session_token());
        assert_eq!(found, ("the-id", "the-secret", Some("the-token")));
        let left = environment();
        for value in ["the-id", "the-secret", "the-token"] {
            assert!(!left.windows(value.len()).any(|window| window == value.as_bytes()), "{value} is still there");
        }
        assert!(find(&left, "OTHER").is_some_and(|other| other.value == "kept"));
        assert!(take_credentials().unwrap().is_none());
    }

    #[test]
    fn a_value_is_found_under_its_whole_name_alone() {
        let environment = b"MY_AWS_ACCESS_KEY_ID=no\0AWS_ACCESS_KEY_ID_OLD=no\0AWS_ACCESS_KEY_ID=yes\0";
        let found = find(environment, KEY_ID).unwrap();
        assert_eq!(found.value, "yes");
        assert_eq!(environment.get(found.offset..found.offset + 3), Some(&b"yes"[..]));
    }
}
