//! Compiled components on disk: taken when whole and ours, compiled anew otherwise.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nasd_strategy::{Runtime, RuntimeError, RuntimeOptions};
use support::{assemble, tight};

fn runtime(folder: &Path) -> Result<Runtime, RuntimeError> {
    Runtime::new(RuntimeOptions { cache: Some(folder.to_owned()) })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Mode and contents of the one file in the cache.
fn only_file(folder: &Path) -> (PathBuf, Vec<u8>) {
    let files = files(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    (files[0].clone(), fs::read(&files[0]).unwrap())
}

#[tokio::test]
async fn a_component_is_compiled_once_and_named_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/compiled");
    let bytes = assemble::hostile("well-behaved");
    let component = runtime(&cache).unwrap().load(&bytes).unwrap();
    let (path, _) = only_file(&cache);
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with(component.digest()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);

    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let again = runtime(&cache).unwrap().load(&bytes).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
    assert_eq!(again.describe(&tight()).await.unwrap().name, "well-behaved");
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = assemble::hostile("well-behaved");
    runtime(folder.path()).unwrap().load(&bytes).unwrap();
    let (path, whole) = only_file(folder.path());
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (damage, mode) in
        [(flipped, 0o600), (whole[..100].to_vec(), 0o600), (Vec::new(), 0o600), (whole.clone(), 0o622)]
    {
        fs::write(&path, &damage).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let component = runtime(folder.path()).unwrap().load(&bytes).unwrap();
        component.describe(&tight()).await.unwrap();
        let (_, repaired) = only_file(folder.path());
        assert!(repaired == whole, "{} bytes, mode {mode:o}", damage.len());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let Err(error) = runtime(folder.path()) else { panic!("accepted") };
    assert!(matches!(error, RuntimeError::Cache { .. }));
    assert!(error.to_string().contains("others may write"), "{error}");
}
