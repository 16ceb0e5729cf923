//! One thread of libtorch: for steps that are too short to share, and for sums that must not depend on sharing.

use std::marker::PhantomData;

use crate::Result;
use crate::native::{Sharing, swap_sharing};

/// While it lives, the work of the thread that began it is not shared with others; then as before. libtorch's own
/// setting is also what every thread begins its work with: parts of a program that come and go would change each
/// other's, and with it the order of their sums.
pub(crate) struct OneThread {
    before: Sharing,
    /// It ends where it began.
    thread: PhantomData<*const ()>,
}

impl OneThread {
    /// From here on.
    pub(crate) fn begin() -> Result<Self> {
        Ok(OneThread { before: swap_sharing(Sharing { openmp: 1, mkl: 1 })?, thread: PhantomData })
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        // What could be set once can be set again.
        let _ = swap_sharing(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_its_thread_alone() {
        let numbers = || {
            let now = swap_sharing(Sharing { openmp: 1, mkl: 1 }).unwrap();
            swap_sharing(now).unwrap();
            (tch::get_num_threads(), now.mkl)
        };
        let before = numbers();
        let one = OneThread::begin().unwrap();
        let nested = OneThread::begin().unwrap();
        let beside = std::thread::spawn(move || {
            let own = numbers();
            tch::set_num_threads(3);
            own
        });
        assert_eq!(beside.join().unwrap(), before);
        assert_eq!(numbers(), (1, 1));
        drop(nested);
        assert_eq!(numbers(), (1, 1));
        drop(one);
        assert_eq!(numbers(), before);
        tch::set_num_threads(before.0);
    }
}
