//! Links libtorch so that the programs of this package run with no environment variable, compiles the C++ shim, and says
//! which commit and compiler the program is of.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const SHIM: &str = "src/native";

fn main() {
    // All that the program is made of: it is built anew when any of it changes, and then the commit is another, or not
    // the whole truth.
    for path in ["build.rs", "Cargo.toml", "Cargo.lock", "src"] {
        println!("cargo:rerun-if-changed={path}");
    }
    for variable in ["LIBTORCH", "CXX", "CXXFLAGS"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rustc-env=MEGABYTE_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!("cargo:rustc-env=MEGABYTE_RUSTC={}", ask(&rustc, &["--version"]).unwrap_or_else(|| "unknown".to_owned()));

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

    compile_shim(&lib);
    // After the shim, whose symbols these libraries define.
    println!("cargo:rustc-link-lib=dylib=torch_cpu");
    println!("cargo:rustc-link-lib=dylib=c10");
}

/// Compiles the shim, unless the one in the output folder is of the same files and settings: this script runs whenever a
/// file of the program changes, and the shim takes most of a minute.
fn compile_shim(lib: &Path) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names an output folder"));
    let stamp = out.join("shim.stamp");
    let settings = format!("{} {:?} {:?}", lib.display(), env::var_os("CXX"), env::var_os("CXXFLAGS"));
    let changed =
        |path: &Path| fs::metadata(path).and_then(|data| data.modified()).unwrap_or_else(|_| SystemTime::now());
    let of_same_settings = fs::read_to_string(&stamp).is_ok_and(|text| text == settings);
    let made = changed(&stamp);
    let sources = files("cpp");
    let headers = files("h");
    let script = [PathBuf::from("build.rs"), PathBuf::from(SHIM)];
    let fresh = sources.iter().chain(&headers).chain(&script).all(|path| changed(path) < made);
    if of_same_settings && fresh && out.join("libmegabyte_shim.a").is_file() {
        println!("cargo:rustc-link-lib=static=megabyte_shim");
        println!("cargo:rustc-link-search=native={}", out.display());
        println!("cargo:rustc-link-lib=stdc++");
        return;
    }
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
        // What the compiler writes about libtorch's headers takes it as long as the code does.
        .debug(false)
        .files(sources)
        .compile("megabyte_shim");
    // Only a note of what need not be done again.
    let _ = fs::write(stamp, settings);
}

/// Those of the shim with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(SHIM).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    files.sort();
    files
}

/// The commit of this folder, where it is a repository of its own, with `-dirty` where what the program is made of differs
/// from it.
fn commit() -> Option<String> {
    let top = PathBuf::from(ask("git", &["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if top != Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()? {
        return None;
    }
    // What changes with the commit: where there is none of these, the next change of a file will tell.
    let branch = ask("git", &["rev-parse", "--symbolic-full-name", "HEAD"])?;
    for name in ["HEAD", "logs/HEAD", &branch] {
        let path = ask("git", &["rev-parse", "--git-path", name])?;
        if Path::new(&path).is_file() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = ask("git", &["rev-parse", "--short=12", "HEAD"])?;
    // Without locks: this must not come between a person and the repository.
    let status = ["--no-optional-locks", "status", "--porcelain", "--", "src", "build.rs", "Cargo.toml", "Cargo.lock"];
    let dirty = ask("git", &status)?;
    Some(if dirty.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// What a program prints, where it ends well.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
