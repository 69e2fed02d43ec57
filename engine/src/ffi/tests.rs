use super::*;

#[test]
fn the_codes_of_a_full_disk_are_libclamavs() {
    let texts: Vec<String> = Code::NO_ROOM.iter().map(ToString::to_string).collect();
    let expected = ["create", "write", "temporary file", "temporary directory", "memory"];
    for (text, word) in texts.iter().zip(expected) {
        assert!(text.contains(word), "{texts:?}");
    }
}
