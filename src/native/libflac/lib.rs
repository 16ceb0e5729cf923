//! libFLAC's own functions, as `libflac-sys` declares them. That crate would build the library by cmake, which few machines
//! have; build.rs beside this compiles the same sources with the C compiler that the main program needs anyway.

pub use libflac_sys::*;
