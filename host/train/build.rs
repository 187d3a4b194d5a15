//! Lets everything of this crate that is linked (the trainer, tests, benches) find libtorch by itself.
//!
//! `torch-sys` knows where libtorch lies (`LIBTORCH`, or the Python package with `LIBTORCH_USE_PYTORCH`)
//! and hands the folder to the crates that depend on it directly; a run path in the binaries then makes
//! `LD_LIBRARY_PATH` unnecessary. With a CUDA build, `libtorch_cuda.so` has no symbol that Rust names, so
//! the linker must be told to keep it: it registers its kernels when it is loaded.
//!
//! It also reads libtorch's release out of its headers, which a trainer tells when it is ready.
//!
//! This script neither searches for libtorch nor downloads it: `cargo xtask` does.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let folder = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let release = folder.as_deref().and_then(release).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=NASD_LIBTORCH_RELEASE={release}");
    let Some(folder) = folder else {
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    if linux && folder.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-ltorch_cuda");
        println!("cargo:rustc-link-arg=-Wl,--as-needed");
    }
}

/// The release as the headers beside the libraries define it, in three numbers.
fn release(libraries: &Path) -> Option<String> {
    let headers = libraries.parent()?.join("include/torch");
    let places = ["headeronly/version.h", "csrc/api/include/torch/version.h"];
    places.iter().find_map(|place| {
        let text = std::fs::read_to_string(headers.join(place)).ok()?;
        println!("cargo:rerun-if-changed={}", headers.join(place).display());
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("#define TORCH_VERSION_{name} ")));
            line?.trim().parse::<u32>().ok()
        };
        Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
    })
}
