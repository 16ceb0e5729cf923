//! One thread of libtorch for steps that are too short to share.

/// While it lives, libtorch has one thread; then the former number comes back.
pub(crate) struct OneThread {
    before: i32,
}

impl OneThread {
    /// From here on.
    pub(crate) fn begin() -> Self {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        OneThread { before }
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}
