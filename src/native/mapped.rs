//! Files that are mapped into memory, read-only, by a program that outlives what becomes of them.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;

use memmap2::Mmap;

unsafe extern "C" {
    fn mb_guard(begin: *const u8, len: usize) -> *mut c_void;
    fn mb_guard_broken(handle: *const c_void) -> bool;
    fn mb_unguard(handle: *mut c_void);
}

/// The content of a file. Where another program cuts it short, or its disk fails, the bytes that are not to be had are
/// zeros, and [`is_whole`](Self::is_whole) says so: ask after reading, before anything is made of it.
#[derive(Debug)]
pub struct Mapped {
    guard: NonNull<c_void>,
    map: Mmap,
    /// Kept open, to ask for its length.
    file: File,
}

// SAFETY: the guard is a node of atomics that is never freed, and only its owner gives it back.
unsafe impl Send for Mapped {}
// SAFETY: as above; reading a node from several threads is what it is made for.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a whole file.
    pub fn new(file: File) -> io::Result<Self> {
        // SAFETY: the map is read-only, and nothing but bytes, of which every pattern is valid, is read from it. Files that
        // are mapped are not changed in place by this program, and what another one does to them is found by `is_whole`.
        let map = unsafe { Mmap::map(&file)? };
        // SAFETY: the range is that of the map, which outlives its guard: it is dropped after `drop` has given that back.
        let guard = unsafe { mb_guard(map.as_ptr(), map.len()) };
        let guard = NonNull::new(guard).ok_or_else(|| io::Error::other("SIGBUS can't be handled"))?;
        Ok(Mapped { guard, map, file })
    }

    /// Whether all that was read so far was there: the file has the length that it had, and no page failed.
    pub fn is_whole(&self) -> io::Result<bool> {
        // SAFETY: the handle is ours until `drop`.
        let broken = unsafe { mb_guard_broken(self.guard.as_ptr()) };
        Ok(!broken && self.file.metadata()?.len() == self.map.len() as u64)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and not used after.
        unsafe { mb_unguard(self.guard.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_cut_short_is_zeros_from_there_and_says_so() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let other = tempfile::tempfile().unwrap();
        other.set_len(50_000).unwrap();
        let (mapped, other) = (Mapped::new(file.try_clone().unwrap()).unwrap(), Mapped::new(other).unwrap());
        assert!(mapped[99_999] == 7 && mapped.is_whole().unwrap());
        file.set_len(20_000).unwrap();
        assert_eq!((mapped[10_000], mapped[19_999], mapped[20_000], mapped[90_000], mapped[99_999]), (7, 7, 0, 0, 0));
        assert!(!mapped.is_whole().unwrap());
        // As long as before again: what was read was another.
        file.set_len(100_000).unwrap();
        assert!(!mapped.is_whole().unwrap());
        assert!(other.is_whole().unwrap() && other.iter().all(|&byte| byte == 0));
        // Within its last page nothing fails; the length tells.
        let mut short = tempfile::tempfile().unwrap();
        short.write_all(&[7; 1000]).unwrap();
        let mapped = Mapped::new(short.try_clone().unwrap()).unwrap();
        short.set_len(10).unwrap();
        assert!(mapped[999] == 0 && !mapped.is_whole().unwrap());
    }

    #[test]
    fn ranges_are_used_again() {
        for i in 0..50_u8 {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[i; 10_000]).unwrap();
            let mapped = Mapped::new(file.try_clone().unwrap()).unwrap();
            assert!(mapped.is_whole().unwrap());
            file.set_len(0).unwrap();
            assert_eq!(mapped[9_999], 0);
            assert!(!mapped.is_whole().unwrap());
        }
    }
}
