//! A release: its archive has what it should, the install script installs it, and nothing that was changed on the way.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use nacre_clamav::digest::Sha256Digest;

const VERSION: &str = "9.8.7";

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Packages of the right names, with an engine that is none.
fn packages(directory: &Path) {
    let mut sums = String::new();
    for name in ["updater", "scanner", "rescanner", "probe"] {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for file in ["nacre-engine", "lib/libclamav.so.12"] {
            zip.start_file(file, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        sums.extend([Sha256Digest::of(&bytes).to_string(), format!("  {name}.zip\n")]);
        fs::write(directory.join(format!("{name}.zip")), bytes).unwrap();
    }
    fs::write(directory.join("SHA256SUMS"), sums).unwrap();
}

/// A command line that has what is asked of it for a release: to pack that of a debug build takes long.
const PROGRAM: &str = "#!/bin/sh
case $1 in
man) touch \"$2/nacre.1\" \"$2/nacre-scan.1\" ;;
completions) echo \"complete $2\" ;;
--version) echo nacre ;;
esac
";

fn release(packages: &Path, into: &Path) -> Output {
    let program = packages.join("nacre");
    fs::write(&program, PROGRAM).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(root().join("dev/release"));
    command.arg(VERSION).env("PACKAGES", packages).env("INTO", into).env("PROGRAM", program).output().unwrap()
}

fn install(script: &Path, releases: &Path, prefix: &Path) -> Output {
    let releases = format!("file://{}", releases.display());
    Command::new("sh").arg(script).env("NACRE_RELEASES", releases).env("PREFIX", prefix).output().unwrap()
}

#[test]
fn a_release_is_installed_whole_and_a_changed_one_is_not() {
    let world = tempfile::tempdir().unwrap();
    let at = |name: &str| world.path().join(name);
    let (dist, releases) = (at("dist"), at("releases"));
    let into = releases.join(format!("v{VERSION}"));
    fs::create_dir(&dist).unwrap();
    packages(&dist);
    let made = release(&dist, &into);
    assert!(made.status.success(), "{made:?}");

    let script = into.join("install.sh");
    let installed = install(&script, &releases, &at("there"));
    assert!(installed.status.success(), "{installed:?}");
    let version = Command::new(at("there/bin/nacre")).arg("--version").output().unwrap();
    assert!(version.status.success());
    let archive = format!("nacre-{VERSION}-{}-linux", std::env::consts::ARCH);
    for file in [
        "nacre-engine",
        "lib/libclamav.so.12",
        "packages/scanner.zip",
        "packages/template.yaml",
        "completions/nacre.zsh",
        "man/nacre-scan.1",
    ] {
        assert!(at("there/lib").join(&archive).join(file).is_file(), "{file}");
    }
    assert!(at("there/share/man/man1/nacre.1").exists());

    // Attack: another archive under the same address.
    let file = into.join(format!("{archive}.tar.gz"));
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let refused = install(&script, &releases, &at("elsewhere"));
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("nothing was installed"));
    assert!(!at("elsewhere").exists());

    // Attack: a package that is not the one that was packed.
    fs::write(dist.join("scanner.zip"), "other").unwrap();
    let refused = release(&dist, &at("again"));
    assert!(!refused.status.success() && !at("again").exists(), "{refused:?}");
}

/// A tag can be moved to other code; the commit that is named cannot.
#[test]
fn each_action_of_a_workflow_is_named_by_its_commit() {
    let workflow = include_str!("../../.github/workflows/release.yml");
    let actions: Vec<&str> = workflow.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, it)| it).collect();
    assert!(actions.len() > 5, "{actions:?}");
    for action in actions {
        let (_, commit) = action.split_once('@').unwrap();
        let (commit, version) = commit.split_once(" # ").unwrap_or_else(|| panic!("{action} names no version"));
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
        assert!(version.starts_with('v'), "{action}");
    }
}
