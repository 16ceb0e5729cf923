//! Lets the targets find libtorch's libraries, as the main package's build script does for the program.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // torch-sys, a direct dependency, says where they are.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.canonicalize().unwrap_or(lib).display());
    }
}
