//! Links libtorch so that the programs of this package run with no environment variable, and compiles the C++ shim.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/native");
    println!("cargo:rerun-if-env-changed=LIBTORCH");

    // torch-sys, a direct dependency, says where libtorch's shared libraries are.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return;
    };
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    // Nothing here refers to a symbol of libtorch_cuda, so the linker would drop it, and CUDA with it.
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-link-arg=-ltorch");

    let include = lib.join("../include");
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .warnings(false)
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        // The pool of threads is libtorch's own: both use the OpenMP library that it brings.
        .flag("-fopenmp")
        .flag("-fno-math-errno")
        .opt_level(3)
        .file("src/native/attention.cpp")
        .file("src/native/profile.cpp")
        .file("src/native/shim.cpp")
        .compile("megabyte_shim");
    // After the shim, whose symbols these libraries define.
    println!("cargo:rustc-link-lib=dylib=torch_cpu");
    println!("cargo:rustc-link-lib=dylib=c10");
}
