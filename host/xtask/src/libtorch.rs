//! libtorch: an own one is respected, else the Python package's libraries are put into the cache folder.
//!
//! PyTorch's wheel carries the C++ library and its headers, and package indices mirror wheels where they
//! do not mirror the separate archive. Only what training on a CPU needs is taken out of three wheels
//! (540 MB of download, 490 MB unpacked): `libtorch_cpu.so` asks for NVIDIA's runtime and profiling
//! libraries even then. Whoever wants CUDA sets `LIBTORCH` or `LIBTORCH_USE_PYTORCH`.
//!
//! This does not install anything into the user's Python, and runs no torch in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::{self, Cache};
use crate::command;
use crate::progress::Step;

/// The release that the `tch` crate in use was generated from.
pub const VERSION: &str = "2.13.0";

/// What is fetched; the NVIDIA versions are those that this release of torch names as dependencies.
const WHEELS: [&str; 3] = ["torch==2.13.0", "nvidia-cuda-runtime==13.0.*", "nvidia-cuda-cupti==13.0.*"];

/// The libraries taken out of the wheels: the CPU part and what it asks the loader for.
const LIBRARIES: [&str; 5] = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"];

/// Wheels are chosen for a fixed Python version, so that any python3 with pip can fetch them.
const WHEEL_TAGS: [&str; 16] = [
    "--python-version",
    "3.12",
    "--implementation",
    "cp",
    "--abi",
    "cp312",
    "--abi",
    "none",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux_2_25_x86_64",
    "--platform",
    "manylinux_2_17_x86_64",
    "--platform",
    "manylinux2014_x86_64",
];

/// Copies the headers and the named libraries out of wheels: `DEST NAMES WHEEL...`.
const UNPACK: &str = r#"
import os, shutil, sys, zipfile
dest, wanted, wheels = sys.argv[1], set(sys.argv[2].split(",")), sys.argv[3:]
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, base = name.rpartition("/")
            if name.startswith("torch/include/") and base and ".." not in name:
                target = name[len("torch/"):]
            elif base in wanted and folder.endswith("/lib"):
                target = "lib/" + base
            else:
                continue
            path = os.path.join(dest, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(name) as source, open(path, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
"#;

/// Makes sure that there is a libtorch and returns the variables that tell cargo about it: none when the
/// user set some.
pub fn provide(cache: &Cache) -> Result<Vec<(&'static str, PathBuf)>> {
    if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Ok(Vec::new());
    }
    if let Some(own) = std::env::var_os("LIBTORCH") {
        check_own(Path::new(&own))?;
        return Ok(Vec::new());
    }
    let folder = cache.place(&format!("libtorch-{VERSION}"));
    if !is_complete(&folder) {
        let _lock = cache.lock()?;
        if !is_complete(&folder) {
            fetch(cache, &folder)?;
        }
    }
    Ok(vec![("LIBTORCH", folder)])
}

/// An own folder may be split with `LIBTORCH_LIB` and `LIBTORCH_INCLUDE`; versions are checked by `torch-sys`.
fn check_own(folder: &Path) -> Result<()> {
    let part = |variable: &str, name: &str| {
        let base = std::env::var_os(variable).map_or_else(|| folder.to_path_buf(), PathBuf::from);
        base.join(name)
    };
    for path in [part("LIBTORCH_LIB", "lib"), part("LIBTORCH_INCLUDE", "include")] {
        if !path.is_dir() {
            bail!(
                "LIBTORCH is set, but there is no folder {}: set it to the folder of libtorch {VERSION} \
                 that holds lib and include, or unset it to have libtorch downloaded",
                path.display()
            );
        }
    }
    Ok(())
}

fn is_complete(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("build-version")).is_ok_and(|text| text.trim() == VERSION)
        && folder.join("include/torch/csrc/api/include/torch/torch.h").is_file()
        && folder.join("lib/libtorch.so").is_file()
        && LIBRARIES.iter().all(|library| folder.join("lib").join(library).is_file())
}

fn fetch(cache: &Cache, folder: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "libtorch is downloaded on Linux on x86-64 only: install libtorch {VERSION} and set LIBTORCH \
             to its folder, or install torch {VERSION} with pip and set LIBTORCH_USE_PYTORCH=1"
        );
    }
    need_pip()?;
    cache.need_space(1500, "libtorch while it is unpacked")?;

    let wheels = cache.place("partial-wheels");
    let draft = cache.place(&format!("partial-libtorch-{VERSION}"));
    cache::fresh(&wheels)?;
    cache::fresh(&draft)?;

    let step = Step::start(&format!("libtorch {VERSION}"), "download of 540 MB, about a minute");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--progress-bar", "off", "--no-deps"])
        .args(["--disable-pip-version-check", "--only-binary", ":all:"])
        .args(WHEEL_TAGS)
        .arg("--dest")
        .arg(&wheels)
        .args(WHEELS);
    command::capture(&mut pip).context(
        "libtorch could not be downloaded with pip: is there a network, and does the package index \
         that pip uses have torch? Or set LIBTORCH to an existing libtorch",
    )?;
    step.done();

    let step = Step::start(&format!("libtorch {VERSION}"), "unpacking 490 MB, about 10 seconds");
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK]).arg(&draft).arg(LIBRARIES.join(","));
    for entry in std::fs::read_dir(&wheels).context("the downloaded wheels cannot be listed")? {
        unpack.arg(entry.context("the downloaded wheels cannot be listed")?.path());
    }
    command::capture(&mut unpack).context("the downloaded wheels could not be unpacked")?;
    // torch-sys links `-ltorch`; the wheel's own libtorch.so would ask for CUDA.
    let write = |name: &str, text: &str| {
        std::fs::write(draft.join(name), text).with_context(|| format!("{name} cannot be written"))
    };
    write("lib/libtorch.so", "INPUT(-ltorch_cpu)\n")?;
    write("build-version", &format!("{VERSION}\n"))?;
    if !is_complete(&draft) {
        bail!("the wheels of torch {VERSION} hold other files than expected; see {}", draft.display());
    }
    cache::remove(folder)?;
    std::fs::rename(&draft, folder).with_context(|| format!("{} cannot be put in place", folder.display()))?;
    cache::remove(&wheels)?;
    step.done();
    Ok(())
}

/// An error unless `python3 -m pip` works.
pub fn need_pip() -> Result<()> {
    command::need("python3", "install Python 3 with pip (Debian: apt-get install python3-pip)")?;
    let answer = command::capture(Command::new("python3").args(["-m", "pip", "--version"]));
    answer.map(|_| ()).context("python3 has no pip: install it (Debian: apt-get install python3-pip)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_as_libtorch_only_when_nothing_is_missing() {
        let folder = std::env::temp_dir().join(format!("xtask-libtorch-{}", std::process::id()));
        cache::fresh(&folder).unwrap();
        let header = folder.join("include/torch/csrc/api/include/torch");
        std::fs::create_dir_all(&header).unwrap();
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        std::fs::write(header.join("torch.h"), "").unwrap();
        for library in LIBRARIES.iter().chain(&["libtorch.so"]) {
            assert!(!is_complete(&folder));
            std::fs::write(folder.join("lib").join(library), "").unwrap();
        }
        assert!(!is_complete(&folder));
        std::fs::write(folder.join("build-version"), "2.12.0\n").unwrap();
        assert!(!is_complete(&folder));
        std::fs::write(folder.join("build-version"), "2.13.0\n").unwrap();
        assert!(is_complete(&folder));
        cache::remove(&folder).unwrap();
    }

    #[test]
    fn the_fetched_wheel_is_of_the_version_that_is_checked() {
        assert!(WHEELS.contains(&format!("torch=={VERSION}").as_str()));
    }
}
