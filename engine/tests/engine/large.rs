//! Containers around the sizes at which libclamav pages its maps: its parsers lost their place there when others read the same pages.

use nacre_core::verdict::Verdict;
use nacre_engine_protocol::Limits;

use std::{fs, process::Command as Process};

use crate::{
    driver::eicar,
    fail_closed::{World, noise},
};

/// What makes a container `made` of the files that follow.
const PROGRAMS: [&[&str]; 6] = [
    &["bsdtar", "--format=ustar", "-cf", "made"],
    &["bsdtar", "--format=newc", "-cf", "made"],
    &["bsdtar", "--format=iso9660", "-cf", "made"],
    &["bsdtar", "--format=zip", "--options=zip:compression=store", "-cf", "made"],
    &["bsdtar", "--format=7zip", "--options=7zip:compression=store", "-cf", "made"],
    &["bsdtar", "--format=xar", "--options=xar:compression=none", "-cf", "made"],
];

/// Sizes in MiB, and the places of the file that is to be found among three.
const CASES: [(u32, &[usize]); 4] = [(8, &[2]), (10, &[1]), (12, &[0, 2]), (30, &[2])];

fn container(program: &[&str], mebibytes: u32, infected: Option<usize>) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let half = noise(mebibytes << 19);
    for place in 0..3 {
        let content = match infected {
            Some(at) if at == place => eicar(),
            _ if place == 2 && infected != Some(0) || place == 1 && infected == Some(0) => {
                half.iter().map(|byte| byte ^ 1).collect()
            }
            _ => half.clone(),
        };
        fs::write(directory.path().join(place.to_string()), content).unwrap();
    }
    let [program, arguments @ ..] = program else { panic!("no program") };
    let made = Process::new(program).args(arguments).args(["0", "1", "2"]).current_dir(directory.path()).output();
    let made = made.unwrap_or_else(|error| panic!("{program}: {error}; run `make setup`"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(directory.path().join("made")).unwrap()
}

#[test]
fn large_containers_are_read_to_their_ends() {
    let mut world = World::new();
    for program in PROGRAMS {
        for (mebibytes, places) in CASES {
            for place in places {
                let found = world.ours(&container(program, mebibytes, Some(*place)), Limits::default());
                assert!(found.is_infected(), "{program:?} of {mebibytes} MiB, file {place}: {found:?}");
            }
        }
        let clean = world.ours(&container(program, 12, None), Limits::default());
        assert_eq!(clean, Verdict::Clean, "{program:?}");
    }
}
