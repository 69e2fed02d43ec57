use proptest::prelude::*;

use super::*;

fn read(objects: &str) -> (Vec<Vec<u8>>, bool) {
    let mut kept = Vec::new();
    let unread = contents(format!("%PDF-1.7\n{objects}").as_bytes(), &mut |piece| kept.push(piece.to_vec()));
    (kept, unread.too_many)
}

#[test]
fn no_dictionary_misleads_it() {
    for object in [
        "1 0 obj<</Filter/ASCIIHexDecode>>stream\n776F726473>\nendstream endobj",
        "1 0 obj<</Filter%words\n/ASCIIHexDecode>>stream\r776F726473>\rendstream endobj",
        "1 0 obj<</X(>>stream endstream)/Filter/AHx>>stream \n776F726473>endstream endobj",
        "1 0 obj<</Subtype/Image/Type/EmbeddedFile>>stream\n776F726473>\nendstream endobj",
        "1 0 obj<</Subtype/Image>>stream\n776F726473>\nendstream endobj 2 0 obj<</EF<</F 1 0 R>>>>",
        "1 0 obj<</Subtype/Image>>stream\n776F726473>\nendstream endobj 2 0 obj<</E#46<</F 1 0 R>>>>",
        "1 0 obj<</Filter/#52unLengthDecode>>stream\n\u{4}wordsendstream endobj",
        "1 0 obj<<>>stream\n776F726473",
    ] {
        assert!(read(object).0.contains(&b"words".to_vec()), "{object}");
    }
    assert!(read("1 0 obj<</Subtype/Image>>stream\n776F726473>\nendstream endobj").0.is_empty());
}

#[test]
fn filters_are_undone_as_the_laxest_reader_does() {
    let predicted = "[/FlateDecode/AHx]/DecodeParms[<</Predictor 12/Columns 3>>null]";
    for (filter, stream, expected) in [
        // A zero for a digit, below a predictor.
        (predicted, &b"\x78\x9C\x63\x30\x67\xB0\x03\x00\x00\xE7\x00\x76"[..], &b"p"[..]),
        // A window that zlib refuses.
        ("/FlateDecode", b"\xF8\x1F\x2B\xCF\x2F\x4A\x29\x06\x00\x06\xA5\x02\x30", b"words"),
    ] {
        let head = format!("%PDF-1.7\n1 0 obj<</Filter{filter}>>stream\n");
        let mut kept = Vec::new();
        contents(&[head.as_bytes(), stream, b"\nendstream endobj"].concat(), &mut |piece| kept.push(piece.to_vec()));
        assert!(kept.contains(&expected.to_vec()), "{filter}");
    }
}

#[test]
fn a_stream_ends_wherever_some_reader_ends_it() {
    // A stored block has the word that ends a stream in it, and a length may cut it.
    let content = b"a endstream b";
    let bytes = [&b"\x78\x01\x01\x0D\0\xF2\xFF"[..], content].concat();
    for length in ["6 0 R", "5/Length 99", "%\n99", "20.0", "7 0 R", "0", "9999"] {
        let head = format!("%PDF-1.7\n4 0 obj<</Filter/FlateDecode/Length {length}>>stream\n");
        let tail = "\nendstream endobj 6 0 obj\n20\nendobj";
        let mut kept = Vec::new();
        contents(&[head.as_bytes(), &bytes, tail.as_bytes()].concat(), &mut |piece| kept.push(piece.to_vec()));
        assert!(kept.contains(&b"a endstream b".to_vec()), "{length}");
    }
    for (length, expected) in
        [("6 0 R", "words and"), ("4/Length 9", "words and"), ("5.0", "words"), ("0", "words and wo")]
    {
        let text = format!(
            "4 0 obj<</Length {length}>>stream\nwords and wo\nendstream endobj 6 0 obj 9 endobj 7 0 obj<</EF<</F 4 0 R>>>>"
        );
        assert!(read(&text).0.contains(&expected.as_bytes().to_vec()), "{length}");
    }
    // The length is in a stream of objects.
    let objects = "5 0 obj<</Type/ObjStm/N 2/First 8/Filter/AHx>>stream\n362030203720322039203432>\nendstream endobj";
    let text = format!("4 0 obj<</Length 6 0 R>>stream\nwords and wo\nendstream endobj {objects} /EF<</F 4 0 R>>");
    assert!(read(&text).0.contains(&b"words and".to_vec()));
}

#[test]
fn an_attached_image_whose_parameters_are_elsewhere_stays_packed() {
    let packed = |text: &str| contents(format!("%PDF-1.7\n{text}").as_bytes(), &mut |_| {}).packed;
    let image = "4 0 obj<</Subtype/Image/Filter/FlateDecode/DecodeParms 6 0 R>>stream\nx\nendstream endobj";
    assert!(!packed(image));
    assert!(!packed(&format!("{image} 5 0 obj <</EF<</F 9 0 R>>>>")));
    assert!(packed(&format!("{image} 5 0 obj <</EF<</F 4 0 R>>>>")));
    assert!(packed(&format!("{image} 5 0 obj <</EF 8 0 R>>")));
    let hidden = image.replace("/Subtype", "/X(9 0 obj)/Subtype");
    assert!(packed(&format!("{hidden} 5 0 obj <</EF<</F 4 0 R>>>>")));
}

#[test]
fn an_attached_file_whose_length_is_not_certain_is_not_read() {
    let packed = |text: &str| contents(format!("%PDF-1.7\n{text}").as_bytes(), &mut |_| {}).packed;
    let file = |length: &str| {
        format!("4 0 obj\n<</Length {length}>>stream\nwords\nendstream\nendobj\n5 0 obj\n<</EF<</F 4 0 R>>>>\nendobj\n")
    };
    assert!(!packed(&file("5")));
    assert!(!packed(&(file("6 0 R") + "6 0 obj\n5\nendobj")));
    assert!(packed(&file("4")));
    assert!(packed(&(file("6 0 R") + "6 0 obj\n5\nendobj\n6 0%x\nobj 3 endobj")));
    let two = format!("{}4 0 obj\n<</Length 9>>stream\nwords\nendstream", file("5"));
    assert!(packed(&two));
}

#[test]
fn a_damaged_file_of_which_lax_readers_get_more_stays_packed() {
    let packed = |length: &str, words: &str, files: &str| {
        let block = [b"\x78\x01\x01\x05\0", length.as_bytes(), b"\xFFwords\x06\x5F\x02\x2C"].concat();
        let head = format!("%PDF-1.7\n4 0 obj\n<</Length {}{words}/Filter/FlateDecode>>stream\n", block.len());
        let tail = format!("\nendstream\nendobj\n5 0 obj\n<<{files}>>\nendobj\n");
        contents(&[head.as_bytes(), &block, tail.as_bytes()].concat(), &mut |_| {}).packed
    };
    for (words, files, expected) in
        [("", "", false), ("", "/EF<</F 9 0 R>>", false), ("", "/EF<</F 4 0 R>>", true), ("/Type/ObjStm", "", true)]
    {
        assert_eq!(packed("\0", words, files), expected, "{words} {files}");
    }
    // The complement of five.
    let whole = [&b"\x78\x01\x01\x05\0\xFA\xFFwords"[..]].concat();
    let head = format!("%PDF-1.7\n4 0 obj\n<</Length {}/Filter/FlateDecode>>stream\n", whole.len());
    let tail = b"\nendstream\nendobj\n5 0 obj\n<</EF<</F 4 0 R>>>>\nendobj\n";
    assert!(!contents(&[head.as_bytes(), &whole, tail].concat(), &mut |_| {}).packed);
}

#[test]
fn little_that_unpacks_to_much_is_given_up() {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zlib, &vec![0; MIN_BYTES / 8]).unwrap();
    let stream =
        [b"1 0 obj<</Filter/FlateDecode>>stream\n", &zlib.finish().unwrap()[..], b"\nendstream endobj\n"].concat();
    let mut unpacked = 0;
    let unread = contents(&[b"%PDF-1.7\n", &stream.repeat(20)[..]].concat(), &mut |piece| unpacked += piece.len());
    assert!(unread.too_many);
    assert_eq!(unpacked, MIN_BYTES, "bytes given out, of twenty eighths");
}

#[test]
fn what_it_reads_is_bounded() {
    let deep = (0..=MAX_FILTERS).fold("words".to_owned(), |text, _| hex::encode(text) + ">");
    assert!(read(&format!("1 0 obj<<>>stream\n{deep}\nendstream")).1);
    assert!(read(&"1 0 obj<<>>stream\nendstream\n".repeat(MAX_STREAMS + 1)).1);
}

proptest! {
    #[test]
    fn no_bytes_panic_it(bytes: Vec<u8>) {
        for start in [&b"%PDF-1.7 1 0 obj<</Predictor 12>>stream\n"[..], b"%PDF-1.7 stream\n\x78\x9c", b"%PDF-1.7 stream\n12"] {
            contents(&[start, &bytes[..]].concat(), &mut |_| {});
        }
    }
}
