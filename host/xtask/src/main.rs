//! `cargo xtask`: provisioning and developer commands.
//!
//! A fresh clone has neither libtorch nor a standard library for WebAssembly; this program fetches both
//! into the user's cache folder once, builds the host and the strategies with one environment, and runs
//! what a developer or continuous integration wants to run. Everything it does can be done by hand with
//! plain cargo after `eval "$(cargo xtask env)"`.
//!
//! It has few dependencies, because it is compiled before it can say anything, and it is no library:
//! nothing of nasd depends on it.

mod bench;
mod cache;
mod command;
mod components;
mod daemon;
mod debian;
mod fuzz;
mod guest;
mod libtorch;
mod licences;
mod one_shot;
mod peers;
mod progress;
mod project;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::project::Project;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [ARGS]      provision, build, then search with configs/searches/quick-start.toml
                  (ARGS go to `nasd run`)
  test [ARGS]     provision, build, then every test (ARGS go to `cargo test`)
  build           provision, then build nasd, nasd-trainer and every strategy
  strategies [NAMES]  provision, then build the strategies alone: all, or those named
  bench [NAMES]   the table of speeds: strategy, jobs, shared, start, costs; or kills (20 real ones),
                  or one-shot (beside PyTorch, downloads it as parity does; words limit it to rows
                  that have them: `bench one-shot paper weights 1`)
  parity [ARGS]   compare live with PyTorch (downloads it once, 4.7 GB)
  fuzz [TARGETS] [--seconds N] [--minimise]
                  libFuzzer on what reads hostile bytes, 600 s a target: journals, search-files,
                  snapshots, trainer-messages; or distil what it learnt into tests/fuzz
  licences        check licences and sources of all dependencies against deny.toml
  env             provision, then print the export lines that plain cargo needs:
                  eval \"$(cargo xtask env)\"

environment:
  LIBTORCH, LIBTORCH_USE_PYTORCH   an own libtorch 2.13.0 (for CUDA) instead of the downloaded one
  NASD_GUEST_RUSTC                 an own rustc with a wasm32-unknown-unknown standard library
  NAS_DATA_DIR                     folder of the larger real data sets that tests read
  XDG_CACHE_HOME                   where downloads are kept (default ~/.cache), in its subfolder nasd
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let done = match command.to_str() {
        Some("run") => with_project(|project| work::run(project, &rest)),
        Some("test") => with_project(|project| work::test(project, &rest)),
        Some("build") => with_project(|project| work::build(project).map(|_| ())),
        Some("strategies") => with_project(|project| work::strategies(project, &rest)),
        Some("bench") => with_project(|project| bench::bench(project, &rest)),
        Some("parity") => with_project(|project| peers::parity(project, &rest)),
        Some("fuzz") => with_project(|project| fuzz::fuzz(project, &rest)),
        Some("licences") => with_project(licences::check),
        Some("env") => with_project(work::print_environment),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One plain sentence first; what other programs said about it below.
            eprintln!("xtask: error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn with_project(work: impl FnOnce(&Project) -> anyhow::Result<()>) -> anyhow::Result<()> {
    work(&Project::find()?)
}
