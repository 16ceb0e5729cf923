//! A bound on the memory that all threads of the process together spend on decoding pictures.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The budget of picture decoding. One picture may need more than this (see `Limits::max_bytes`); it is then decoded
/// while no other is.
pub(super) static PICTURES: Budget = Budget::new(512 << 20);

/// A weighted semaphore that serves in the order of asking, so that one who needs much isn't passed by forever.
pub(super) struct Budget {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    taken: u64,
    /// The number the next one to ask gets.
    next: u64,
    /// The number whose turn it is.
    serving: u64,
}

/// A part of a budget, given back when dropped.
pub(super) struct Permit<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    const fn new(total: u64) -> Self {
        Budget { total, state: Mutex::new(State { taken: 0, next: 0, serving: 0 }), changed: Condvar::new() }
    }

    /// Waits until `bytes` are free and takes them; all there are where that is less. A thread that holds a permit must
    /// not ask for another.
    pub(super) fn take(&self, bytes: u64) -> Permit<'_> {
        let bytes = bytes.min(self.total);
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        while state.serving != number || state.taken + bytes > self.total {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.serving += 1;
        state.taken += bytes;
        self.changed.notify_all();
        Permit { budget: self, bytes }
    }

    /// The state is numbers that are changed together, so a thread that panicked leaves them whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.budget.lock().taken -= self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn no_more_than_the_budget_is_taken_at_once() {
        let budget = Budget::new(10);
        let (taken, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (budget, taken, most) = (&budget, &taken, &most);
                scope.spawn(move || {
                    for i in 0..200 {
                        // Some ask for more than there is, and get all of it.
                        let bytes = (thread * 7 + i) % 13;
                        let _permit = budget.take(bytes);
                        let now = taken.fetch_add(bytes.min(10), Ordering::SeqCst) + bytes.min(10);
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        taken.fetch_sub(bytes.min(10), Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 10);
        assert_eq!(budget.lock().taken, 0);
    }
}
