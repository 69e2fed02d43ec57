//! The gate of packages: what links with glibc 2.34 and the package's own libraries passes, and all else is named and refused.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// A library that is planted in a package.
struct Planted {
    what: &'static str,
    source: &'static str,
    options: &'static [&'static str],
    /// What the gate says of it; empty where it passes.
    said: &'static [&'static str],
}

const PLANTED: [Planted; 9] = [
    Planted {
        what: "what glibc 2.34 has",
        source: "int puts(const char *); double sin(double); int f(double x) { return puts(\"x\") + (int)sin(x); }",
        options: &["-lm"],
        said: &[],
    },
    Planted {
        what: "a library that needs nothing",
        source: "int f(void) { return 1; }",
        options: &["-nostdlib"],
        said: &[],
    },
    Planted {
        what: "a symbol of glibc 2.36",
        source: "unsigned arc4random(void); unsigned f(void) { return arc4random(); }",
        options: &[],
        said: &["lib/planted.so needs GLIBC_2.36 of libc.so.6", "undefined symbol: arc4random, version GLIBC_2.36"],
    },
    Planted {
        what: "a symbol of glibc 2.36 without its version",
        source: "unsigned arc4random(void); unsigned f(void) { return arc4random(); }",
        options: &["-nostdlib"],
        said: &["undefined symbol: arc4random"],
    },
    // The dynamic linker has it, not libc.
    Planted {
        what: "a symbol of glibc 2.35",
        source: "int _dl_find_object(void *, void *); int f(void) { return _dl_find_object(0, 0); }",
        options: &[],
        said: &["needs GLIBC_2.35 of ", "_dl_find_object"],
    },
    Planted {
        what: "a symbol that is glibc's own",
        source: "void __libc_early_init(int); void f(void) { __libc_early_init(1); }",
        options: &[],
        said: &["needs GLIBC_PRIVATE of libc.so.6", "__libc_early_init"],
    },
    Planted {
        what: "a symbol that nobody has",
        source: "int nobody_has_this(void); int f(void) { return nobody_has_this(); }",
        options: &[],
        said: &["undefined symbol: nobody_has_this"],
    },
    Planted {
        what: "a library that the package lacks",
        source: "const char *zlibVersion(void); const char *f(void) { return zlibVersion(); }",
        options: &["-l:libz.so.1"],
        said: &["needs libz.so.1, which the package does not carry", "takes a library from elsewhere"],
    },
    // A version that has no symbol. Linkers make it by themselves on some systems.
    Planted {
        what: "packed relocations",
        source: "int a, b; static int *t[] = {&a, &b}; int puts(const char *); int f(void) { return puts(\"x\") + *t[1]; }",
        options: &["-Wl,-z,pack-relative-relocs"],
        said: &["needs GLIBC_ABI_DT_RELR of libc.so.6", "version `GLIBC_ABI_DT_RELR' not found"],
    },
];

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn compile(planted: &Planted, library: &Path) {
    let mut compiler = Command::new("cc");
    compiler
        .args(["-x", "c", "-shared", "-fPIC", "-o"])
        .arg(library)
        .arg("-")
        .args(["-x", "none"])
        .args(planted.options);
    let mut compiler = compiler.stdin(Stdio::piped()).spawn().unwrap();
    compiler.stdin.take().unwrap().write_all(planted.source.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success(), "{}", planted.what);
}

fn gate(package: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/package-gate");
    let output = run(Command::new(script).arg(package).arg(std::env::consts::ARCH));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_does_not_link_with_glibc_2_34_is_refused_by_its_name() {
    for planted in &PLANTED {
        let package = tempfile::tempdir().unwrap();
        fs::create_dir(package.path().join("lib")).unwrap();
        let library = package.path().join("lib/planted.so");
        compile(planted, &library);
        let passes = planted.said.is_empty();
        let elf = run(Command::new("readelf").arg("--version-info").arg(&library));
        // Not every linker packs relocations, and nothing is wrong with a library where it did not.
        let is_packed = String::from_utf8_lossy(&elf.stdout).contains("GLIBC_ABI_DT_RELR");
        if planted.what == "packed relocations" && !is_packed && std::env::consts::ARCH != "x86_64" {
            continue;
        }
        let (links, said) = gate(package.path());
        assert_eq!(links, passes, "{}: {said}", planted.what);
        for expected in planted.said {
            assert!(said.contains(expected), "{}: {said}", planted.what);
        }
    }
}

/// A program is no library, and is linked too.
#[test]
fn programs_are_linked_like_libraries() {
    let package = tempfile::tempdir().unwrap();
    let program = package.path().join("bootstrap");
    for (source, passes) in [
        ("#include <stdio.h>\nint main(void) { return fputs(\"x\", stderr); }", true),
        ("#include <stdlib.h>\nint main(void) { return (int)arc4random(); }", false),
    ] {
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-x", "c", "-o"]).arg(&program).arg("-").stdin(Stdio::piped());
        let mut compiler = compiler.spawn().unwrap();
        compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
        assert!(compiler.wait().unwrap().success());
        let (links, said) = gate(package.path());
        assert_eq!(links, passes, "{said}");
        assert_eq!(said.contains("bootstrap needs GLIBC_2.36"), !passes, "{said}");
    }
}

#[test]
fn what_cannot_be_made_here_is_an_error_only_when_it_is_asked_for() {
    let programs = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = programs.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // A machine whose rustup reaches nothing: what would be built and packed is a line.
    script("rustc", "echo /nonexistent");
    script("rustup", "echo unreachable >&2; exit 1");
    script("cargo", "echo cargo $* >&2; exit 3");
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    let package = |architecture: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/package-all");
        let output = run(Command::new(script).env("PATH", &path).env("ARCH", architecture));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let other = if std::env::consts::ARCH == "x86_64" { "arm64" } else { "x86_64" };
    let (status, said) = package(other);
    assert!(status == Some(1) && said.contains("cannot be made here") && !said.contains("cargo"), "{said}");
    let (status, said) = package("both");
    assert!(status == Some(1) && said.contains("cannot be made here") && !said.contains("cargo"), "{said}");
    let (status, said) = package("");
    assert!(status == Some(3) && said.contains("are NOT made") && said.contains("cargo build --locked"), "{said}");
    let (status, said) = package("riscv64");
    assert!(status == Some(1) && said.contains("it is one of x86_64, arm64, both"), "{said}");
}
