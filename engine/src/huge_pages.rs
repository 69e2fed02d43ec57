//! Memory of what is loaded, in huge pages.
//!
//! libclamav maps the memory of its tries a quarter of a megabyte at a time, and walks through it at random while it builds them. In
//! small pages that is a miss of the TLB for most steps, a fault for every 4 KiB, and page tables that each fork copies and each worker's
//! exit frees. So while definitions are loaded, its mappings are cut from a reserve that the kernel is asked to back with huge pages.
//! The kernel may refuse: then all stays as it would be without.

use std::{
    cell::Cell,
    marker::PhantomData,
    mem,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use crate::ffi::system;

/// Bytes of a huge page where pages have 4 KiB, as on x86-64 and most of `AArch64`.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes of a load that stay in small pages: an engine of few signatures would fill a small part of a huge one, which is cleared whole.
const SMALL: usize = 8 << 20;

/// Bytes of the reserve that are mapped at once.
const CHUNK: usize = 64 << 20;

thread_local! {
    /// Bytes that this thread's load may still map elsewhere, before it uses the reserve; `None` unless it loads.
    static LOADING: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Addresses that are mapped and that nobody uses. They outlive a load: the next begins there.
static RESERVE: Mutex<Range<usize>> = Mutex::new(0..0);

/// While it lives, mappings of this thread come from the reserve. Not of a worker's: it uses little, and ends soon.
#[derive(Debug)]
pub(crate) struct Loading(PhantomData<*const ()>);

impl Loading {
    pub(crate) fn begin() -> Self {
        LOADING.set(Some(SMALL));
        Self(PhantomData)
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        LOADING.set(None);
    }
}

/// The address of so many mapped bytes, all zero, that nobody else has; `None` where the kernel is to choose.
pub(crate) fn place(length: usize) -> Option<usize> {
    // At the end of a thread there is no such value any more.
    let small = LOADING.try_with(Cell::get).ok().flatten()?;
    if let Some(left) = small.checked_sub(length) {
        LOADING.set(Some(left));
        return None;
    }
    LOADING.set(Some(0));
    // As libclamav unmaps it: what is between two pieces would keep their huge page.
    let length = length.checked_next_multiple_of(system::page_size())?;
    let mut reserve = RESERVE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(start) = cut(&mut reserve, length) {
        return Some(start);
    }
    if length > CHUNK {
        return None;
    }
    let all = system::reserve(CHUNK + HUGE_PAGE)?;
    let next = whole(&all);
    system::ask_for_huge_pages(next.clone());
    for unused in [mem::replace(&mut *reserve, next.clone()), all.start..next.start, next.end..all.end] {
        system::unmap(unused);
    }
    cut(&mut reserve, length)
}

/// The part of a range that begins and ends at a huge page.
fn whole(range: &Range<usize>) -> Range<usize> {
    range.start.next_multiple_of(HUGE_PAGE)..range.end / HUGE_PAGE * HUGE_PAGE
}

/// Takes so many bytes from the front.
fn cut(reserve: &mut Range<usize>, length: usize) -> Option<usize> {
    let (start, rest) = (reserve.start, reserve.start.checked_add(length)?);
    (length > 0 && rest <= reserve.end).then(|| {
        reserve.start = rest;
        start
    })
}

#[cfg(test)]
mod tests {
    use std::{ffi::CString, fs, os::unix::ffi::OsStrExt};

    use super::*;
    use crate::ffi::{Engine, Library};

    /// A linker that does not export our `mmap64` would change nothing else.
    #[test]
    fn libclamavs_own_mappings_are_ours() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("many.ndb");
        let lines = (0_u64..60_000).map(|number| {
            let digits = hex::encode(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            format!("Many-{number}:0:*:{digits}\n")
        });
        fs::write(&file, lines.collect::<String>()).unwrap();
        let mut engine = Engine::new(&Library::start().unwrap()).unwrap();
        let loading = Loading::begin();
        assert_eq!(engine.load(&CString::new(file.as_os_str().as_bytes()).unwrap()), Ok(60_000));
        engine.compile().unwrap();
        assert_eq!(LOADING.get(), Some(0), "libclamav mapped more than {SMALL} bytes");
        drop(loading);
    }

    #[test]
    fn pieces_follow_each_other_and_end_with_the_reserve() {
        let mut reserve = whole(&(0x7f00_0010_0000..0x7f00_0060_0000));
        assert_eq!(reserve, 0x7f00_0020_0000..0x7f00_0060_0000);
        assert_eq!(cut(&mut reserve, 0x1000), Some(0x7f00_0020_0000));
        assert_eq!(cut(&mut reserve, 0x2000), Some(0x7f00_0020_1000));
        assert_eq!(reserve.start, 0x7f00_0020_3000);
        assert_eq!(cut(&mut reserve, 0x7f00_0060_0000), None);
        assert_eq!(cut(&mut reserve, usize::MAX), None);
        assert_eq!(cut(&mut reserve, 0), None);
        let rest = reserve.len();
        assert_eq!(cut(&mut reserve, rest), Some(0x7f00_0020_3000));
        assert_eq!(cut(&mut reserve, 1), None);
    }

    #[test]
    fn only_a_load_that_is_large_uses_the_reserve() {
        assert_eq!(place(CHUNK), None);
        let loading = Loading::begin();
        assert_eq!(place(SMALL), None);
        let (first, second) = (place(1), place(1));
        assert!(first.is_some() && second.is_some() && first != second);
        assert_eq!(place(2 * CHUNK), None, "the kernel chooses for what is larger than the reserve");
        assert!(place(CHUNK).is_some(), "what does not fit into the rest is in a new reserve");
        drop(loading);
        assert_eq!(place(1), None);
    }
}
