//! The table of `PyInstaller`'s archive of modules, as Python's `marshal` writes it: names, and for each whether it is a package, its place
//! and its length.
//!
//! Source: Python's `marshal.c`.

/// The bit by which an object can be referred to.
const IS_REFERRED_TO: u8 = 0x80;

/// An object, as far as it matters here.
#[derive(Clone, Copy)]
enum Object {
    Number(usize),
    Other,
}

/// Reads the numbers of a table from front to back. Each third of them is a place and a length.
struct Numbers<'t> {
    rest: &'t [u8],
    /// The objects that can be referred to.
    referred: Vec<Object>,
}

impl<'t> Numbers<'t> {
    fn take(&mut self, count: usize) -> Option<&'t [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        self.take(4)?.first_chunk().map(|four| u32::from_le_bytes(*four) as usize)
    }

    /// The next object; what is in it follows. `None` at the end, and at what no table has.
    fn object(&mut self) -> Option<Object> {
        let kind = *self.take(1)?.first()?;
        let place = self.referred.len();
        if kind & IS_REFERRED_TO != 0 {
            self.referred.push(Object::Other);
        }
        let object = match kind & !IS_REFERRED_TO {
            b'i' => Object::Number(self.length()?),
            b'r' => {
                let at = self.length()?;
                *self.referred.get(at)?
            }
            b'[' | b'(' => self.take(4).map(|_| Object::Other)?,
            b')' => self.take(1).map(|_| Object::Other)?,
            b'z' | b'Z' => {
                let length = usize::from(*self.take(1)?.first()?);
                self.take(length).map(|_| Object::Other)?
            }
            b's' | b'u' | b't' | b'a' | b'A' => {
                let length = self.length()?;
                self.take(length).map(|_| Object::Other)?
            }
            b'T' | b'F' => Object::Number(0),
            b'{' | b'N' | b'0' => Object::Other,
            _ => return None,
        };
        if kind & IS_REFERRED_TO != 0 {
            self.referred.get_mut(place).into_iter().for_each(|referred| *referred = object);
        }
        Some(object)
    }
}

/// Places and lengths, at most so many, and whether there are more.
pub(super) fn places(table: &[u8], most: usize) -> (Vec<(usize, usize)>, bool) {
    let mut numbers = Numbers { rest: table, referred: Vec::new() };
    let (mut places, mut row) = (Vec::new(), Vec::new());
    while let Some(object) = numbers.object() {
        let Object::Number(number) = object else { continue };
        row.push(number);
        if let [_, at, length] = row[..] {
            if places.len() >= most {
                return (places, true);
            }
            places.push((at, length));
            row.clear();
        }
    }
    (places, false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_of_python_is_read() {
        // By `marshal.dumps([("a", (0, 17, 300)), ("bc.d", (1, 317, 17))])`.
        let table = hex::decode(
            "db02000000a902da0161a903e900000000e911000000e92c010000a902fa0462632e64a903e901000000e93d0100007205000000",
        );
        let (places, _) = places(&table.unwrap(), 10);
        assert_eq!(places, [(17, 300), (317, 17)]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(bytes: Vec<u8>) {
            places(&bytes, 9);
            places(&[b"\xDB\x02\0\0\0\xA9\x02\xE9\x01\0\0\0", &bytes[..]].concat(), 9);
        }
    }
}
