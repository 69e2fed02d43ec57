//! Sets of libclamav's file types.
//!
//! libclamav reports to an inspector the type of each layer before it scans it. Of some types that is not all: what it finds *within* a layer
//! makes it scan the layer as another type, or as if an archive began there, and neither is reported. Source: `cli_magic_scan` and `scanraw`
//! (`scanners.c`), and every `cli_recursion_stack_push` of libclamav 1.4.

/// A set of file types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTypes(u128);

/// The types in the order of their bits, which records have: new ones are added at the end. Whether each is reported whenever a layer has it.
const TYPES: [(&str, bool); 86] = [
    ("CL_TYPE_TEXT_ASCII", false),
    ("CL_TYPE_TEXT_UTF8", true),
    ("CL_TYPE_TEXT_UTF16LE", true),
    ("CL_TYPE_TEXT_UTF16BE", true),
    ("CL_TYPE_BINARY_DATA", true),
    ("CL_TYPE_IGNORED", false),
    ("CL_TYPE_ANY", false),
    ("CL_TYPE_MSEXE", false),
    ("CL_TYPE_ELF", true),
    ("CL_TYPE_MACHO", true),
    ("CL_TYPE_MACHO_UNIBIN", true),
    ("CL_TYPE_POSIX_TAR", true),
    ("CL_TYPE_OLD_TAR", true),
    ("CL_TYPE_CPIO_OLD", true),
    ("CL_TYPE_CPIO_ODC", true),
    ("CL_TYPE_CPIO_NEWC", true),
    ("CL_TYPE_CPIO_CRC", true),
    ("CL_TYPE_GZ", true),
    ("CL_TYPE_ZIP", false),
    ("CL_TYPE_BZ", true),
    ("CL_TYPE_RAR", false),
    ("CL_TYPE_ARJ", false),
    ("CL_TYPE_MSSZDD", true),
    ("CL_TYPE_MSOLE2", false),
    ("CL_TYPE_MSCAB", false),
    ("CL_TYPE_MSCHM", true),
    ("CL_TYPE_SIS", true),
    ("CL_TYPE_SCRENC", true),
    ("CL_TYPE_GRAPHICS", true),
    ("CL_TYPE_GIF", true),
    ("CL_TYPE_PNG", true),
    ("CL_TYPE_JPEG", true),
    ("CL_TYPE_TIFF", true),
    ("CL_TYPE_RIFF", true),
    ("CL_TYPE_BINHEX", true),
    ("CL_TYPE_TNEF", true),
    ("CL_TYPE_CRYPTFF", true),
    ("CL_TYPE_PDF", false),
    ("CL_TYPE_UUENCODED", true),
    ("CL_TYPE_HTML_UTF16", true),
    ("CL_TYPE_SCRIPT", false),
    ("CL_TYPE_RTF", true),
    ("CL_TYPE_HTML", false),
    ("CL_TYPE_MAIL", false),
    ("CL_TYPE_SFX", false),
    ("CL_TYPE_ZIPSFX", false),
    ("CL_TYPE_RARSFX", false),
    ("CL_TYPE_CABSFX", false),
    ("CL_TYPE_ARJSFX", false),
    ("CL_TYPE_NULSFT", false),
    ("CL_TYPE_AUTOIT", false),
    ("CL_TYPE_ISHIELD_MSI", false),
    ("CL_TYPE_7Z", false),
    ("CL_TYPE_7ZSFX", false),
    ("CL_TYPE_SWF", true),
    ("CL_TYPE_ISO9660", false),
    ("CL_TYPE_JAVA", true),
    ("CL_TYPE_DMG", false),
    ("CL_TYPE_MBR", false),
    ("CL_TYPE_GPT", false),
    ("CL_TYPE_APM", true),
    ("CL_TYPE_XAR", true),
    ("CL_TYPE_PART_ANY", false),
    ("CL_TYPE_PART_HFSPLUS", true),
    ("CL_TYPE_XZ", true),
    ("CL_TYPE_OOXML_WORD", true),
    ("CL_TYPE_OOXML_PPT", true),
    ("CL_TYPE_OOXML_XL", true),
    ("CL_TYPE_INTERNAL", false),
    ("CL_TYPE_XDP", false),
    ("CL_TYPE_XML_WORD", false),
    ("CL_TYPE_XML_XL", false),
    ("CL_TYPE_HWP3", true),
    ("CL_TYPE_XML_HWP", false),
    ("CL_TYPE_HWPOLE2", true),
    ("CL_TYPE_OOXML_HWP", true),
    ("CL_TYPE_PS", true),
    ("CL_TYPE_MHTML", false),
    ("CL_TYPE_LNK", true),
    ("CL_TYPE_EGG", false),
    ("CL_TYPE_EGGSFX", false),
    ("CL_TYPE_UDF", false),
    ("CL_TYPE_ALZ", true),
    ("CL_TYPE_ONENOTE", true),
    ("CL_TYPE_LHA_LZH", true),
    ("CL_TYPE_PYTHON_COMPILED", true),
];

/// The bit of any type that is not in [`TYPES`].
const OTHER: u128 = 1 << 127;

impl FileTypes {
    /// The layers of which libclamav calculates a fuzzy hash (`fuzzy_img`), by the type that is reported.
    pub const IMAGES: Self = Self(0b1_1111 << 28);

    /// A single type.
    pub fn of(name: &str) -> Self {
        Self(place(name).map_or(OTHER, |place| 1 << place))
    }

    /// A single type that libclamav reports whenever a layer has it; `None` for others.
    pub fn reported(name: &str) -> Option<Self> {
        place(name)
            .filter(|place| TYPES.get(*place).is_some_and(|(_, reported)| *reported))
            .map(|place| Self(1 << place))
    }

    /// Whether libclamav has a type of this name, and it is that of some layer: `CL_TYPE_ANY` is that of none.
    pub fn is_type(name: &str) -> bool {
        name != "CL_TYPE_ANY" && place(name).is_some()
    }

    /// Whether both have a type in common. A type that we do not know may be any.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0 || (self.0 | other.0) & OTHER != 0
    }

    /// As records have it: a bit for each type, big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From a record.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl FromIterator<Self> for FileTypes {
    fn from_iter<Sets: IntoIterator<Item = Self>>(sets: Sets) -> Self {
        Self(sets.into_iter().fold(0, |all, set| all | set.0))
    }
}

fn place(name: &str) -> Option<usize> {
    TYPES.iter().position(|(of, _)| *of == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records have the bits: nothing may move.
    #[test]
    fn types_keep_their_bits() {
        for (name, place) in
            [("CL_TYPE_TEXT_ASCII", 0), ("CL_TYPE_GZ", 17), ("CL_TYPE_PDF", 37), ("CL_TYPE_LHA_LZH", 84)]
        {
            assert_eq!(FileTypes::of(name).to_bytes(), (1_u128 << place).to_be_bytes(), "{name}");
        }
        let images = ["GRAPHICS", "GIF", "PNG", "JPEG", "TIFF"].map(|name| FileTypes::of(&format!("CL_TYPE_{name}")));
        assert_eq!(images.into_iter().collect::<FileTypes>(), FileTypes::IMAGES);
        assert_eq!(FileTypes::from_bytes(FileTypes::IMAGES.to_bytes()), FileTypes::IMAGES);
    }

    #[test]
    fn a_type_that_is_not_known_may_be_any() {
        let (new, pdf) = (FileTypes::of("CL_TYPE_NEW"), FileTypes::of("CL_TYPE_PDF"));
        assert!(new.intersects(pdf) && pdf.intersects(new) && !pdf.intersects(FileTypes::IMAGES));
        assert!(!FileTypes::is_type("CL_TYPE_NEW") && !FileTypes::is_type("CL_TYPE_ANY"));
        assert_eq!(FileTypes::reported("CL_TYPE_ZIP"), None);
        assert_eq!(FileTypes::reported("CL_TYPE_GZ"), Some(FileTypes::of("CL_TYPE_GZ")));
    }
}
