//! `cargo xtask fuzz`: libFuzzer on the targets of `host/fuzz`, with the pinned compiler.
//!
//! The compiler's flags for coverage are those of cargo-fuzz with `--sanitizer none`, which work on stable. They are
//! given to crates of the workspace alone, by a wrapper that cargo calls for those: dependencies, wasmtime above all,
//! are the ones already built, uninstrumented.
//!
//! What libFuzzer learns lies in cargo's build folder, per target; `--minimise` distils it into `tests/fuzz`, which
//! every test run replays. A finding is written there at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::progress::note;
use crate::project::Project;
use crate::work;

/// As `nasd_fuzz::TARGETS`.
const TARGETS: [&str; 4] = ["journals", "search-files", "snapshots", "trainer-messages"];

/// The flags, and how the wrapper gives them; build scripts run on their own and are left alone.
const WRAPPER: &str = r#"#!/bin/sh
# Made by `cargo xtask fuzz`: the compiler with flags for coverage.
case " $* " in *" --crate-name build_script_"*) exec "$@" ;; esac
exec "$@" -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
"#;

/// What is wanted of a call.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    targets: Vec<String>,
    seconds: u64,
    minimise: bool,
}

/// Builds the targets, then runs those named, or all, one after the other.
pub fn fuzz(project: &Project, arguments: &[OsString]) -> Result<()> {
    let wanted = Wanted::parse(arguments)?;
    let folder = project.target.join("fuzz");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let wrapper = write_wrapper(&folder)?;
    let mut cargo = project.cargo();
    cargo.args(["build", "--workspace", "--features", "nasd-fuzz/libfuzzer"]);
    cargo.args(wanted.targets.iter().flat_map(|target| ["--bin".to_owned(), format!("fuzz-{target}")]));
    cargo.envs(work::environment_of(project)?).env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    command::run(&mut cargo)?;
    wanted.targets.iter().try_for_each(|target| run(project, &folder.join(target), target, &wanted))
}

fn run(project: &Project, learnt: &Path, target: &str, wanted: &Wanted) -> Result<()> {
    let kept = project.root.join("tests/fuzz").join(target);
    for folder in [learnt, &kept] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let mut fuzzer = std::process::Command::new(project.binary(&format!("fuzz-{target}")));
    fuzzer.current_dir(&project.root).args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]);
    fuzzer.arg(format!("-artifact_prefix={}/", kept.display()));
    if wanted.minimise {
        return distil(fuzzer, learnt, &kept);
    }
    note(&format!("{target}: {} s", wanted.seconds));
    fuzzer.args([format!("-max_total_time={}", wanted.seconds), "-print_final_stats=1".to_owned()]);
    let dictionary = project.root.join("host/fuzz/dictionaries").join(format!("{target}.dict"));
    if dictionary.is_file() {
        fuzzer.arg(format!("-dict={}", dictionary.display()));
    }
    fuzzer.args([learnt, &kept]);
    command::run(&mut fuzzer).with_context(|| {
        let remedy = "correct what it found, and keep the file";
        format!("{target}: a finding, in {}; {remedy}", kept.display())
    })
}

/// Puts the most telling of what was learnt into the corpus, in place of what an earlier call put there.
fn distil(mut fuzzer: std::process::Command, learnt: &Path, kept: &Path) -> Result<()> {
    let (control, merged) = (learnt.with_extension("coverage"), learnt.with_extension("merged"));
    for stale in [&control, &merged] {
        let _ = fs::remove_file(stale);
        let _ = fs::remove_dir_all(stale);
    }
    fs::create_dir_all(&merged).with_context(|| format!("{} cannot be made", merged.display()))?;
    fuzzer.args(["-set_cover_merge=1".to_owned(), format!("-merge_control_file={}", control.display())]);
    fuzzer.args([&merged, kept, learnt]);
    command::run(&mut fuzzer)?;
    let text = fs::read_to_string(&control).with_context(|| format!("{} cannot be read", control.display()))?;
    let inputs = Input::read(&text);
    let (mut wanted, mut n_edges) = (BTreeMap::new(), 0);
    for (input, new_edges) in chosen(&inputs) {
        let bytes = fs::read(&input.path).with_context(|| format!("{} cannot be read", input.path.display()))?;
        let name = input.path.file_name().unwrap_or_default().to_owned();
        wanted.insert(name, bytes);
        n_edges += new_edges;
    }
    for entry in fs::read_dir(kept)? {
        let entry = entry?;
        if is_learnt(&entry.path()) && !wanted.contains_key(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    for (name, bytes) in &wanted {
        fs::write(kept.join(name), bytes)?;
    }
    note(&format!("{}: {} files, {n_edges} edges of {}", kept.display(), wanted.len(), edges(&inputs).len()));
    Ok(())
}

/// Limits of a corpus in the checkout; `tests/corpora.rs` has its own, above these.
const MOST_FILES: usize = 60;
const MOST_BYTES: u64 = 200 << 10;
/// Longer inputs are left to the fuzzer.
const LONGEST: u64 = 24 << 10;

/// An input with the edges of the program that it reaches.
#[derive(Debug)]
struct Input {
    path: PathBuf,
    bytes: u64,
    edges: BTreeSet<u64>,
}

impl Input {
    /// From libFuzzer's control file: the number of files, of those before, their names, and lines `STARTED i BYTES`
    /// and `FT i FEATURE ...` of each, a feature being an edge times eight and how often it was passed.
    fn read(text: &str) -> Vec<Self> {
        let mut lines = text.lines();
        let count = lines.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        let input = |path: &str| Self { path: path.into(), bytes: 0, edges: BTreeSet::new() };
        let mut inputs: Vec<Self> = lines.by_ref().skip(1).take(count).map(input).collect();
        for line in lines {
            let mut words = line.split(' ');
            let kind = words.next();
            let mut numbers = words.map_while(|word| word.parse::<u64>().ok());
            let at = numbers.next().and_then(|at| usize::try_from(at).ok());
            let Some(input) = at.and_then(|at| inputs.get_mut(at)) else { continue };
            match kind {
                Some("STARTED") => input.bytes = numbers.next().unwrap_or(0),
                Some("FT") => input.edges = numbers.map(|feature| feature / 8).collect(),
                _ => {}
            }
        }
        inputs.retain(|input| !input.edges.is_empty());
        inputs
    }
}

fn edges(inputs: &[Input]) -> BTreeSet<u64> {
    inputs.iter().flat_map(|input| &input.edges).copied().collect()
}

/// Whether libFuzzer named the file, after its contents.
fn is_learnt(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What stays anyway, then the inputs that reach most of what is not reached yet for their length; with the number of
/// edges that each adds.
fn chosen(inputs: &[Input]) -> Vec<(&Input, usize)> {
    let (mut reached, mut bytes, mut chosen) = (BTreeSet::new(), 0, Vec::new());
    let (mut left, stay): (Vec<&Input>, Vec<&Input>) = inputs.iter().partition(|input| is_learnt(&input.path));
    let mut stay = stay.into_iter();
    loop {
        let next = stay.next().or_else(|| {
            left.retain(|input| {
                let fits = input.bytes <= LONGEST.min(MOST_BYTES.saturating_sub(bytes));
                fits && !input.edges.is_subset(&reached)
            });
            // A file costs as much as some hundred bytes.
            let gain =
                |input: &&&Input| ((input.edges.difference(&reached).count() as u64) << 20) / (input.bytes + 256);
            left.iter().max_by_key(gain).copied().filter(|_| chosen.len() < MOST_FILES)
        });
        let Some(input) = next else { return chosen };
        let before = reached.len();
        reached.extend(&input.edges);
        bytes += input.bytes;
        chosen.push((input, reached.len() - before));
    }
}

fn write_wrapper(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("rustc-with-coverage");
    let fail = || format!("{} cannot be written", path.display());
    if fs::read_to_string(&path).ok().as_deref() != Some(WRAPPER) {
        fs::write(&path, WRAPPER).with_context(fail)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).with_context(fail)?;
    }
    Ok(path)
}

impl Wanted {
    fn parse(arguments: &[OsString]) -> Result<Self> {
        let mut wanted = Self { targets: Vec::new(), seconds: 600, minimise: false };
        let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
        while let Some(argument) = arguments.next() {
            match argument.as_ref() {
                "--minimise" => wanted.minimise = true,
                "--seconds" => {
                    let seconds = arguments.next().unwrap_or_default();
                    wanted.seconds = seconds.parse().with_context(|| format!("--seconds {seconds}: give a number"))?;
                }
                target if TARGETS.contains(&target) => wanted.targets.push(target.to_owned()),
                other => bail!("fuzz {other}: known targets are {}", TARGETS.join(", ")),
            }
        }
        if wanted.targets.is_empty() {
            wanted.targets = TARGETS.map(str::to_owned).to_vec();
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Wanted> {
        Wanted::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn all_targets_run_for_ten_minutes_unless_said_otherwise() {
        let all = parse(&[]).unwrap();
        assert_eq!((all.targets, all.seconds, all.minimise), (TARGETS.map(str::to_owned).to_vec(), 600, false));
        let one = parse(&["snapshots", "--seconds", "5"]).unwrap();
        assert_eq!((one.targets, one.seconds), (vec!["snapshots".to_owned()], 5));
        assert!(parse(&["--minimise"]).unwrap().minimise);
        assert!(parse(&["journal"]).unwrap_err().to_string().contains("known targets are journals"));
        assert!(parse(&["--seconds", "x"]).is_err());
    }

    #[test]
    fn a_corpus_is_what_stays_and_what_reaches_most_for_its_length() {
        let learnt = |digit: &str| digit.repeat(40);
        let names = ["specimen".to_owned(), learnt("a"), learnt("b"), learnt("c")];
        // Edges 1 and 2; 1, 2 and 3 in few bytes; 3 and 4 in many; 2 again.
        let text = format!(
            "4\n0\n{}\nSTARTED 0 100\nFT 0 8 16\nCOV 0 1\nSTARTED 1 10\nFT 1 9 17 24\nSTARTED 2 9000\nFT 2 24 32\n\
             STARTED 3 1\nFT 3 16\n",
            names.join("\n")
        );
        let inputs = Input::read(&text);
        let chosen: Vec<_> = chosen(&inputs).into_iter().map(|(input, new)| (input.path.clone(), new)).collect();
        let expected = [(&names[0], 2), (&names[1], 1), (&names[2], 1)];
        assert_eq!(chosen, expected.map(|(name, new)| (PathBuf::from(name), new)));
    }

    #[test]
    fn every_target_has_a_program() {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"fuzz-{target}\"")), "{target}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
