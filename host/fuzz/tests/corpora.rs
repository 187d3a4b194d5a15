//! What fuzzing kept (`tests/fuzz`) goes through its targets again in every test run, and so do a few thousand
//! specimens changed at random, the same every time: without guidance by coverage, but where nobody runs a fuzzer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

#[path = "../../daemon/tests/support/mutants.rs"]
mod mutants;

use mutants::mutant;
use nasd_fuzz::{TARGETS, Target};
use nasd_space::StreamRandom;

/// Specimens changed, of each target.
const MUTANTS: u64 = 500;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn check(target: Target, bytes: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
        let kept = std::env::temp_dir().join("nasd-fuzz-finding");
        std::fs::write(&kept, bytes).unwrap();
        panic!("a finding: {what}, kept as {}; it belongs into tests/fuzz", kept.display());
    }
}

/// One test a target, so that they run side by side.
fn replay(name: &str) {
    let target = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap().1;
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "{name}: {} files", corpus.len());
    for (path, bytes) in &corpus {
        check(target, bytes, &path.display().to_string());
    }
    let specimens: Vec<Vec<u8>> = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    for n in 0..MUTANTS {
        let bytes = mutant(&specimens, &mut StreamRandom::new(n, name));
        check(target, &bytes, &format!("mutant {n} of {name}"));
    }
}

#[test]
fn journals() {
    replay("journals");
}

#[test]
fn search_files() {
    replay("search-files");
}

#[test]
fn snapshots() {
    replay("snapshots");
}

#[test]
fn trainer_messages() {
    replay("trainer-messages");
}

#[test]
fn corpora_are_small_and_every_one_has_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
    for name in names {
        let corpus = corpus(&name);
        let bytes: usize = corpus.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 256 << 10 && corpus.len() <= 100, "{name}: {} files, {bytes} bytes", corpus.len());
    }
}

/// The beginning of a corpus: sound specimens. Fuzzing and `--minimise` make the rest of it.
#[test]
#[ignore = "writes into tests/fuzz"]
fn specimens_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let searches = std::fs::read_dir(folder.join("../../configs/searches")).unwrap();
    let searches = searches.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    let all: [(&str, Vec<Vec<u8>>); 4] = [
        ("journals", nasd_fuzz::journals::specimens()),
        ("search-files", searches),
        ("snapshots", nasd_fuzz::snapshots::specimens()),
        ("trainer-messages", nasd_fuzz::trainer_messages::specimens()),
    ];
    for (name, specimens) in all {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for (n, specimen) in specimens.iter().enumerate() {
            std::fs::write(folder.join(name).join(format!("specimen-{n:02}")), specimen).unwrap();
        }
    }
}
