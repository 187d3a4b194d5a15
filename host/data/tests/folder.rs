//! The data folder: names, replacement, damage.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use std::fs;

use nasd_data::{DataError, DataFolder, ImportOptions};

fn with_a_set() -> (tempfile::TempDir, DataFolder) {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    let record = |label: u8| (0..3073).map(|at| if at == 0 { label } else { at as u8 }).collect::<Vec<u8>>();
    fs::write(source.join("train.bin"), [record(0), record(1)].concat()).unwrap();
    fs::write(source.join("test.bin"), record(2)).unwrap();
    let folder = DataFolder::open(scratch.path().join("data"));
    folder.import("small", &source, &ImportOptions::default()).unwrap();
    (scratch, folder)
}

fn packed_file(scratch: &tempfile::TempDir) -> std::path::PathBuf {
    let entries = fs::read_dir(scratch.path().join("data/small")).unwrap();
    let mut files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "images");
    let file = files.next().unwrap();
    assert_eq!(files.next(), None);
    file
}

#[test]
fn the_list_has_the_digits_and_what_was_imported() {
    let (_scratch, folder) = with_a_set();
    let names: Vec<String> = folder.list().unwrap().into_iter().map(|listing| listing.name).collect();
    assert_eq!(names, ["digits", "small"]);
}

#[test]
fn a_set_that_is_absent_is_named_with_those_that_are_there() {
    let (_scratch, folder) = with_a_set();
    let message = folder.load("cifar10").unwrap_err().to_string();
    assert!(message.contains("(there: digits, small); import it with `nasd data import cifar10 PATH`"), "{message}");
    for name in ["", "../x", "a/b", "A", ".x", &"x".repeat(65)] {
        assert!(matches!(folder.load(name), Err(DataError::BadName { .. })), "{name}");
    }
}

#[test]
fn a_set_is_replaced_only_on_request_and_the_digits_never() {
    let (scratch, folder) = with_a_set();
    let source = scratch.path().join("source");
    let first = packed_file(&scratch);
    let options = ImportOptions::default();
    assert!(matches!(folder.import("small", &source, &options), Err(DataError::AlreadyImported { .. })));
    assert!(matches!(folder.import("digits", &source, &options), Err(DataError::ReservedName { .. })));
    fs::copy(source.join("train.bin"), source.join("test.bin")).unwrap();
    let replace = ImportOptions { replace: true, ..Default::default() };
    folder.import("small", &source, &replace).unwrap();
    assert_eq!(folder.load("small").unwrap().test.len(), 2);
    assert_ne!(packed_file(&scratch), first);
}

#[test]
fn a_failed_replacement_leaves_the_old_set() {
    let (scratch, folder) = with_a_set();
    let before = folder.load("small").unwrap();
    fs::write(scratch.path().join("source/test.bin"), [11; 3073]).unwrap();
    let replace = ImportOptions { replace: true, ..Default::default() };
    let error = folder.import("small", &scratch.path().join("source"), &replace).unwrap_err();
    assert!(matches!(error, DataError::LabelOutOfRange { record: 1, label: 11, .. }));
    assert_eq!(folder.load("small").unwrap(), before);
}

#[test]
fn changed_bytes_are_found_by_load_and_verify() {
    let (scratch, folder) = with_a_set();
    let file = packed_file(&scratch);
    let mut bytes = fs::read(&file).unwrap();
    // Pixels of the last training image, far from the end.
    let at = bytes.len() - 5000;
    bytes[at..at + 500].fill(0);
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(folder.load("small"), Err(DataError::DigestDiffers { .. })));
    let fields: Vec<&str> = folder.verify("small").unwrap().differences.iter().map(|d| d.field).collect();
    assert_eq!(fields, ["digest", "mean", "std"]);
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(folder.verify("small"), Err(DataError::Truncated { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(folder.load("small"), Err(DataError::NotFound { .. })));
}

#[test]
fn a_changed_manifest_is_found_and_a_broken_one_named_by_line() {
    let (scratch, folder) = with_a_set();
    let path = scratch.path().join("data/small/manifest.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("train = 2", "train = 3")).unwrap();
    let differences = folder.verify("small").unwrap().differences;
    assert_eq!(
        (differences[0].field, differences[0].expected.as_str(), differences[0].found.as_str()),
        ("train", "3", "2")
    );
    assert_eq!(differences.len(), 1);
    for (change, says) in [
        (text.replace("train = 2", "train = \"x\""), "manifest.toml: line 9: "),
        (text.replace("version = 1", "version = 9"), "version 9, this nasd reads 1"),
        (text.replace("file = \"", "file = \"../"), "not the name of a file beside it"),
        (format!("{text}more = 1\n"), "unknown field `more`"),
    ] {
        fs::write(&path, change).unwrap();
        let message = folder.load("small").unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn verify_of_the_digits_reports_their_counts() {
    let verification = DataFolder::open("nowhere").verify("digits").unwrap();
    assert_eq!(verification.report.class_counts[0].iter().sum::<u64>(), 1437);
    assert_eq!(verification.differences, []);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let (scratch, _) = with_a_set();
    let file = scratch.path().join("a file");
    fs::write(&file, "").unwrap();
    let source = scratch.path().join("source");
    let error = DataFolder::open(&file).import("small", &source, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::Unwritable { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"");
}
