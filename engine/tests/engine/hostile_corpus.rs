//! Files made to hurt: none is clean by accident, none takes the engine with it, time and memory stay bounded.

use std::{
    fs,
    io::{Cursor, Write},
};

use nacre_core::verdict::{Verdict, judge};
use nacre_engine_protocol::{Command, FailureCode, Limits, Outcome};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::driver::{DEADLINE_MS, Engine, eicar, hdb, ndb};

const LIMITS: Limits = Limits {
    max_scan_size: 200 << 20,
    max_file_size: 50 << 20,
    max_files: 1000,
    max_recursion: 17,
    max_scan_time_ms: 20_000,
    max_memory: 512 << 20,
};

/// Scans within [`LIMITS`]; `None` when the worker died or was killed.
fn verdict(engine: &mut Engine, name: &str, content: &[u8]) -> Option<Verdict> {
    engine.put("object", content);
    let scan = Command::Scan { engine: 1, file: "object".into(), limits: LIMITS, deadline_ms: DEADLINE_MS };
    let outcome = engine.ask(scan);
    engine.assert_nothing_left();
    match outcome {
        Outcome::Scanned(report) => Some(judge(&report, content.len() as u64, false)),
        Outcome::Failed(failure) => {
            let codes = [FailureCode::WorkerDied, FailureCode::DeadlineExceeded];
            assert!(codes.contains(&failure.code), "{name}: {failure:?}");
            None
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn deflated(members: &[(String, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        archive.start_file(name.clone(), options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn one(name: &str, content: &[u8]) -> Vec<u8> {
    deflated(&[(name.to_owned(), content)])
}

/// A zip whose every entry of the directory is the same member: much content of few bytes.
fn overlapping() -> Vec<u8> {
    let zeros = vec![0; 10 << 20];
    let plain = one("a", &zeros);
    let directory = plain.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let end = plain.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").unwrap();
    let (entry, count) = (&plain[directory..end], 500_u16);
    let mut bomb = plain[..directory].to_vec();
    bomb.extend(entry.repeat(count.into()));
    let mut tail = plain[end..].to_vec();
    tail[8..10].copy_from_slice(&count.to_le_bytes());
    tail[10..12].copy_from_slice(&count.to_le_bytes());
    tail[12..16].copy_from_slice(&u32::try_from(entry.len() * usize::from(count)).unwrap().to_le_bytes());
    bomb.extend(tail);
    bomb
}

/// Sixteen in each of four levels, the innermost of ten megabytes.
fn nested_bomb() -> Vec<u8> {
    let zeros = vec![0; 10 << 20];
    (0..4).fold(one("0", &zeros), |inner, _| {
        deflated(&(0..16).map(|n| (format!("{n}.zip"), &inner[..])).collect::<Vec<_>>())
    })
}

#[test]
fn bombs_are_not_clean_and_cost_only_themselves() {
    let mut engine = Engine::with(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    let flat = one("flat", &vec![0; 300 << 20]);
    let many: Vec<_> = (0..2000).map(|n| (format!("{n}"), &b"just some words"[..])).collect();
    let deep = (0..42).fold(eicar(), |content, n| one(&format!("{n}.zip"), &content));
    for (name, bomb) in [
        ("flat", flat),
        ("nested", nested_bomb()),
        ("overlapping", overlapping()),
        ("many", deflated(&many)),
        ("42 deep", deep),
    ] {
        let verdict = verdict(&mut engine, name, &bomb);
        assert!(matches!(verdict, None | Some(Verdict::Unscannable { .. })), "{name}: {verdict:?}");
    }
    assert_eq!(engine.scan(&eicar()).alerts, ["Eicar.UNOFFICIAL"]);
}

#[test]
fn names_in_archives_reach_no_path() {
    let mut engine = Engine::with(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    let eicar = eicar();
    for name in [
        "../../../../../../tmp/nacre-escaped",
        "/tmp/nacre-escaped",
        "..\\..\\nacre-escaped",
        "a\0/../nacre-escaped",
        "\u{202e}gpj.exe",
        "\x1b]0;nacre\x07",
        &"long/".repeat(5000),
        "%s%n%x",
    ] {
        let found = verdict(&mut engine, name, &one(name, &eicar));
        assert!(matches!(found, Some(Verdict::Infected { .. })), "{name:?}: {found:?}");
    }
    assert!(!std::path::Path::new("/tmp/nacre-escaped").exists());
}

#[test]
fn malformed_headers_never_hide_what_is_in_the_bytes() {
    let marker = b"the marker that must be found in every one of these";
    let mut engine = Engine::with(&[("a.ndb", &ndb("Marker", marker))]);
    let mut pe = vec![0; 4096];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x40;
    pe[0x40..0x48].copy_from_slice(b"PE\0\0\x4c\x01\xff\xff");
    pe[0x54..0x58].copy_from_slice(&[0xff; 4]);
    let ole = [&hex::decode("d0cf11e0a1b11ae1").unwrap()[..], &[0xff; 4096]].concat();
    let pdf = b"%PDF-1.7\n1 0 obj\n<< /Length 99999999999 /Filter [/FlateDecode /FlateDecode] >>\nstream\n\xff\xff\nendstream\n".to_vec();
    let elf = [&b"\x7fELF\x02\x01\x01"[..], &[0xff; 500]].concat();
    let png = [&b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR"[..], &[0xff; 100]].concat();
    let gif = [&b"GIF89a\xff\xff\xff\xff\xff\xff\xff"[..], &[0x2c; 300]].concat();
    let tar = {
        let mut tar = vec![0; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        tar[124..135].fill(b'7');
        tar
    };
    let cab = [&b"MSCF\0\0\0\0"[..], &[0xff; 200]].concat();
    let rtf = [&b"{\\rtf1{\\object{\\*\\objdata "[..], &b"f".repeat(100_000)].concat();
    let mail = b"From: a\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n".repeat(2000);
    for (name, start) in [
        ("PE", pe),
        ("OLE", ole),
        ("PDF", pdf),
        ("ELF", elf),
        ("PNG", png),
        ("GIF", gif),
        ("tar", tar),
        ("cabinet", cab),
        ("RTF", rtf),
        ("mail", mail),
    ] {
        let found = verdict(&mut engine, name, &[&start[..], marker].concat());
        assert!(!matches!(found, Some(Verdict::Clean | Verdict::Skipped { .. })), "{name}: {found:?}");
    }
}

#[test]
fn a_file_that_makes_the_engine_spin_is_ended() {
    // An expression that backtracks without end over what it is given.
    let spin = ("a.ldb", "Spin;Engine:81-255,Target:0;0&1;61616161;0/(a+)+(a+)+(a+)+b/\n");
    let mut engine = Engine::with(&[spin]);
    let content = b"a".repeat(40 << 20);
    engine.put("object", &content);
    let limits = Limits { max_scan_time_ms: 1000, ..LIMITS };
    let outcome = engine.ask(Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms: 3000 });
    if let Outcome::Scanned(report) = outcome {
        println!("ended by itself after {} ms: {:?}", report.duration_ms, report.messages);
    }
    engine.assert_nothing_left();
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

#[test]
fn a_file_that_exhausts_memory_is_not_clean() {
    let mut engine = Engine::with(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    let archive = one("large", &vec![b'a'; 40 << 20]);
    engine.put("object", &archive);
    for max_memory in [0, 1 << 20, 16 << 20, 48 << 20] {
        let limits = Limits { max_memory, ..LIMITS };
        let outcome = engine.ask(Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms: DEADLINE_MS });
        if let Outcome::Scanned(report) = outcome {
            let verdict = judge(&report, archive.len() as u64, true);
            let whole = report.layers.iter().any(|layer| layer.size == 40 << 20);
            assert!(verdict != Verdict::Clean || whole, "{max_memory}: {report:?}");
        }
        engine.assert_nothing_left();
    }
    let resident = fs::read_to_string(format!("/proc/{}/status", engine.child.id())).unwrap();
    assert!(resident.contains("VmRSS"));
    assert_eq!(engine.scan(&eicar()).alerts, ["Eicar.UNOFFICIAL"]);
}
