//! The real binary on tasks that train nothing: tables of known results, test functions, external programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const TABLE: &str = r#"
name = "test"
[task]
kind = "table"
table = "nas-bench-201"
data-set = "cifar-10"
fidelity = 12
[strategy]
component = "strategy.wasm"
[budget]
simulated-seconds = 12000.0
[scheduling]
slots = 4
"#;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// With random search, where it is built.
    fn new(search: &str) -> Option<Self> {
        let strategy = support::built("random")?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("search.toml"), search).unwrap();
        std::fs::write(folder.path().join("strategy.wasm"), strategy).unwrap();
        Some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn nasd(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
        command.args(arguments).current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.nasd(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[&["--json"], arguments].concat())).unwrap()
    }

    fn journal(&self, state: &str) -> Vec<Value> {
        let text = self.text(&["journal", "print", "test/1", "--state", state]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_table_answers_and_its_seconds_are_the_searchs_clock() {
    let Some(bench) = Bench::new(TABLE) else { return };
    let one = bench.json(&["run", "search.toml", "--state", "one", "--trainers", "1"]);
    let two = bench.json(&["run", "search.toml", "--state", "two", "--trainers", "2"]);
    assert_eq!(one["digest"], two["digest"]);
    assert_eq!(one["cost_unit"], "simulated seconds");
    // Four virtual slots share one clock: four times the seconds of one slot, give or take what was in flight.
    let cost = one["cost"].as_f64().unwrap();
    assert!((44_000.0..50_000.0).contains(&cost), "{cost}");
    let tested: Vec<&str> =
        one["finals"][0]["test"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(tested, ["cifar-10/accuracy", "cifar-100/accuracy", "imagenet16-120/accuracy"]);
}

#[test]
fn epochs_are_epochs_though_the_clock_counts_seconds() {
    let Some(bench) = Bench::new(&TABLE.replace("simulated-seconds = 12000.0", "epochs = 120.0")) else { return };
    let summary = bench.json(&["run", "search.toml", "--state", "state"]);
    assert_eq!(summary["jobs"], 10);
}

#[test]
fn what_a_strategy_is_told_holds_no_test_results() {
    let Some(bench) = Bench::new(TABLE) else { return };
    bench.json(&["run", "search.toml", "--state", "state"]);
    let arrived: Vec<Value> =
        bench.journal("state").into_iter().filter(|record| record["event"] == "arrived").collect();
    assert!(arrived.len() > 300, "{}", arrived.len());
    for record in &arrived {
        let event = record;
        let names: BTreeSet<&str> = event["outcome"]["trained"]["measures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|measure| measure["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, BTreeSet::from(["accuracy"]), "{record}");
        assert_eq!(event["test"][0]["name"], "accuracy");
    }
}

#[test]
fn repetitions_have_seeds_of_their_own_and_are_the_same_on_one_thread_and_on_two() {
    let Some(bench) = Bench::new(TABLE) else { return };
    let run = |state: &str, parallel: &str| {
        let arguments = ["run", "search.toml", "--repeat", "6", "--parallel", parallel, "--state", state];
        let mut document = bench.json(&arguments);
        assert!(bench.path(state).join("comparisons/test/best-so-far.png").is_file());
        assert!(!bench.path(state).join("runs").exists(), "journals of repetitions were written");
        document["report"].take();
        document
    };
    let one = run("one", "1");
    assert_eq!(one, run("two", "2"));
    let repetitions = one["searches"][0]["repetitions"].as_array().unwrap();
    let seeds: BTreeSet<u64> = repetitions.iter().map(|one| one["seed"].as_u64().unwrap()).collect();
    assert_eq!((repetitions.len(), seeds.len()), (6, 6));

    // A kept repetition is the same search.
    let kept = bench.json(&["run", "search.toml", "--repeat", "2", "--keep-journals", "--state", "kept"]);
    for (kept, simulated) in kept["searches"][0]["repetitions"].as_array().unwrap().iter().zip(repetitions) {
        for key in ["seed", "jobs", "found", "cost", "test"] {
            assert_eq!(kept[key], simulated[key], "{key}");
        }
    }
    assert!(bench.path("kept").join("runs/test/2/journal").is_file());
}

#[test]
fn nothing_infeasible_is_trained_and_the_front_is_what_brute_force_finds() {
    let objectives = "objectives = [{ metric = \"accuracy\", goal = \"maximize\" }, { metric = \"latency\", goal = \"minimize\" }]\nconstraints = [{ metric = \"params\", at-most = 500000.0 }]\n";
    let Some(bench) = Bench::new(&format!("{objectives}{TABLE}")) else { return };
    bench.json(&["run", "search.toml", "--state", "state"]);
    let records = bench.journal("state");
    let number = |measures: &Value, name: &str| {
        let measures = measures.as_array().unwrap();
        measures.iter().find(|measure| measure["name"] == name).map(|measure| measure["value"].as_f64().unwrap())
    };
    let mut trained = Vec::new();
    for record in records.iter().filter(|record| record["event"] == "arrived") {
        let measures = &record["outcome"]["trained"]["measures"];
        let point = (number(measures, "accuracy").unwrap(), number(measures, "latency").unwrap());
        trained.push((record["job"].as_u64().unwrap(), point));
    }
    assert!(trained.len() > 100, "{}", trained.len());
    let dispatched = records.iter().filter(|record| record["event"] == "dispatched").count();
    assert_eq!(dispatched, trained.len(), "what is refused is not dispatched");

    let report = std::fs::read_to_string(bench.path("state/runs/test/1/report.md")).unwrap();
    let front = report.split("## Pareto front of accuracy, latency").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> =
        front.lines().filter(|line| line.starts_with("| ")).skip(2).map(|line| line.split(" | ").collect()).collect();
    let shown: BTreeSet<u64> = rows.iter().map(|row| row[0].trim_matches(['|', ' ']).parse().unwrap()).collect();
    let mut brute = BTreeSet::new();
    for (job, (accuracy, latency)) in &trained {
        let is_beaten = trained
            .iter()
            .any(|(other, (a, l))| a >= accuracy && l <= latency && (a > accuracy || l < latency || other < job));
        if !is_beaten {
            brute.insert(*job);
        }
    }
    assert_eq!(shown, brute);
    for row in rows {
        assert!(row[4].replace(',', "").parse::<f64>().unwrap() <= 500_000.0, "{row:?}");
    }
}

#[test]
fn nothing_is_proposed_while_it_is_in_flight() {
    for strategy in ["random", "regularized-evolution", "reinforce", "local-search", "tpe"] {
        let Some(component) = support::built(strategy) else { return };
        let Some(bench) = Bench::new(TABLE) else { return };
        std::fs::write(bench.path("strategy.wasm"), component).unwrap();
        bench.json(&["run", "search.toml", "--state", "state"]);
        let mut in_flight: Vec<(u64, Value)> = Vec::new();
        let (mut most, mut next) = (0, 1);
        for record in bench.journal("state") {
            if record["event"] == "told" {
                in_flight.retain(|(job, _)| record["job"] != *job);
            }
            for proposal in record["answer"]["work"].as_array().into_iter().flatten() {
                let architecture = proposal["work"]["train"]["architecture"].clone();
                assert!(architecture.is_array(), "{proposal}");
                let is_in_flight = in_flight.iter().any(|(_, other)| *other == architecture);
                assert!(!is_in_flight, "{strategy} proposed {architecture} twice");
                in_flight.push((next, architecture));
                next += 1;
            }
            most = most.max(in_flight.len());
        }
        assert_eq!(most, 4, "{strategy}");
    }
}

#[test]
fn an_imported_table_is_searched_like_nasds_own() {
    let Some(bench) = Bench::new(
        "name = \"test\"\n[task]\nkind = \"table\"\ntable = \"mine\"\ndata-set = \"a\"\n[strategy]\ncomponent = \"strategy.wasm\"\nparameters = { unique = false }\n[budget]\njobs = 8\n",
    ) else {
        return;
    };
    let space =
        "name = \"two\"\nfamily = \"parameters\"\n[[parameter]]\nname = \"n\"\nkind = \"integer\"\nlow = 1\nhigh = 3\n";
    let columns = "name = \"x\"\nspace = \"SPACE\"\nfile = \"x.csv\"\narchitecture = \"n\"\ncomplete = true\n[[data-set]]\nname = \"a\"\nseconds = { column = \"s\", epochs = 4 }\n[[data-set.result]]\nepochs = 4\nvalidation = { accuracy = \"v\" }\n";
    let space_file = bench.path("space.toml");
    std::fs::write(&space_file, space).unwrap();
    std::fs::write(bench.path("x.toml"), columns.replace("SPACE", space_file.to_str().unwrap())).unwrap();
    std::fs::write(bench.path("x.csv"), "n,s,v\nn=1,10,0.5\nn=2,20,0.75\n").unwrap();

    let output = bench.nasd(&["data", "import", "mine", "x.csv"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("x.csv has 2 rows and none for `n=3`; add it"), "{error}");
    assert!(!bench.path("nasd-state/data/mine").exists(), "something was left");

    std::fs::write(bench.path("x.csv"), "n,s,v\nn=1,10,0.5\nn=2,20,0.75\nn=3,30,0.625\n").unwrap();
    bench.text(&["data", "import", "mine", "x.csv"]);
    assert!(bench.text(&["data", "list"]).contains("mine: table of 3 architectures of two; a (4 epochs)"));
    let summary = bench.json(&["run", "search.toml"]);
    assert_eq!((&summary["data"], &summary["jobs"]), (&Value::from("mine/a"), &Value::from(8)));
    assert_eq!(summary["best"][0]["value"], 0.75);
}

#[test]
fn a_test_function_is_minimised() {
    let Some(bench) = Bench::new(
        "name = \"test\"\n[task]\nkind = \"function\"\nfunction = \"branin\"\n[strategy]\ncomponent = \"strategy.wasm\"\n[budget]\njobs = 200\n",
    ) else {
        return;
    };
    let summary = bench.json(&["run", "search.toml"]);
    assert_eq!((&summary["objective"], &summary["cost_unit"]), (&Value::from("loss"), &Value::from("evaluations")));
    // Branin's minimum is 0.398; random points alone come close within 200.
    let best = summary["best"][0]["value"].as_f64().unwrap();
    assert!((0.397..5.0).contains(&best), "{best}");
}

#[test]
fn an_external_program_trains() {
    let Some(bench) = Bench::new(
        "name = \"test\"\nspace = \"space.toml\"\n[task]\nkind = \"command\"\ncommand = [\"./train.sh\"]\n[strategy]\ncomponent = \"strategy.wasm\"\nparameters = { unique = false }\n[budget]\njobs = 12\n[scheduling]\nslots = 3\n",
    ) else {
        return;
    };
    let space =
        "name = \"one\"\nfamily = \"parameters\"\n[[parameter]]\nname = \"n\"\nkind = \"integer\"\nlow = 1\nhigh = 4\n";
    std::fs::write(bench.path("space.toml"), space).unwrap();
    // Fails where n is 4.
    let script = "#!/bin/sh\nread -r parameters\nn=${parameters#*:}; n=${n%\\}}\n[ \"$n\" = 4 ] && { echo too large >&2; exit 1; }\necho \"{\\\"accuracy\\\": 0.$n, \\\"test\\\": {\\\"accuracy\\\": 0.1}}\"\n";
    std::fs::write(bench.path("train.sh"), script).unwrap();
    Command::new("chmod").arg("+x").arg(bench.path("train.sh")).status().unwrap();
    let one = bench.json(&["run", "search.toml", "--state", "one", "--trainers", "1"]);
    let three = bench.json(&["run", "search.toml", "--state", "three", "--trainers", "3"]);
    assert_eq!(one["digest"], three["digest"]);
    assert_eq!((one["jobs"].as_u64(), one["best"][0]["value"].as_f64()), (Some(12), Some(0.3)));
    let failed = one["failed"].as_u64().unwrap();
    assert!((1..12).contains(&failed), "{failed}");
    let report = std::fs::read_to_string(bench.path("one/runs/test/1/report.md")).unwrap();
    assert!(report.contains("too large"), "{report}");
}

#[test]
fn a_search_of_a_table_killed_again_and_again_ends_as_if_it_had_not_been() {
    let long =
        TABLE.replace("12000.0", "200000.0").replace("[strategy]", "[strategy]\nparameters = { unique = false }");
    let Some(bench) = Bench::new(&long) else { return };
    let whole = bench.json(&["run", "search.toml", "--state", "whole"]);
    let mut n_killed = 0;
    for attempt in 0..12u64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
        command.args(["run", "search.toml", "--state", "killed"]).current_dir(bench.folder.path());
        command.env("XDG_CACHE_HOME", bench.path("cache")).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(180 + 25 * attempt));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        n_killed += 1;
    }
    assert!(n_killed > 0, "the run was over before it could be killed");
    bench.json(&["run", "search.toml", "--state", "killed"]);
    assert_eq!(bench.text(&["journal", "digest", "test/1", "--state", "killed"]).trim(), whole["digest"]);
}

#[test]
fn a_cost_alone_can_be_the_objective() {
    let objective = "objectives = [{ metric = \"latency\", goal = \"minimize\" }]\n";
    let Some(bench) = Bench::new(&format!("{objective}{TABLE}")) else { return };
    let summary = bench.json(&["run", "search.toml", "--state", "state"]);
    assert_eq!(summary["objective"], "latency");
    assert!(summary["best"][0]["value"].as_f64().unwrap() < 0.01, "{}", summary["best"][0]);
    assert_eq!(summary["recommended"].as_array().unwrap().len(), 1);
}

#[test]
fn a_result_without_the_objective_is_a_failed_job() {
    let search = "name = \"test\"\nspace = \"space.toml\"\n[task]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"echo '{\\\"acc\\\": 1}'\"]\n[strategy]\ncomponent = \"strategy.wasm\"\nparameters = { unique = false }\n[budget]\njobs = 3\n";
    let Some(bench) = Bench::new(search) else { return };
    let space =
        "name = \"one\"\nfamily = \"parameters\"\n[[parameter]]\nname = \"n\"\nkind = \"integer\"\nlow = 1\nhigh = 4\n";
    std::fs::write(bench.path("space.toml"), space).unwrap();
    let output = bench.nasd(&["run", "search.toml", "--state", "state"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let journal = bench.text(&["journal", "print", "test/1", "--state", "state"]);
    assert!(journal.contains("the result has no measure `accuracy`; it has: acc"), "{error}");
}

#[test]
fn kept_repetitions_are_gone_on_with_and_not_done_twice() {
    let Some(bench) = Bench::new(TABLE) else { return };
    let arguments = ["run", "search.toml", "--repeat", "4", "--keep-journals", "--state", "state"];
    let first = bench.json(&arguments);
    std::fs::remove_dir_all(bench.path("state/runs/test/3")).unwrap();
    let second = bench.json(&arguments);
    assert_eq!(first["searches"], second["searches"]);
    let mut runs: Vec<_> = std::fs::read_dir(bench.path("state/runs/test"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    runs.sort();
    assert_eq!(runs.len(), 4, "{runs:?}");
}

#[test]
fn a_strategy_is_watched_beside_the_searchs_own() {
    let Some(bench) = Bench::new(TABLE) else { return };
    let Some(component) = support::built("regularized-evolution") else { return };
    std::fs::write(bench.path("mine.wasm"), component).unwrap();
    let watch = |strategy: &str, more: &[&str]| {
        let arguments = ["strategy", "watch", strategy, "search.toml", "--once", "--repeat", "20", "--state", "state"];
        bench.nasd(&[&arguments, more].concat())
    };
    let output = watch("mine.wasm", &["--parameters", "{ population = 10, sample = 3 }"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("regularized-evolution: ") && text.contains(" points over random, paired p"), "{text}");
    assert!(bench.path("state/comparisons/watch-regularized-evolution/best-so-far.png").is_file());
    let cases: &[(&str, &[&str], &str)] = &[
        ("absent.wasm", &[], "there is no such file"),
        ("search.toml", &[], "name a component (*.wasm) or the folder of a crate"),
        ("mine.wasm", &["--parameters", "{ populaton = 10 }"], "populaton"),
    ];
    for (strategy, more, expected) in cases {
        let output = watch(strategy, more);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(expected), "{error}");
    }
}

#[test]
fn searches_of_another_protocol_are_not_shown_beside_the_published() {
    let Some(bench) = Bench::new(TABLE) else { return };
    std::fs::write(bench.path("other.toml"), TABLE.replace("12000.0", "24000.0")).unwrap();
    let run = |files: &[&str]| bench.text(&[&["run"], files, &["--repeat", "3", "--state", "state"]].concat());
    assert!(run(&["search.toml"]).contains("Dong and Yang 2020"));
    let different = run(&["search.toml", "other.toml"]);
    assert!(!different.contains("Dong and Yang 2020"), "{different}");
    assert!(different.contains("the searches differ in budget") && different.contains("test (2)"), "{different}");
}

#[test]
fn bad_tasks_are_one_line_and_exit_code_64() {
    let cases: &[(&str, &str, &str)] = &[
        ("\"nas-bench-201\"", "\"nas-bench-101\"", "there is no table `nas-bench-101`; there are: nas-bench-201"),
        ("\"cifar-10\"", "\"cifar\"", "has no data set `cifar`; it has: cifar-10, cifar-100"),
        ("fidelity = 12", "fidelity = 13", "the table knows trainings of [12, 200] epochs"),
        ("name = \"test\"", "name = \"test\"\nspace = \"darts-cnn\"", "leave `space` out"),
        ("kind = \"table\"", "kind = \"tables\"", "search.toml:4: there is no task of kind `tables`"),
        (
            "name = \"test\"",
            "name = \"test\"\nobjectives = [{ metric = \"acuracy\", goal = \"maximize\" }]",
            "search.toml:3: this task has no measure `acuracy`; it has: accuracy, flops, latency, params",
        ),
        (
            "name = \"test\"",
            "name = \"test\"\nconstraints = [{ metric = \"accuracy\", at-least = 0.5 }]",
            "search.toml:3: constraints are on what is known before a training; `accuracy` is no cost of this task",
        ),
        ("name = \"test\"", "name = \"test\"\nconstraints = [{ metric = \"params\" }]", "`params` has no limit"),
        (
            "slots = 4\n",
            "slots = 4\n[approximation]\ndata-fraction = 0.5\n",
            "approximation.data-fraction: this task trains no networks",
        ),
        (
            "kind = \"table\"\ntable = \"nas-bench-201\"\ndata-set = \"cifar-10\"\nfidelity = 12",
            "kind = \"function\"\nfunction = \"branen\"",
            "there is no test function `branen`; there are:",
        ),
        (
            "kind = \"table\"\ntable = \"nas-bench-201\"\ndata-set = \"cifar-10\"\nfidelity = 12",
            "kind = \"command\"\ncommand = []",
            "command is empty",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(TABLE.contains(from), "{from}");
        let Some(bench) = Bench::new(&TABLE.replacen(from, to, 1)) else { return };
        let output = bench.nasd(&["run", "search.toml", "--state", "state"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(error.contains(expected) && error.trim_end().lines().count() == 1, "{error}");
        assert!(!bench.path("state").exists(), "{to}: something was written");
    }
}
