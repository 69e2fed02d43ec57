//! Scripts of CDIFFs: each command as it is written, and all of them applied to a base.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_fuzz::LIMITS;
use nacre_clamav::{cdiff::{Command, apply, between, commands}, unpacked::Unpacked};

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|byte| *byte == 0) else { return };
    let (base, script) = (&data[..end], &data[end + 1..]);
    for (_, command) in commands(script) {
        let Ok(command) = command else { continue };
        let mut line = Vec::new();
        command.write(&mut line);
        // A last line may lack its line feed, which is data to `ADD` alone.
        if matches!(command, Command::Add(added) if !added.is_empty() && !added.ends_with(b"\n")) {
            continue;
        }
        assert_eq!(Command::parse(&line), Ok(command));
    }
    let members = [("a.ndb", base), ("b.ndb", b"other\nlines\n")];
    let base = Unpacked { members: members.map(|(name, bytes)| (name.to_owned(), bytes.into())).into() };
    let Ok(patched) = apply(&base, script, LIMITS) else { return };
    assert!(patched.members.len() <= LIMITS.members);
    assert!(patched.members.values().all(|member| member.len() as u64 <= LIMITS.member_bytes));
    // The way back is a script, too, wherever there is one.
    if let Ok(back) = between(&patched, &base) {
        assert_eq!(apply(&patched, &back, LIMITS).expect("our own script"), base);
    }
});
