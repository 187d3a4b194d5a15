//! Lets everything of this crate that is linked (the trainer, tests, benches) find libtorch by itself.
//!
//! `torch-sys` knows where libtorch lies (`LIBTORCH`, or the Python package with `LIBTORCH_USE_PYTORCH`)
//! and hands the folder to the crates that depend on it directly; a run path in the binaries then makes
//! `LD_LIBRARY_PATH` unnecessary. With a CUDA build, `libtorch_cuda.so` has no symbol that Rust names, so
//! the linker must be told to keep it: it registers its kernels when it is loaded.
//!
//! This script neither searches for libtorch nor downloads it: `cargo xtask` does.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let Some(folder) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    if linux && folder.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-ltorch_cuda");
        println!("cargo:rustc-link-arg=-Wl,--as-needed");
    }
}
