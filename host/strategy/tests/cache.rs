//! Compiled components and functions on disk: taken when whole and ours, compiled anew otherwise.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nasd_strategy::{Runtime, RuntimeError, RuntimeOptions};
use support::{assemble, tight};

fn runtime(folder: &Path) -> Result<Runtime, RuntimeError> {
    Runtime::new(RuntimeOptions { cache: Some(folder.to_owned()) })
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

/// Contents of the one file with that extension.
fn only_file(folder: &Path, extension: &str) -> (PathBuf, Vec<u8>) {
    let files = files(folder, extension);
    assert_eq!(files.len(), 1, "{files:?}");
    (files[0].clone(), fs::read(&files[0]).unwrap())
}

#[tokio::test]
async fn a_component_is_compiled_once_and_named_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/compiled");
    let bytes = assemble::hostile("well-behaved");
    let component = runtime(&cache).unwrap().load(&bytes).unwrap();
    let (path, _) = only_file(&cache, "cwasm");
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with(component.digest()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);

    let written = fs::metadata(&path).unwrap().ino();
    let again = runtime(&cache).unwrap().load(&bytes).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), written);
    assert_eq!(again.describe(&tight()).await.unwrap().name, "well-behaved");
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = assemble::hostile("well-behaved");
    runtime(folder.path()).unwrap().load(&bytes).unwrap();
    let (path, whole) = only_file(folder.path(), "cwasm");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (damage, mode) in
        [(flipped, 0o600), (whole[..100].to_vec(), 0o600), (Vec::new(), 0o600), (whole.clone(), 0o622)]
    {
        fs::write(&path, &damage).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let component = runtime(folder.path()).unwrap().load(&bytes).unwrap();
        component.describe(&tight()).await.unwrap();
        let (_, repaired) = only_file(folder.path(), "cwasm");
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

/// A strategy, one in which one function differs, and their compiled forms by an empty cache.
struct Builds {
    first: Vec<u8>,
    second: Vec<u8>,
    /// Of the second.
    compiled: Vec<u8>,
}

/// Tells nothing: the other functions are those of every strategy here.
const OTHER_TELL: &str = r#"
(func (export "nas:strategy/strategy@0.1.0#tell") (param $job i32) (result i32)
  (global.set $told (i64.add (global.get $told) (i64.const 17)))
  (call $ok))
"#;

fn builds() -> Builds {
    let (first, second) = (assemble::hostile("well-behaved"), assemble::component(OTHER_TELL));
    let compiled = compiled_by_itself(&second);
    Builds { first, second, compiled }
}

fn compiled_by_itself(component: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    runtime(folder.path()).unwrap().load(component).unwrap();
    only_file(folder.path(), "cwasm").1
}

/// The compiled form of a component in a cache.
fn compiled(folder: &Path, runtime: &Runtime, component: &[u8]) -> Vec<u8> {
    let digest = runtime.load(component).unwrap().digest().to_owned();
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&digest);
    fs::read(files(folder, "cwasm").into_iter().find(is_it).unwrap()).unwrap()
}

/// Functions in a pack: the number before its last digest.
fn n_functions(pack: &[u8]) -> u64 {
    let end = pack.len() - 40;
    u64::from_le_bytes(pack[end..end + 8].try_into().unwrap())
}

/// How many functions there are in each pack, most first.
fn packs(folder: &Path) -> Vec<u64> {
    let packs = files(folder, "functions").into_iter().map(|path| n_functions(&fs::read(path).unwrap()));
    let mut packs: Vec<_> = packs.collect();
    packs.sort_unstable_by(|a, b| b.cmp(a));
    packs
}

#[test]
fn a_build_compiles_only_what_no_build_before_had_and_becomes_what_it_would_have_by_itself() {
    let Builds { first, second, compiled: expected } = builds();
    let folder = tempfile::tempdir().unwrap();
    runtime(folder.path()).unwrap().load(&first).unwrap();
    let n_first = packs(folder.path())[0];
    // Another process; another custom section has no function of its own, another `tell` is one.
    let again = runtime(folder.path()).unwrap();
    again.load(&assemble::another_build(&first, 1)).unwrap();
    assert!(compiled(folder.path(), &again, &second) == expected);
    let packs = packs(folder.path());
    // The compiler does not name all functions the same each time.
    assert!(n_first > 20 && packs[1..].iter().all(|n| *n < n_first / 3), "{packs:?}");
}

#[test]
fn functions_that_are_damaged_or_foreign_are_compiled_anew_and_their_pack_goes() {
    let Builds { first, second, compiled: expected } = builds();
    let folder = tempfile::tempdir().unwrap();
    runtime(folder.path()).unwrap().load(&first).unwrap();
    let (path, whole) = only_file(folder.path(), "functions");
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let (n, end) = (whole.len(), whole.len() - 40);
    let index = end - 80 * n_functions(&whole) as usize;
    let damages: Vec<(&str, Vec<u8>, u32)> = vec![
        ("first function", flipped(0), 0o600),
        ("last function", flipped(index - 1), 0o600),
        ("a name", flipped(index), 0o600),
        ("a place", flipped(index + 33), 0o600),
        ("a digest", flipped(end - 1), 0o600),
        ("the number", flipped(end), 0o600),
        ("a huge number", flipped(end + 7), 0o600),
        ("the index's digest", flipped(n - 1), 0o600),
        ("half", whole[..n / 2].to_vec(), 0o600),
        ("a few bytes", whole[..20].to_vec(), 0o600),
        ("nothing", Vec::new(), 0o600),
        ("others may write", whole.clone(), 0o622),
    ];
    for (what, bytes, mode) in damages {
        for file in files(folder.path(), "functions").into_iter().chain(files(folder.path(), "cwasm")) {
            fs::remove_file(file).unwrap();
        }
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(compiled(folder.path(), &runtime(folder.path()).unwrap(), &second) == expected, "{what}");
        assert!(!path.exists(), "{what}");
        // What was compiled anew is there for the next.
        let again = runtime(folder.path()).unwrap();
        again.load(&assemble::another_build(&second, 2)).unwrap();
        assert!(!files(folder.path(), "functions").is_empty(), "{what}");
    }
}

#[test]
fn a_strategy_in_rust_is_compiled_to_the_same_bytes_from_functions_as_from_nothing() {
    for name in ["random", "tpe"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/strategies/{name}.wasm"));
        let Ok(component) = fs::read(&path) else {
            eprintln!("skipped: there is no {}; `cargo xtask strategies` builds it", path.display());
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime(folder.path()).unwrap();
        runtime.load(&assemble::another_build(&component, 1)).unwrap();
        assert!(compiled(folder.path(), &runtime, &component) == compiled_by_itself(&component), "{name}");
        let packs = packs(folder.path());
        assert!(packs[0] > 100 && packs[1..].iter().all(|n| *n < packs[0] / 5), "{name}: {packs:?}");
    }
}
