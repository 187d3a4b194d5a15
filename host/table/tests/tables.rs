//! The table that travels with nasd, and tables with something wrong in them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use nasd_protocol::Measure;
use nasd_table::{Parts, ResultTable, TableError, description_beside};

const DESCRIPTION: &str = r#"name = "small"
space = "space.toml"
file = "small.csv"
architecture = "arch"
complete = true

[[data-set]]
name = "a"
costs = { params = "size" }
seconds = { column = "time", epochs = 10 }

[[data-set.result]]
epochs = 5
validation = { accuracy = { column = "v5", scale = 0.01 } }

[[data-set.result]]
epochs = 10
validation = { accuracy = { column = "v10", scale = 0.01, separator = "|" } }
test = { accuracy = { column = "t10", scale = 0.01 } }
"#;

const SPACE: &str = r#"name = "two"
family = "parameters"
[[parameter]]
name = "kind"
kind = "choice"
options = ["x", "y"]
[[parameter]]
name = "n"
kind = "integer"
low = 1
high = 2
when = { parameter = "kind", options = ["y"] }
"#;

const CSV: &str = "arch,size,time,v5,v10,t10\nkind=x,100,20,50,70|80,74\n\"kind=y, n=1\",200,40,60,85,84\n\"kind=y, n=2\",300,60,55,90|91|92,88\n";

fn read(description: &str, csv: &str) -> Result<ResultTable, TableError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("space.toml"), SPACE).unwrap();
    std::fs::write(folder.path().join("small.csv"), csv).unwrap();
    std::fs::write(folder.path().join("small.toml"), description).unwrap();
    ResultTable::read(&folder.path().join("small.toml"))
}

/// Its one line, without the folder that [`read`] made.
fn error(description: &str, csv: &str) -> String {
    let error = read(description, csv).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    let short = |word: &str| match (word.starts_with('/'), word.rsplit_once('/')) {
        (true, Some((_, name))) => name.to_owned(),
        _ => word.to_owned(),
    };
    error.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn any_csv_of_architectures_and_results_is_a_table() {
    let table = read(DESCRIPTION, CSV).unwrap();
    let architecture = table.space().parse_architecture("kind=y, n=2").unwrap();
    let row = table.row(&architecture).unwrap();
    let set = table.data_set("a").unwrap();
    assert_eq!((table.len(), set.fidelities()), (3, vec![5, 10]));
    assert_eq!((set.seconds(row, 10), set.seconds(row, 5)), (60.0, 30.0));
    assert_eq!(set.costs(row), [Measure::new("params", 300.0)]);
    assert_eq!(set.validation(row, 10).unwrap(), [Measure::new("accuracy", 0.91)]);
    assert_eq!((set.test(row, 10).unwrap(), set.test(row, 5).unwrap()), (vec![Measure::new("accuracy", 0.88)], vec![]));
    assert_eq!(set.validation(row, 7), None);
    assert_eq!((set.optimum("accuracy", true, true), set.optimum("accuracy", false, false)), (Some(0.88), Some(0.75)));
    assert!(table.data_set("b").unwrap_err().to_string().contains("it has: a"));
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_remedy() {
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "a missing row",
            "\"kind=y, n=1\",200,40,60,85,84\n",
            "",
            "small.toml:5: small.csv has 2 rows and none for `kind=y, n=1`; add it",
        ),
        (
            "a doubled row",
            "\"kind=y, n=2\"",
            "\"kind=y, n=1\"",
            "small.csv:4: `kind=y, n=1` has a row already, at line 3; remove",
        ),
        (
            "a NaN",
            "90|91|92",
            "90|nan|92",
            "small.csv:4: column `v10` holds `90|nan|92`, which is no finite number; correct",
        ),
        ("an infinity", ",60,85", ",inf,85", "small.csv:3: column `v5` holds `inf`"),
        ("an empty cell", ",100,", ",,", "small.csv:2: column `size` holds ``"),
        ("an unknown architecture", "kind=x", "kind=z", "small.csv:2: architecture `kind=z`"),
        (
            "what to do about it",
            "kind=x",
            "kind=z",
            "it is no architecture of the space two: correct it, remove the row, or name another `space`",
        ),
        (
            "a training that takes no time",
            "\"kind=y, n=1\",200,40",
            "\"kind=y, n=1\",200,0",
            "small.csv:3: column `time` holds `0`, but a training takes more than 0 seconds; correct it or remove",
        ),
        ("a training that takes less", ",40,", ",-4,", "small.csv:3: column `time` holds `-4`, but"),
        ("a number too large once changed", "90|91|92", "1e308|1e308", "small.csv:4: column `v10` holds"),
        ("a doubled column", "size,time", "time,time", "small.toml:9: small.csv has no column `size`"),
        ("a doubled column that is used", "v5,v10", "v5,v5", "small.csv:1: two columns are named `v5`; rename one"),
        ("an architecture that breaks a condition", "\"kind=y, n=1\"", "\"kind=x, n=1\"", "small.csv:3: "),
        (
            "a wrong column name",
            "arch,size",
            "arch,sizes",
            "small.toml:9: small.csv has no column `size`; its columns are arch, sizes, time, v5, v10, t10; name one of these",
        ),
        (
            "a short record",
            "kind=x,100,20,50,70|80,74",
            "kind=x,100",
            "small.csv:2: the row has 2 cells and the header 6; add",
        ),
    ];
    for (what, from, to, expected) in cases {
        let csv = CSV.replacen(from, to, 1);
        assert_ne!(csv, CSV, "{what}");
        let error = error(DESCRIPTION, &csv);
        assert!(error.contains(expected), "{what}: {error}");
    }
    let cases = [
        ("epochs = 5", "epochs = 50", "small.toml:12: results of `a` are not at ascending epochs: [50, 10]"),
        ("architecture = \"arch\"\n", "", "missing field `architecture`"),
        ("complete", "completed", "small.toml:5: unknown field `completed`"),
        (
            "\"v5\", scale = 0.01",
            "\"v5\", scale = inf",
            "small.toml:14: scale = inf of `v5`; a factor is a finite number",
        ),
        ("\"t10\", scale = 0.01", "\"t10\", scale = nan", "small.toml:19: scale = NaN of `t10`"),
        ("\"space.toml\"", "\"other.toml\"", "small.toml:2: other.toml: No such file or directory (os error 2); put"),
        ("\"space.toml\"", "\"cells\"", "small.toml:2: cells: no such preset"),
        ("file = \"small.csv\"", "file = \"other.csv\"", "other.csv: No such file"),
    ];
    for (from, to, expected) in cases {
        let error = error(&DESCRIPTION.replacen(from, to, 1), CSV);
        assert!(error.contains(expected), "{error}");
    }
    assert!(ResultTable::read(Path::new("nowhere.toml")).unwrap_err().to_string().contains("nowhere.toml"));
}

#[test]
fn an_incomplete_table_may_lack_rows() {
    let csv = CSV.replacen("\"kind=y, n=1\",200,40,60,85,84\n", "", 1);
    let table = read(&DESCRIPTION.replacen("complete = true", "complete = false", 1), &csv).unwrap();
    let missing = table.space().parse_architecture("kind=y, n=1").unwrap();
    assert_eq!((table.len(), table.row(&missing)), (2, None));
}

#[test]
fn nas_bench_201_is_whole_and_says_what_its_paper_says() {
    let table = ResultTable::embedded("nas-bench-201").unwrap().unwrap();
    assert_eq!(table.len(), 15_625);
    // Optimum of the paper's table 5: validation and test accuracy in percent.
    for (name, validation, test) in
        [("cifar-10", 91.61, 94.37), ("cifar-100", 73.49, 73.51), ("imagenet16-120", 46.77, 47.31)]
    {
        let set = table.data_set(name).unwrap();
        let percent = |is_test| (set.optimum("accuracy", is_test, true).unwrap() * 1e4).round() / 100.0;
        assert!((percent(true) - test).abs() < 0.011, "{name}: {}", percent(true));
        // Some cells have two seeds of validation results where the paper has three.
        assert!((percent(false) - validation).abs() < 0.3, "{name}: {}", percent(false));
    }
    let text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|";
    let row = table.row(&table.space().parse_architecture(text).unwrap()).unwrap();
    let set = table.data_set("cifar-10").unwrap();
    assert_eq!(set.validation(row, 12).unwrap(), [Measure::new("accuracy", 0.63364)]);
    assert!((set.seconds(row, 12) - 1444.219 * 0.06).abs() < 1e-9);
    assert_eq!(Measure::find(&set.costs(row), "params"), Some(129_306.0));
    assert!(ResultTable::embedded("nas-bench-101").is_none());
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let wrong = CSV.replacen("200,40", "200,0", 1);
    let blank = wrong.replacen("\nkind=x", "\n\n\nkind=x", 1).replacen("\n\"kind=y, n=1", "\n\n\"kind=y, n=1", 1);
    for (csv, line) in [
        (wrong.clone(), 3),
        (blank.clone(), 6),
        (blank.replace('\n', "\r\n"), 6),
        (blank.replace('\n', "\r"), 6),
        (format!("\n{wrong}"), 4),
        (wrong.replacen("size", "\"si\nze\"", 1), 4),
    ] {
        let description = DESCRIPTION.replacen("costs = { params = \"size\" }\n", "", 1);
        let error = error(&description, &csv);
        assert!(error.starts_with(&format!("small.csv:{line}: column `time`")), "{csv:?}: {error}");
    }
}

#[test]
fn a_data_set_has_one_name() {
    let (_, set) = DESCRIPTION.split_once("\n\n").unwrap();
    let error = error(&format!("{DESCRIPTION}\n{set}"), CSV);
    assert_eq!(error, "small.toml:22: two [[data-set]] are named `a`; rename or remove one of the two");
}

#[test]
fn a_table_of_a_space_that_cannot_be_enumerated_does_not_claim_to_be_complete() {
    let real =
        "name = \"r\"\nfamily = \"parameters\"\n[[parameter]]\nname = \"x\"\nkind = \"real\"\nlow = 0.0\nhigh = 1.0\n";
    let large = real.replace("\"real\"\nlow = 0.0\nhigh = 1.0", "\"integer\"\nlow = 1\nhigh = 1000001");
    let parts = |space: &str, description: &str| Parts {
        description: description.to_owned(),
        description_label: "small.toml".into(),
        csv: "arch,size,time,v5,v10,t10\nx=1,100,20,50,70,74\n".into(),
        csv_label: "small.csv".into(),
        space: Some((space.to_owned(), "space.toml".into())),
    };
    for (space, expected) in [(real, "`x` is a real number"), (large.as_str(), "its space is too large")] {
        let error = parts(space, DESCRIPTION).table().unwrap_err().to_string();
        let starts = format!("small.toml:5: this cannot be checked: {expected}");
        assert!(error.starts_with(&starts) && error.ends_with("; set `complete = false`"), "{error}");
        let open = DESCRIPTION.replacen("complete = true", "complete = false", 1);
        assert_eq!(parts(space, &open).table().unwrap().len(), 1);
    }
}

#[test]
fn a_table_whose_space_file_changes_is_another() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("space.toml", SPACE), ("small.csv", CSV), ("small.toml", DESCRIPTION)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let parts = Parts::read(&folder.path().join("small.toml")).unwrap();
    let mut other = parts.clone();
    other.space = Some((format!("# a remark\n{SPACE}"), "space.toml".into()));
    assert_ne!(parts.table().unwrap().digest(), other.table().unwrap().digest());

    // Whoever imports it gives the CSV's place; errors name it.
    let elsewhere = folder.path().join("bad.csv");
    std::fs::write(&elsewhere, "arch\n").unwrap();
    let parts = Parts::gather(DESCRIPTION.into(), "columns.toml", folder.path(), Some(&elsewhere)).unwrap();
    let error = parts.table().unwrap_err().to_string();
    assert!(error.starts_with(&format!("columns.toml:9: {} has no column `size`", elsewhere.display())), "{error}");
}

#[test]
fn a_description_lies_beside_its_csv_however_the_suffix_is_written() {
    for csv in ["in/Y.csv", "in/Y.CSV", "in/Y.csv.xz", "in/Y.Csv.XZ"] {
        assert_eq!(description_beside(Path::new(csv)), Path::new("in/Y.toml"), "{csv}");
    }
    assert_eq!(description_beside(Path::new("a.b.csv")), Path::new("a.b.toml"));
    assert_eq!(description_beside(Path::new("results.dat")), Path::new("results.dat.toml"));
}
