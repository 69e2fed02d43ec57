//! What RTF writes of an object: digits, between which control words, groups and blanks may stand.
//!
//! Readers differ on the digits of groups within: of destinations, of those that they do not know, of any. Each such reading is one here.
//!
//! Source: the RTF specification 1.9, on destinations and `\objdata`.

use std::{collections::HashSet, sync::LazyLock};

/// Control words whose group has a text of its own.
static DESTINATIONS: LazyLock<HashSet<&[u8]>> = LazyLock::new(|| {
    let names = "aftncn aftnsep aftnsepc annotation atnauthor atndate atnicn atnid atnparent atnref atntime atrfend atrfstart author \
        background bkmkend bkmkstart blipuid buptim category colorschememapping colortbl comment company creatim datafield datastore \
        defchp defpap do doccomm docvar dptxbxtext ebcend ebcstart factoidname falt fchars ffdeftext ffentrymcr ffexitmcr ffformat \
        ffhelptext ffl ffname ffstattext field file filetbl fldinst fldrslt fldtype fontemb fontfile fonttbl footer footerf footerl \
        footerr footnote formfield ftncn ftnsep ftnsepc g generator gridtbl header headerf headerl headerr hl hlfr hlinkbase hlloc \
        hlsrc hsv info keywords latentstyles lchars levelnumbers leveltext lfolevel linkval list listlevel listname listoverride \
        listoverridetable listpicture liststylename listtable listtext lsdlockedexcept macc maccPr mailmerge malnScr manager margPr \
        margSz mbar mbarPr mbaseJc mbegChr mborderBox mborderBoxPr mbox mboxPr mchr mcount mctrlPr md mdeg mdegHide mden mdiff mdPr \
        me mendChr meqArr meqArrPr mf mfName mfPr mfunc mfuncPr mgroupChr mgroupChrPr mgrow mhideBot mhideLeft mhideRight mhideTop \
        mlim mlimLoc mlimLow mlimLowPr mlimUpp mlimUppPr mm mmaddfieldname mmathPict mmaxDist mmc mmcJc mmconnectstr \
        mmconnectstrdata mmcPr mmcs mmdatasource mmheadersource mmmailsubject mmodso mmodsofilter mmodsofldmpdata mmodsomappedname \
        mmodsoname mmodsorecipdata mmodsosort mmodsosrc mmodsotable mmodsoudl mmodsoudldata mmodsouniquetag mmPr mmquery mmr mnary \
        mnaryPr mnoBreak mnum mobjDist moMath moMathPara moMathParaPr mopEmu mphant mphantPr mplcHide mpos mr mrad mradPr mrPr \
        msepChr mshow mshp msPre msPrePr msSub msSubPr msSubSup msSubSupPr msSup msSupPr mstrikeBLTR mstrikeH mstrikeTLBR mstrikeV \
        msub msubHide msup msupHide mtransp mtype mvertJc mvfmf mvfml mvtof mvtol mzeroAsc mzeroDesc mzeroWid nesttableprops \
        nextfile nonesttables objalias objclass objdata object objname objsect objtime oldcprops oldpprops oldsprops oldtprops \
        oleclsid operator panose password passwordhash pgp pgptbl picprop pict pn pnaiu pnaiud pnseclvl pntext pntxta pntxtb \
        printim propname protend protstart protusertbl result revtbl revtim rsidtbl rxe shp shpgrp shpinst shppict shprslt shptxt \
        sn sp staticval stylesheet subject sv svb tc template themedata title txe ud upr userprops wgrffmtfilter windowcaption \
        writereservation writereservhash xe xform xmlattrname xmlattrvalue xmlclose xmlname xmlnstbl xmlopen";
    names.split_ascii_whitespace().map(str::as_bytes).collect()
});

/// Whose digits a reading drops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dropped {
    Nobodys,
    /// Those of known destinations.
    Destinations,
    /// Those of destinations that may be passed over, by `\*`, as well.
    Marked,
    /// Those of any group within.
    Groups,
}

/// The digits of one reading.
struct Reading {
    dropped: Dropped,
    data: Vec<u8>,
    half: Option<u8>,
    /// How deep the outermost group is whose digits are dropped.
    from: Option<usize>,
}

impl Reading {
    fn new(dropped: Dropped) -> Self {
        Self { dropped, data: Vec::new(), half: None, from: None }
    }

    /// Drops what follows in the group at this depth; that of the object itself cannot be dropped.
    fn drop_from(&mut self, depth: usize, by: Dropped) {
        let is_dropped = match by {
            Dropped::Destinations => matches!(self.dropped, Dropped::Destinations | Dropped::Marked),
            by => self.dropped == by,
        };
        if is_dropped && depth > 0 {
            self.from = self.from.or(Some(depth));
        }
    }

    fn group_ends(&mut self, depth: usize) {
        self.from = self.from.filter(|from| *from != depth);
    }

    fn digit(&mut self, digit: u8) {
        if self.from.is_some() {
            return;
        }
        match self.half.take() {
            Some(high) => self.data.push(high << 4 | digit),
            None => self.half = Some(digit),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.from.is_none() {
            self.data.extend_from_slice(bytes);
        }
    }
}

/// Every reading of an object, up to the end of its group, and how much of the text that is. A letter by its number is none of its digits,
/// and `\bin` has bytes as they are.
pub(super) fn object_data(text: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let kinds = [Dropped::Nobodys, Dropped::Destinations, Dropped::Marked, Dropped::Groups];
    let mut readings = kinds.map(Reading::new);
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'{' => {
                depth += 1;
                for reading in &mut readings {
                    reading.drop_from(depth, Dropped::Groups);
                }
            }
            b'}' if depth == 0 => break,
            b'}' => {
                for reading in &mut readings {
                    reading.group_ends(depth);
                }
                depth -= 1;
            }
            b'\\' if after.first() == Some(&b'\'') => rest = after.get(3..).unwrap_or_default(),
            b'\\' => {
                let letters = after.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                let digits =
                    after.iter().skip(letters).take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
                let word = after.get(..letters).unwrap_or_default();
                let number = after.get(letters..letters + digits).and_then(|digits| std::str::from_utf8(digits).ok());
                let mut end = letters + digits;
                end += usize::from(after.get(end) == Some(&b' ')).max(usize::from(end == 0));
                if word == b"bin" {
                    let length = number.and_then(|number| number.parse::<usize>().ok()).unwrap_or_default();
                    let bytes = after.get(end..).unwrap_or_default();
                    let bytes = bytes.get(..length).unwrap_or(bytes);
                    for reading in &mut readings {
                        reading.bytes(bytes);
                    }
                    end = end.saturating_add(length);
                } else if after.starts_with(b"*") {
                    for reading in &mut readings {
                        reading.drop_from(depth, Dropped::Marked);
                    }
                } else if DESTINATIONS.contains(word) {
                    for reading in &mut readings {
                        reading.drop_from(depth, Dropped::Destinations);
                    }
                }
                rest = after.get(end..).unwrap_or_default();
            }
            _ => {
                let digit = char::from(*first).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                if let Some(digit) = digit {
                    for reading in &mut readings {
                        reading.digit(digit);
                    }
                }
            }
        }
    }
    let mut found: Vec<Vec<u8>> = Vec::new();
    for Reading { data, .. } in readings {
        if !found.contains(&data) {
            found.push(data);
        }
    }
    (found, text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn readings(text: &str) -> Vec<String> {
        let (found, _) = object_data(text.as_bytes());
        found.iter().map(|data| String::from_utf8_lossy(data).into_owned()).collect()
    }

    #[test]
    fn digits_of_groups_within_are_joined_and_dropped() {
        assert_eq!(readings("616{\\pict 9}2}63"), ["ai", "ab"]);
        for (group, is_known) in [
            ("{\\pict 9}", true),
            ("{\\*\\pict 9}", true),
            ("{\\info 9}", true),
            ("{x\\comment{y 9}}", true),
            ("{\\*\\x 9}", true),
            ("{\\b 9}", true),
            ("{\\*\\pict\\bin1 99}", true),
            ("\\b ", false),
            ("\\pict ", false),
        ] {
            let found = readings(&format!("616{group}2}}"));
            assert!(found.contains(&"ab".to_owned()), "{group}");
            assert_eq!(found.len() > 1, is_known, "{group}");
        }
        // A group that everybody reads, and one that is a destination.
        assert!(readings("6{\\b 1}6{\\comment 9}2}").contains(&"ab".to_owned()));
        assert!(readings("6{\\b 1}6{\\*\\x 9}2}").contains(&"ab".to_owned()));
        assert!(readings("6{\\*\\x 1}6{\\comment 9}2}").contains(&"ab".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_panics_it(text in "[{}\\\\*a-f0-9 bin\']{0,60}") {
            object_data(text.as_bytes());
        }
    }
}
