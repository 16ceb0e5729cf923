//! Compiles libFLAC as a static library from the sources inside the package `libflac-sys`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::exit;

/// The package as cargo names its folder, and the FLAC that is in it.
const PACKAGE: &str = "libflac-sys-0.3.4";
const VERSION: &str = "\"1.5.0\"";
/// Names the folder where it is not where cargo puts it.
const FOLDER: &str = "LIBFLAC_SYS_DIR";

/// All of libFLAC but Ogg and the editing of files. Those of one kind of CPU are empty on another; what is used of them
/// is decided when the program runs.
const SOURCES: [&str; 28] = [
    "bitmath",
    "bitreader",
    "bitwriter",
    "cpu",
    "crc",
    "fixed",
    "fixed_intrin_avx2",
    "fixed_intrin_sse2",
    "fixed_intrin_sse42",
    "fixed_intrin_ssse3",
    "float",
    "format",
    "lpc",
    "lpc_intrin_avx2",
    "lpc_intrin_fma",
    "lpc_intrin_neon",
    "lpc_intrin_sse2",
    "lpc_intrin_sse41",
    "md5",
    "memory",
    "metadata_object",
    "stream_decoder",
    "stream_encoder",
    "stream_encoder_framing",
    "stream_encoder_intrin_avx2",
    "stream_encoder_intrin_sse2",
    "stream_encoder_intrin_ssse3",
    "window",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={FOLDER}");
    let Some(package) = package() else {
        eprintln!(
            "the sources of {PACKAGE} are in none of the folders of $CARGO_HOME/registry/src: name the folder of that \
             package (of `cargo vendor`, for instance) with {FOLDER}"
        );
        exit(1);
    };
    let (flac, library) = (package.join("flac"), package.join("flac/src/libFLAC"));
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (arch, big_endian) = (target("ARCH"), target("ENDIAN") == "big");
    let flag = |yes: bool| if yes { "1" } else { "0" };

    // What FLAC's configuration would find on Linux with GCC or Clang.
    let mut build = cc::Build::new();
    build
        .warnings(false)
        .include(flac.join("include"))
        .include(library.join("include"))
        .define("PACKAGE_VERSION", VERSION)
        .define("NDEBUG", None)
        .define("_GNU_SOURCE", None)
        .define("FLAC__SYS_LINUX", None)
        .define("FLAC__HAS_OGG", "0")
        .define("ENABLE_64_BIT_WORDS", "1")
        .define("HAVE_STDINT_H", None)
        .define("HAVE_INTTYPES_H", None)
        .define("HAVE_SYS_PARAM_H", None)
        .define("HAVE_BYTESWAP_H", None)
        .define("HAVE_BSWAP16", None)
        .define("HAVE_BSWAP32", None)
        .define("HAVE_FSEEKO", None)
        .define("HAVE_LROUND", "1")
        .define("CPU_IS_BIG_ENDIAN", flag(big_endian))
        .define("WORDS_BIGENDIAN", flag(big_endian))
        .define("FLAC__HAS_X86INTRIN", flag(arch == "x86_64"))
        .define("FLAC__HAS_NEONINTRIN", flag(arch == "aarch64"))
        .define("FLAC__HAS_A64NEONINTRIN", flag(arch == "aarch64"));
    match arch.as_str() {
        "x86_64" => {
            build.define("FLAC__CPU_X86_64", None).define("FLAC__ALIGN_MALLOC_DATA", None);
            build.define("FLAC__USE_AVX", None).define("HAVE_CPUID_H", None);
        }
        "aarch64" => _ = build.define("FLAC__CPU_ARM64", None),
        _ => {}
    }
    build.files(SOURCES.iter().map(|name| library.join(format!("{name}.c")))).compile("FLAC");
}

/// The folder of the package: cargo unpacks it before it compiles what depends on it.
fn package() -> Option<PathBuf> {
    let whole = |folder: &PathBuf| folder.join("flac/src/libFLAC/stream_encoder.c").is_file();
    if let Some(folder) = env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
        return Some(PathBuf::from(folder)).filter(whole);
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?;
    registries.flatten().map(|registry| registry.path().join(PACKAGE)).find(whole)
}
