//! Bad input on the real binary, one case a line of a table: one clear line with file, line and remedy, the exit code,
//! and nothing written. What is said is compared whole with `bad_input.txt`; after a change that is meant,
//! `UPDATE_SNAPSHOTS=1 cargo test --workspace --test bad_input` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{fmt::Write, path::Path};

use support::{Bench, SEARCH};

/// Makes the folder bad.
type Arrange = fn(&Bench);

/// A command with something wrong.
struct Case {
    name: &'static str,
    arrange: Arrange,
    arguments: &'static str,
    code: i32,
}

const RUN: &str = "run --device null search.toml";

const fn case(name: &'static str, arguments: &'static str, code: i32, arrange: Arrange) -> Case {
    Case { name, arrange, arguments, code }
}

fn nothing(_: &Bench) {}

fn put(bench: &Bench, name: &str, bytes: impl AsRef<[u8]>) {
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The search file with something replaced.
fn edit(bench: &Bench, from: &str, to: &str) {
    assert!(SEARCH.contains(from), "{from}");
    put(bench, "search.toml", SEARCH.replace(from, to));
}

/// The preset's file as the search's space, with something replaced.
fn edit_space(bench: &Bench, preset: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/spaces").join(preset));
    let text = text.unwrap();
    assert!(text.contains(from), "{from}");
    put(bench, "space.toml", text.replace(from, to));
    put(
        bench,
        "search.toml",
        SEARCH
            .replace("\"nas-bench-201\"", "\"space.toml\"")
            .replace(r#"space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }"#, ""),
    );
}

/// `n` records of CIFAR-10's binary form.
fn cifar(n: usize) -> Vec<u8> {
    (0..n).flat_map(|record| std::iter::once((record % 10) as u8).chain(std::iter::repeat_n(7, 3072))).collect()
}

/// An idx file of `extents` bytes.
fn idx(extents: &[u32]) -> Vec<u8> {
    let n: u32 = extents.iter().product();
    let header = [0, 0, 8, extents.len() as u8].into_iter().chain(extents.iter().flat_map(|e| e.to_be_bytes()));
    header.chain((0..n).map(|byte| (byte % 10) as u8)).collect()
}

fn mnist(bench: &Bench, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) {
    for (name, extents) in [
        ("train-images-idx3-ubyte", &[10u32, 4, 4][..]),
        ("train-labels-idx1-ubyte", &[10]),
        ("t10k-images-idx3-ubyte", &[10, 4, 4]),
        ("t10k-labels-idx1-ubyte", &[10]),
    ] {
        put(bench, &format!("mnist/{name}"), change(name, idx(extents)));
    }
}

/// Import a sound set, then damage what was imported.
fn damaged_set(bench: &Bench) {
    mnist(bench, |_, bytes| bytes);
    let output = bench.nasd(&["data", "import", "small", "mnist"]).current_dir(bench.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = bench.path("nasd-state/data/small");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "images") {
            let mut bytes = std::fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(entry.path(), bytes).unwrap();
        }
    }
    edit(bench, "\"digits\"", "\"small\"");
}

const CASES: &[Case] = &[
    // Search files.
    case("no search file", "run --device null absent.toml", 64, nothing),
    case("a folder for a search file", RUN, 64, |bench| {
        std::fs::remove_file(bench.path("search.toml")).unwrap();
        std::fs::create_dir(bench.path("search.toml")).unwrap();
    }),
    case("a search file that is no text", RUN, 64, |bench| put(bench, "search.toml", b"name = \"\xff\xfe\"\n")),
    case("an empty search file", RUN, 64, |bench| put(bench, "search.toml", "")),
    case("a syntax error", RUN, 64, |bench| edit(bench, "fidelity = 3", "fidelity = = 3")),
    case("an unknown key", RUN, 64, |bench| edit(bench, "jobs = 300", "job = 300")),
    case("an unknown table", RUN, 64, |bench| edit(bench, "[budget]", "[budgets]")),
    case("a key twice", RUN, 64, |bench| edit(bench, "fidelity = 3", "fidelity = 3\nfidelity = 4")),
    case("a text for a number", RUN, 64, |bench| edit(bench, "fidelity = 3", "fidelity = \"3\"")),
    case("a negative count", RUN, 64, |bench| edit(bench, "jobs = 300", "jobs = -1")),
    case("a number too large", RUN, 64, |bench| edit(bench, "fidelity = 3", "fidelity = 99999999999")),
    case("known results in a table that is not there", RUN, 64, |bench| {
        edit(bench, "[budget]", "[known-results]\ntable = \"mine\"\ndata-set = \"cifar-10\"\n[budget]");
    }),
    case("known results on a data set that the table has not", RUN, 64, |bench| {
        edit(bench, "[budget]", "[known-results]\ntable = \"nas-bench-201\"\ndata-set = \"mnist\"\n[budget]");
    }),
    case("known results of another space", RUN, 64, |bench| {
        let text = SEARCH
            .replace("\"nas-bench-201\"", "\"darts-cnn\"")
            .replace(r#"space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }"#, "");
        put(
            bench,
            "search.toml",
            format!("{text}[known-results]\ntable = \"nas-bench-201\"\ndata-set = \"cifar-10\"\n"),
        );
    }),
    case("no strategy table", RUN, 64, |bench| edit(bench, "[strategy]\ncomponent = \"strategy.wasm\"\n", "")),
    case("an unknown order", RUN, 64, |bench| edit(bench, "slots = 4", "slots = 4\norder = \"random\"")),
    case("no slots", RUN, 64, |bench| edit(bench, "slots = 4", "slots = 0")),
    case("no epochs", RUN, 64, |bench| edit(bench, "fidelity = 3", "fidelity = 0")),
    case("all images for validation", RUN, 64, |bench| edit(bench, "fidelity = 3", "fidelity = 3\nvalidation = 1.0")),
    case("a name that is a path", RUN, 64, |bench| edit(bench, "name = \"test\"", "name = \"../test\"")),
    case("a rate that is no number", RUN, 64, |bench| {
        edit(bench, "[strategy]", "[task.recipe]\nlearning-rate = nan\n[strategy]");
    }),
    case("a setting of no key", "run --device null search.toml --set task.epochs=3", 64, nothing),
    case("a setting without a value", "run --device null search.toml --set task.fidelity", 64, nothing),
    case("a setting below a value", "run --device null search.toml --set name.x=1", 64, nothing),
    // Spaces.
    case("an unknown preset", RUN, 64, |bench| edit(bench, "\"nas-bench-201\"", "\"nas-bench-2001\"")),
    case("an absent space file", RUN, 64, |bench| edit(bench, "\"nas-bench-201\"", "\"absent.toml\"")),
    case("an unknown setting of the space", RUN, 64, |bench| edit(bench, "\"stack.channels\"", "\"stack.chanels\"")),
    case("a setting of the space out of range", RUN, 64, |bench| {
        edit(bench, "\"stack.channels\" = 4", "\"stack.channels\" = 0");
    }),
    case("a space file that is no text", RUN, 64, |bench| {
        edit(bench, "\"nas-bench-201\"", "\"space.toml\"");
        put(bench, "space.toml", b"\xff\xfe\x00");
    }),
    case("a decision without options", RUN, 64, |bench| {
        let operations =
            "operations = [\"none\", \"skip_connect\", \"nor_conv_1x1\", \"nor_conv_3x3\", \"avg_pool_3x3\"]";
        edit_space(bench, "nas-bench-201.toml", operations, "operations = []");
    }),
    case("an unknown operation", RUN, 64, |bench| {
        edit_space(bench, "nas-bench-201.toml", "nor_conv_3x3", "nor_conv_9x9")
    }),
    case("rules that contradict", RUN, 64, |bench| {
        edit_space(bench, "darts-cnn.toml", "edges-per-node = 2", "edges-per-node = 3");
    }),
    case("a space of an unknown family", RUN, 64, |bench| {
        edit_space(bench, "nas-bench-201.toml", "family = \"cell\"", "family = \"tree\"");
    }),
    // Strategies.
    case("an unknown strategy", RUN, 64, |bench| edit(bench, "\"strategy.wasm\"", "\"absent\"")),
    case("an absent component", RUN, 64, |bench| edit(bench, "\"strategy.wasm\"", "\"absent.wasm\"")),
    case("a folder for a component", RUN, 64, |bench| {
        std::fs::remove_file(bench.path("strategy.wasm")).unwrap();
        std::fs::create_dir(bench.path("strategy.wasm")).unwrap();
    }),
    case("a component that is none", RUN, 64, |bench| put(bench, "strategy.wasm", "#!/bin/sh\n")),
    case("an empty component", RUN, 64, |bench| put(bench, "strategy.wasm", "")),
    case("a component cut short", RUN, 64, |bench| {
        let bytes = std::fs::read(bench.path("strategy.wasm")).unwrap();
        put(bench, "strategy.wasm", &bytes[..200]);
    }),
    // Data.
    case("an absent data set", RUN, 64, |bench| edit(bench, "\"digits\"", "\"cifar10\"")),
    case("a data set that was damaged", RUN, 64, damaged_set),
    case("a manifest that is none", RUN, 64, |bench| {
        edit(bench, "\"digits\"", "\"small\"");
        put(bench, "nasd-state/data/small/manifest.toml", "version = ");
    }),
    case("nothing to import", "data import a absent", 64, nothing),
    case("an empty folder to import", "data import a empty", 64, |bench| {
        std::fs::create_dir(bench.path("empty")).unwrap();
    }),
    case("a name that is reserved", "data import digits search.toml", 64, nothing),
    case("a file of no known format", "data import a search.toml", 64, nothing),
    case("an unknown format by name", "data import a search.toml --format jpeg", 64, nothing),
    case("CIFAR records cut short", "data import a cifar", 64, |bench| {
        put(bench, "cifar/data_batch_1.bin", &cifar(10)[..25_000]);
        put(bench, "cifar/test_batch.bin", cifar(10));
    }),
    case("a CIFAR label out of range", "data import a cifar", 64, |bench| {
        let mut train = cifar(10);
        train[2 * 3073] = 10;
        put(bench, "cifar/data_batch_1.bin", train);
        put(bench, "cifar/test_batch.bin", cifar(10));
    }),
    case("CIFAR without a test batch", "data import a cifar", 64, |bench| {
        put(bench, "cifar/data_batch_1.bin", cifar(10));
    }),
    case("idx images cut short", "data import a mnist", 64, |bench| {
        mnist(bench, |name, mut bytes| {
            bytes.truncate(if name == "train-images-idx3-ubyte" { 100 } else { bytes.len() });
            bytes
        });
    }),
    case("an idx file that begins wrongly", "data import a mnist", 64, |bench| {
        mnist(bench, |name, mut bytes| {
            bytes[2] = if name == "train-images-idx3-ubyte" { 13 } else { 8 };
            bytes
        });
    }),
    case("idx labels in another number", "data import a mnist", 64, |bench| {
        mnist(bench, |name, bytes| if name == "train-labels-idx1-ubyte" { idx(&[9]) } else { bytes });
    }),
    case("an image that is none", "data import a classes", 64, |bench| {
        for split in ["train", "test"] {
            put(bench, &format!("classes/{split}/cat/1.png"), "not an image");
        }
    }),
    case("an archive that is none", "data import a images.tar.xz", 64, |bench| put(bench, "images.tar.xz", "not xz")),
    case("an archive cut short", "data import a images.bin.xz", 64, |bench| {
        put(bench, "images.bin.xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01");
    }),
    case("an unknown set to verify", "data verify a", 64, nothing),
    // State folders and journals.
    case("a state folder below a file", "run --device null search.toml --state search.toml/state", 64, nothing),
    case("a state folder that is a file", "run --device null search.toml --state strategy.wasm", 64, nothing),
    case("no state folder to read", "journal digest test/1", 64, nothing),
    case("a run's name that is none", "journal digest test", 64, |bench| {
        std::fs::create_dir_all(bench.path("nasd-state/runs")).unwrap();
    }),
    case("a run that there is not", "journal digest test/7", 64, |bench| {
        std::fs::create_dir_all(bench.path("nasd-state/runs")).unwrap();
    }),
    case("a journal that is none", "journal digest test/1", 1, |bench| {
        put(bench, "nasd-state/runs/test/1/journal", "no journal at all, but long enough to be one");
    }),
    // Commands about spaces.
    case("costs of no file", "space cost darts-cnn --from absent", 64, nothing),
    case("costs of a line that is no architecture", "space cost nas-bench-201 --from list", 64, |bench| {
        put(bench, "list", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\n\n|none~0|\n");
    }),
    case("costs of bytes that are no text", "space cost nas-bench-201 --from list", 64, |bench| {
        put(bench, "list", b"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\n\xff\n");
    }),
    case(
        "an architecture that breaks a rule",
        "space show darts-cnn --architecture normal/node2/op0=none",
        64,
        nothing,
    ),
    case("an unknown device", "run --device gpu search.toml", 2, nothing),
    case("no trainers", "run --device null --trainers 0 search.toml", 2, nothing),
];

/// What is known grows: the lists are left out.
fn without_lists(error: &str) -> String {
    for begin in ["known are ", "expected one of "] {
        if let Some((before, _)) = error.split_once(begin) {
            return format!("{before}{begin}...\n");
        }
    }
    error.to_owned()
}

/// Everything below a folder, by path.
fn contents(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            found.push(entry.path().display().to_string());
        }
    }
    found.retain(|path| !path.contains("/cache"));
    found.sort();
    found
}

#[test]
fn bad_input_is_one_line_an_exit_code_and_nothing_written() {
    let mut said = String::new();
    let mut wrong = Vec::new();
    for Case { name, arrange, arguments, code } in CASES {
        let bench = Bench::new(SEARCH, "well-behaved");
        arrange(&bench);
        let before = contents(&bench.path(""));
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = bench.nasd(&arguments).current_dir(bench.path("")).output().unwrap();
        let folder = bench.path("").display().to_string();
        let error = String::from_utf8(output.stderr).unwrap().replace(folder.trim_end_matches('/'), "FOLDER");
        let error = without_lists(&error);
        writeln!(said, "{name}\n  $ nasd {}\n  {}", arguments.join(" "), error.trim_end().replace('\n', "\n  "))
            .unwrap();
        let n_lines = error.trim_end().lines().count();
        // Usage errors are clap's, with a hint below.
        let is_one_line = n_lines == 1 && error.starts_with("nasd: error: ") || *code == 2;
        if output.status.code() != Some(*code) || !is_one_line {
            wrong.push(format!("{name}: exit {:?}, {n_lines} lines: {error}", output.status.code()));
        }
        if contents(&bench.path("")) != before || !output.stdout.is_empty() && *code != 0 && !name.starts_with("costs")
        {
            wrong.push(format!("{name}: something was written"));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (found, expected)) in said.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "bad_input.txt:{}", line + 1);
    }
    assert_eq!(said.lines().count(), expected.lines().count());
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new(SEARCH, "well-behaved");
    std::fs::set_permissions(bench.path("search.toml"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(bench.path("search.toml")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let output = bench.run("state", &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(error.contains("search.toml: Permission denied"), "{error}");
}
