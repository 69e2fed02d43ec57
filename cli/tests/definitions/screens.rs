//! The screens that pages show of `nacre definitions`, made one after the other in a directory.

use nacre_clamav::builder::certificates::SigningCertificates;
use nacre_testing::documented::assert_screen;

use crate::world::World;

/// Runs a command as a page shows it, and holds what is printed to the page.
fn shows(world: &World, page: &str, command: &str) {
    let plain = command.strip_suffix("; echo $?");
    let words = plain.unwrap_or(command).strip_prefix("nacre definitions ").unwrap();
    let outcome = world.nacre(&words.split(' ').collect::<Vec<_>>());
    let status = outcome.status.unwrap();
    let mut printed = outcome.stdout + &outcome.stderr;
    match plain {
        Some(_) => printed = format!("{printed}{status}\n"),
        None => assert_eq!(status, 0, "{command}: {printed}"),
    }
    assert_screen(page, command, &printed, &[]);
}

#[test]
fn the_pages_show_what_is_printed_of_databases_of_ones_own() {
    let world = World::new();
    let page = "cli-definitions.md";
    shows(&world, page, "nacre definitions keygen --name ours ours.json");
    world.write("signatures/own.ndb", "Own.One:0:*:6e61637265\n");
    shows(&world, page, "nacre definitions build signatures own-1.cvd --key ours.json --version 1 --at 2026-11-01");
    world.write("signatures/own.ndb", "Own.One:0:*:6e61637265\nOwn.Two:0:*:6e6163726532\n");
    let second = ["build", "signatures", "own-2.cvd", "--key", "ours.json", "--version", "2", "--at", "2026-11-08"];
    assert_eq!(world.nacre(&second).status, Some(0));
    shows(&world, page, "nacre definitions diff own-1.cvd own-2.cvd --cdiff own-2.cdiff --key ours.json");
    shows(&world, page, "nacre definitions inspect own-2.cdiff");
    shows(&world, page, "nacre definitions apply --keys ours.json --to own.cld own-1.cvd own-2.cdiff");

    let certificates = SigningCertificates::fixed();
    world.write("root.pem", certificates.root_pem());
    for file in ["own-1.cvd", "own-2.cvd"] {
        world.write(&format!("{file}.sign"), certificates.sign(&world.read(file)));
    }
    shows(&world, page, "nacre definitions verify --keys ours.json --root root.pem own-1.cvd own-2.cvd");
    world.write("cut.cvd", &world.read("own-1.cvd")[..700]);
    shows(&world, page, "nacre definitions verify cut.cvd; echo $?");
    shows(&world, page, "nacre definitions build signatures own.cud --unsigned");
}

#[test]
fn the_page_shows_what_is_printed_of_a_file_that_is_not_loaded_whole() {
    let world = World::new();
    world.write("own.yar", "import \"pe\"\nrule r { condition: pe.is_dll() }\n");
    world.write("local.ign2", "Some.Name\n");
    shows(&world, "definitions.md", "nacre definitions check own.yar local.ign2; echo $?");
}
