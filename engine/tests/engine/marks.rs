//! What libclamav calls clean as it knows neither the encryption nor the container, and archives in which there is nothing.

use std::{fs, io::Write, path::Path, process::Command as Process};

use nacre_core::verdict::{Reason, Verdict, judge};
use nacre_engine_protocol::Limits;

use crate::{
    driver::{Engine, eicar, hdb, zip},
    fail_closed::{World, deflated, gzip, noise},
};

/// Runs a line of the shell in `directory`; false, loudly, when a program in it is not installed or refuses.
fn shell(directory: &Path, line: &str) -> bool {
    let home = directory.join("gnupg");
    fs::create_dir_all(&home).unwrap();
    let output =
        Process::new("sh").args(["-ec", line]).current_dir(directory).env("GNUPGHOME", &home).output().unwrap();
    if !output.status.success() {
        println!("skipped: {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// Guards what each line makes as the file `out`, of `words` and the EICAR file `eicar`.
fn guard_made(lines: &[&str], reason: Reason) {
    let (mut world, directory) = (World::new(), tempfile::tempdir().unwrap());
    fs::write(directory.path().join("eicar"), eicar()).unwrap();
    for line in lines {
        if shell(directory.path(), &format!("rm -f out; {line}")) {
            let content = fs::read(directory.path().join("out")).unwrap();
            world.guard(line, &content, Limits::default(), &[], reason);
            if content.len() < 1 << 20 {
                let inside = zip(&[("words", b"just some words"), ("out", &content)]);
                world.guard(&format!("{line}, in a zip"), &inside, Limits::default(), &[], reason);
            }
        }
    }
}

#[test]
fn what_common_tools_encrypt() {
    const CERTIFICATE: &str =
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=x -days 2 2>/dev/null;";
    const GPG: &str = "gpg --batch --quiet --passphrase x --pinentry-mode loopback";
    let lines = [
        "openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in eicar -out out".to_owned(),
        "openssl enc -a -aes-256-cbc -pbkdf2 -pass pass:x -in eicar -out out".to_owned(),
        format!("{CERTIFICATE} openssl cms -encrypt -in eicar -outform DER -out out cert"),
        format!("{CERTIFICATE} openssl cms -encrypt -stream -in eicar -outform DER -out out cert"),
        format!("{CERTIFICATE} openssl cms -encrypt -in eicar -outform PEM -out out cert"),
        format!("{CERTIFICATE} openssl smime -encrypt -from a@b -to c@d -subject x -in eicar -out out cert"),
        format!("{GPG} --symmetric --output out eicar"),
        format!("{GPG} --armor --symmetric --output out eicar"),
    ];
    guard_made(&lines.each_ref().map(String::as_str), Reason::Encrypted);
}

#[test]
fn containers_that_nothing_opens() {
    guard_made(
        &[
            "truncate -s 1M out; mkfs.ext4 -q out",
            "qemu-img create -q -f vpc out 1M",
            "qemu-img create -q -f vpc -o subformat=fixed out 1M",
            "qemu-img create -q -f vhdx out 8M",
            "qemu-img create -q -f vmdk out 1M",
            "qemu-img create -q -f qcow2 out 1M",
            "gpg --batch --quiet --passphrase '' --quick-generate-key a@b; gpg --batch --quiet --sign --output out eicar",
        ],
        Reason::UnsupportedFormat,
    );
}

#[test]
fn the_report_names_the_container() {
    let report = Engine::with(&[("a.hdb", &hdb("Eicar", &eicar()))]).scan(b"\xFF\x06\0\0sNaPpY\x01\x05");
    assert_eq!(report.containers, ["snappy"]);
}

#[test]
fn streams_of_a_pdf_that_libclamav_leaves_as_they_are() {
    let pdf = |dictionary: &str, content: &[u8], trailer: &str| {
        let object = format!("<</Length {} {dictionary}>>", content.len());
        let start = format!("%PDF-1.7\n1 0 obj\n<</Type /Catalog>>\nendobj\n2 0 obj\n{object}\nstream\n");
        let end = format!("\nendstream\nendobj\ntrailer\n<</Root 1 0 R {trailer}>>\nstartxref\n9\n%%EOF\n");
        [start.as_bytes(), content, end.as_bytes()].concat()
    };
    let packed = |content: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    };
    let mut world = World::new();
    let found = world.ours(&pdf("/Filter /FlateDecode", &packed(&eicar()), ""), Limits::default());
    assert!(matches!(found, Verdict::Infected { .. }), "{found:?}");
    assert_eq!(world.ours(&pdf("/Filter /FlateDecode", &packed(b"words"), ""), Limits::default()), Verdict::Clean);
    let row = [b"\0", &eicar()[..]].concat();
    let predicted = pdf("/Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns 68>>", &packed(&row), "");
    let referred = pdf("/Filter 7 0 R", &packed(&eicar()), "");
    let image = pdf("/Type /EmbeddedFile /Subtype /Image /Filter /FlateDecode", &packed(&eicar()), "");
    for opened in [predicted, referred, image] {
        let found = world.ours(&opened, Limits::default());
        assert!(matches!(found, Verdict::Infected { .. }), "{found:?}");
    }
    let parameters = pdf("/Filter /FlateDecode /DecodeParms 7 0 R", &packed(&row), "");
    world.guard("parameters by reference", &parameters, Limits::default(), &[], Reason::UnsupportedFormat);
    let locked = pdf("", &noise(68), "/Encrypt 9 0 R");
    assert_eq!(world.ours(&locked, Limits::default()), Verdict::Unscannable { reason: Reason::Encrypted });
}

#[test]
fn keys_signatures_and_certificates_are_clean() {
    const GPG: &str = "gpg --batch --quiet --passphrase '' --pinentry-mode loopback";
    let (mut world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let lines = [
        format!("{GPG} --quick-generate-key a@b; {GPG} --export --output out"),
        format!("{GPG} --armor --export --output out"),
        format!("echo words > words; {GPG} --detach-sign --output out words"),
        format!("{GPG} --clearsign --output out words"),
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out out -subj /CN=x -days 2".to_owned(),
        "openssl rand 4096 > out".to_owned(),
    ];
    for line in lines {
        if shell(directory.path(), &format!("rm -f out; {line}")) {
            let content = fs::read(directory.path().join("out")).unwrap();
            assert_eq!(world.ours(&content, Limits::default()), Verdict::Clean, "{line}");
        }
    }
}

const PARTS: &str = "--B\nContent-Type: text/plain\n\nwords\n--B\nContent-Type: application/octet-stream\n\
    Content-Transfer-Encoding: base64\n\n";

/// The parts of a mail with the EICAR file among them.
fn parts() -> String {
    let mut encoded = String::new();
    for three in eicar().chunks(3) {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for letter in 0..4 {
            let value = usize::try_from(number >> (18 - 6 * letter) & 63).unwrap();
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            encoded.push(if letter > three.len() { '=' } else { char::from(letters[value]) });
        }
    }
    format!("{PARTS}{encoded}\n--B--\n")
}

#[test]
fn a_piece_of_a_mail() {
    let mut world = World::new();
    let mail = format!(
        "From: a@b\nTo: b@c\nSubject: x\nMIME-Version: 1.0\nContent-Type: message/partial; id=\"x@y\"; number=1; total=1\n\n\
         From: a@b\nContent-Type: multipart/mixed; boundary=B\n\n{}",
        parts()
    );
    let found = world.ours(mail.as_bytes(), Limits::default());
    assert!(matches!(found, Verdict::Infected { .. }), "{found:?}");
    // A piece that does not hold all of it.
    let (first, _) = mail.split_at(mail.len() - 60);
    world.guard("message/partial", first.as_bytes(), Limits::default(), &[], Reason::UnsupportedFormat);
}

fn checksum(content: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(content);
    sum.sum().to_le_bytes()
}

/// A 7z of one empty file: a header of files and no streams.
fn seven_zip() -> Vec<u8> {
    let name: Vec<u8> = "an-empty-file.log\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u8::try_from(1 + name.len()).unwrap();
    let header = [&[1, 5, 1, 0x0E, 1, 0x80, 0x0F, 1, 0x80, 0x11, length, 0][..], &name, &[0, 0]].concat();
    let size = u64::try_from(header.len()).unwrap().to_le_bytes();
    let place = [&[0; 8][..], &size, &checksum(&header)].concat();
    [b"7z\xBC\xAF\x27\x1C\0\x04", &checksum(&place)[..], &place, &header].concat()
}

/// A cabinet of one empty file in a folder without data.
fn cabinet() -> Vec<u8> {
    let name = b"a rather long name of a file that happens to be empty.log\0";
    let size = u32::try_from(36 + 8 + 16 + name.len()).unwrap().to_le_bytes();
    let header =
        [b"MSCF\0\0\0\0", &size[..], &[0; 4], &[44, 0, 0, 0], &[0; 4], &[3, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
    [&header[..], &size, &[0; 4], &[0; 16], name].concat()
}

/// An ARJ of one member.
fn arj(flags: u8, content: &[u8]) -> Vec<u8> {
    let header = |kind: u8, flags: u8, size: usize| {
        let size = u32::try_from(size).unwrap().to_le_bytes();
        let fixed = [&[30, 11, 1, 2, flags, 0, kind, 0, 0, 0, 0, 0][..], &size, &size, &[0; 10], b"a\0\0"].concat();
        [&[0x60, 0xEA, u8::try_from(fixed.len()).unwrap(), 0][..], &fixed, &[0; 6]].concat()
    };
    [header(2, 0, 0), header(0, flags, content.len()), content.to_vec(), vec![0x60, 0xEA, 0, 0]].concat()
}

#[test]
fn archives_of_nothing_are_clean() {
    let mut world = World::new();
    let mut log = flate2::GzBuilder::new()
        .filename("a-rather-long-name-of-a-log-file-that-happens-to-be-empty-today.log")
        .write(Vec::new(), flate2::Compression::default());
    log.write_all(b"").unwrap();
    let log = log.finish().unwrap();
    let folders = zip(&[("a/", b""), ("a/b/", b""), ("a/b/.gitkeep", b""), ("a/version", b"1.0\n")]);
    for (name, content) in [
        ("zip", &folders),
        ("deflated", &deflated(&[("folder/init.py", b""), ("folder/version.txt", b"1.0\n")])),
        ("7z", &seven_zip()),
        ("cab", &cabinet()),
        ("arj", &arj(0, b"")),
        ("gz", &log),
    ] {
        assert_eq!(world.ours(content, Limits::default()), Verdict::Clean, "{name}");
        let inside = zip(&[("words", b"just some words"), ("empty", content)]);
        assert_eq!(world.ours(&inside, Limits::default()), Verdict::Clean, "{name} in a zip");
    }
}

#[test]
fn archives_of_nothing_with_something_between_are_not() {
    let mut world = World::new();
    let folders = zip(&[("a/", b""), ("a/b/", b""), ("a/b/.gitkeep", b"")]);
    let directory = folders.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let hidden = deflated(&[("hidden", &eicar())]);
    let local = &hidden[..hidden.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap()];
    let seven = seven_zip();
    for (name, content) in [
        ("a member that no entry names", [&folders[..directory], local, &folders[directory..]].concat()),
        ("bytes behind it", [&folders[..], &gzip(&eicar())].concat()),
        ("bytes behind a 7z", [&seven[..], &gzip(&eicar())].concat()),
    ] {
        let verdict = world.ours(&content, Limits::default());
        assert_ne!(verdict, Verdict::Clean, "{name}");
    }
}

#[test]
fn an_encrypted_member_of_an_arj() {
    let mut world = World::new();
    world.guard("arj", &arj(1, &noise(200)), Limits::default(), &[], Reason::Encrypted);
}

/// Types as ClamAV's `daily` brings them, so far as this needs them.
const TYPES: &str = "0:0:53514c69746520666f726d6174203300:SQLite database:CL_TYPE_ANY:CL_TYPE_IGNORED\n\
    0:0:504b0304:ZIP:CL_TYPE_ANY:CL_TYPE_ZIP\n";

#[test]
fn what_libclamav_ignores_is_matched_where_the_definitions_bring_types() {
    let database = [b"SQLite format 3\0", &noise(4000)[..]].concat();
    let body = format!("Body:0:*:{}\n", hex::encode(&noise(4000)[2000..2032]));
    let mut without = Engine::with(&[("a.hdb", &hdb("Eicar", &eicar()))]);
    let verdict = |report, size: usize| judge(&report, size as u64, false);
    assert_eq!(verdict(without.scan(&database), database.len()), Verdict::Clean, "the built-in types ignore it");
    let mut finds_without = Engine::with(&[("a.ndb", &body)]);
    assert!(verdict(finds_without.scan(&database), database.len()).is_infected(), "and all of it is matched");
    let mut with = Engine::with(&[("a.hdb", &hdb("Eicar", &eicar())), ("types.ftm", TYPES)]);
    assert_eq!(verdict(with.scan(&database), database.len()), Verdict::Clean);
    let archive = zip(&[("a.sqlite", &database)]);
    assert_eq!(verdict(with.scan(&archive), archive.len()), Verdict::Clean, "the definitions' own types hold, too");
    let mut finds = Engine::with(&[("a.ndb", &body), ("types.ftm", TYPES)]);
    assert!(verdict(finds.scan(&database), database.len()).is_infected());
}

#[test]
fn mail_that_libclamav_takes_for_text_is_read_as_mail() {
    let (mut world, parts) = (World::new(), parts());
    let many = "X-Header: y\n".repeat(2000);
    let kind = "Content-Type: multipart/mixed; boundary=B\n";
    for header in [
        format!("Reply-To: a@b\n{kind}"),
        format!("FROM: a@b\nTO: b@c\n{kind}"),
        format!("Received:\n from x by y\n{kind}"),
        kind.to_owned(),
        format!("Content-type: text/plain\n{kind}"),
        format!("{many}{kind}"),
        format!("\u{feff}Sender: a@b\r\n{kind}"),
        "List-Id: x\nContent-Type: (a comment) multipart/mixed;\n boundary*=us-ascii''B\n".to_owned(),
    ] {
        let mail = format!("{header}\n{parts}").replace("words", "<html><body>words</body></html>");
        let verdict = world.ours(mail.as_bytes(), Limits::default());
        assert!(verdict.is_infected(), "{}: {verdict:?}", &header[..header.len().min(60)]);
        let clean = format!("{header}\n--B\nContent-Type: text/plain\n\nwords\n--B--\n");
        assert_eq!(world.ours(clean.as_bytes(), Limits::default()), Verdict::Clean);
    }
}

#[test]
fn what_stands_in_a_layer_without_being_packed_is_a_layer_of_its_own() {
    const KEY: &str =
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=x -days 2 2>/dev/null;";
    const SIGN: &str = "openssl cms -sign -nodetach -binary -in packed -signer cert -inkey key";
    let (mut world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let packed = deflated(&[("words", &noise(3000)), ("a.com", &eicar())]);
    fs::write(directory.path().join("packed"), &packed).unwrap();
    for line in [
        format!("{KEY} {SIGN} -outform DER -out out"),
        format!("{SIGN} -stream -outform DER -out out"),
        format!("{SIGN} -outform PEM -out out"),
        "openssl smime -sign -binary -nodetach -in packed -signer cert -inkey key -out out -from a@b -subject x"
            .to_owned(),
    ] {
        if shell(directory.path(), &format!("rm -f out; {line}")) {
            let content = fs::read(directory.path().join("out")).unwrap();
            assert!(world.ours(&content, Limits::default()).is_infected(), "{line}");
        }
    }
    let object = |length: u64, content: &[u8]| {
        let identifier = b"\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC";
        [&identifier[..], &length.to_le_bytes(), &[0; 12], content, &[0; 8]].concat()
    };
    let section = b"\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3";
    let decoy =
        [&section[..], &[0; 1008], &object(u64::MAX, b"a decoy"), &object(packed.len() as u64, &packed)].concat();
    assert!(world.ours(&decoy, Limits::default()).is_infected(), "a file of OneNote behind a decoy");
    let decoy = [&section[..], &[0; 1008], &object(u64::MAX, b"a decoy")].concat();
    world.guard("a file of OneNote that is cut", &decoy, Limits::default(), &[], Reason::UnsupportedFormat);
}
