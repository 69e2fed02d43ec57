//! The cell that imitates AWS Lambda, tried from inside by a shell. What it refuses of system calls and what a function finds there is
//! asked by the probe: `tests/end_to_end/deploy.rs`. That functions are frozen and begun anew: `tests/support/tests.rs`.

mod calls;

use std::process::{Command, Output};

use nacre_test_support::programs_directory;

/// Runs a script in a cell with these bounds.
fn in_cell(bounds: &[&str], script: &str) -> Output {
    in_cell_with(&[], bounds, script)
}

/// The same, with these variables.
fn in_cell_with(variables: &[(&str, &str)], bounds: &[&str], script: &str) -> Output {
    let task = tempfile::tempdir().unwrap();
    Command::new(programs_directory().unwrap().join("nacre-lambda-cell"))
        .args(["--task".as_ref(), task.path()])
        .args(bounds)
        .args(["/bin/sh", "-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether this user may bound the memory of a cell, which needs control groups.
fn has_groups() -> bool {
    !printed(&in_cell(&["--memory-mib", "512"], ":")).contains("no bound on memory")
}

#[test]
fn the_exit_status_is_the_programs() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        assert_eq!(in_cell(&[], script).status.code(), Some(status), "{script}");
    }
    let cell = programs_directory().unwrap().join("nacre-lambda-cell");
    for wrong in [&["--task"][..], &["--tmp-mib", "x", "/bin/sh"], &["/bin/sh"], &["--unknown", "x"]] {
        let output = Command::new(&cell).args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(printed(&output).contains("usage: nacre-lambda-cell"), "{}", printed(&output));
    }
}

#[test]
fn only_tmp_can_be_written_and_only_as_much_as_it_has() {
    let script = "for place in / /dev /etc /lib64 /opt /usr/lib64 /var /var/task /var/runtime /tmp; do
        if echo x 2>&- >$place/file; then echo wrote $place; fi; done; test -e /dev/shm && echo shm";
    assert_eq!(printed(&in_cell(&[], script)), "wrote /tmp\n");
    let fill = "x=0123456789abcdef; i=0; while [ $i -lt 12 ]; do x=$x$x; i=$((i + 1)); done
        i=0; while [ $i -lt 40 ]; do echo $x || exit 3; i=$((i + 1)); done >/tmp/file";
    let refused = in_cell(&["--tmp-mib", "1"], fill);
    assert_eq!(refused.status.code(), Some(3), "{}", printed(&refused));
    assert!(in_cell(&["--tmp-mib", "4"], fill).status.success());
}

#[test]
fn there_is_glibc_and_a_shell_and_nothing_else() {
    let script = "for file in /usr/bin/* /usr/lib64/*; do echo $file; done";
    let listed = printed(&in_cell(&[], script));
    for file in listed.lines() {
        let name = file.rsplit('/').next().unwrap();
        let glibc =
            ["ld-linux-", "libc.", "libm.", "libmvec.", "libdl.", "librt.", "libpthread.", "libresolv.", "libutil."];
        let also = ["libanl.", "libnss_", "sh"];
        assert!(glibc.iter().chain(&also).any(|known| name.starts_with(known)), "{file}");
    }
    assert!(listed.contains("/usr/lib64/libc.so.6"), "{listed}");
    let output =
        in_cell(&[], "test -s /etc/pki/tls/certs/ca-bundle.crt && test -s /etc/ssl/certs/ca-bundle.crt; echo $?");
    assert_eq!(printed(&output), "0\n");
}

#[test]
fn only_ports_that_the_environment_names_answer() {
    let script = "while read -r interface rest; do echo $interface; done </proc/net/dev
        while read -r number local rest; do echo $local; done </proc/net/tcp";
    let output = in_cell_with(&[("MIRROR", "http://127.0.0.1:18999/")], &[], script);
    if printed(&output).contains("no network of its own") {
        println!("not tried: this user may not make network namespaces");
        return;
    }
    // Two lines of headings, the loopback; a heading, 127.0.0.1 at port 18999 as the kernel writes it.
    assert_eq!(printed(&output), "Inter-|\nface\nlo:\nlocal_address\n0100007F:4A37\n");
}

#[test]
fn files_processes_and_memory_are_bounded() {
    assert_eq!(printed(&in_cell(&[], "ulimit -n")), "1024\n");
    if !has_groups() {
        println!("not tried: this user may not make control groups");
        return;
    }
    let bounds = ["--memory-mib", "256"];
    // As many as there may be, each of which stops.
    let fork = "i=0; while [ $i -lt 1100 ]; do /bin/sh -c 'kill -STOP $$' & i=$((i + 1)); done; echo all";
    let output = in_cell(&bounds, fork);
    assert!(!printed(&output).contains("all") && printed(&output).contains("fork"), "{}", printed(&output));
    let grow = "x=0123456789abcdef; while :; do x=$x$x; done";
    assert_eq!(in_cell(&bounds, grow).status.code(), Some(137), "killed for its memory");
}

#[test]
fn what_a_cell_leaves_is_removed() {
    let output = in_cell(&["--memory-mib", "64"], "echo $$");
    assert!(output.status.success(), "{}", printed(&output));
    let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"];
    let sweep = Command::new(programs_directory().unwrap().join("nacre-lambda-cell")).arg("--sweep").status().unwrap();
    assert!(sweep.success());
    for group in groups.iter().filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten() {
        let name = group.file_name().to_string_lossy().into_owned();
        let keeper = name.strip_prefix("nacre-cell-").map(|id| format!("/proc/{id}"));
        assert!(keeper.is_none_or(|keeper| std::path::Path::new(&keeper).exists()), "{name} is left");
    }
}
