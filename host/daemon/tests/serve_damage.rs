//! The real binary as a daemon on a state folder that is damaged, torn or closed to it: it detects, names, recovers or
//! refuses, what it answers is never silently wrong, and one damaged run does not stop the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use serving::{Serving, bench, command, configure, log, submit};
use support::{Bench, SEARCH};

fn search(name: &str, jobs: u32) -> String {
    SEARCH.replace("\"test\"", &format!("{name:?}")).replace("jobs = 300", &format!("jobs = {jobs}"))
}

/// What the index answers about the runs `a/1` and `b/1`.
fn answers(daemon: &Serving) -> Vec<Value> {
    let mut answers = vec![daemon.ok("GET", "/v1/runs", &Value::Null)];
    for run in ["a/1", "b/1"] {
        for path in ["", "/jobs?limit=1000", "/curve"] {
            answers.push(daemon.ok("GET", &format!("/v1/runs/{run}{path}"), &Value::Null));
        }
    }
    answers
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, &to).unwrap();
        fs::set_permissions(&to, fs::metadata(&file).unwrap().permissions()).unwrap();
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x04;
    fs::write(path, bytes).unwrap();
}

/// A state folder with two runs that are over, and what a daemon answers about them.
fn two_runs(bench: &Bench) -> Vec<Value> {
    configure(bench, "kind = \"null\"\ntrainers = 4", 30);
    let daemon = Serving::start(bench, "state");
    for name in ["a", "b"] {
        submit(&daemon, bench, &search(name, 60));
        daemon.wait_for(&format!("{name}/1"), |run| run["state"] == "ended");
    }
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Serving::start(bench, "state");
    let answers = answers(&daemon);
    assert_eq!(daemon.terminate(), Some(0));
    answers
}

#[test]
fn an_index_with_flipped_bits_or_without_files_is_made_anew_and_answers_the_same() {
    let bench = bench();
    let expected = two_runs(&bench);
    // Where runs lie is part of some answers: every trial is made in the same place.
    let (state, whole) = (bench.path("state"), bench.path("whole"));
    fs::rename(&state, &whole).unwrap();
    let check = |what: &str, damage: &dyn Fn(&Path)| -> bool {
        let _ = fs::remove_dir_all(&state);
        copy(&whole, &state);
        damage(&state.join("results"));
        let daemon = Serving::start(&bench, "state");
        assert!(answers(&daemon) == expected, "{what}; {}", log(&bench));
        assert_eq!(daemon.terminate(), Some(0));
        let aside = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("results.broken-");
        fs::read_dir(&state).unwrap().flatten().any(aside)
    };
    assert!(!check("nothing", &|_| {}), "a sound index is used as it is");
    let mut n_aside = 0;
    let of_index: Vec<PathBuf> = files(&whole.join("results"))
        .iter()
        .map(|path| path.strip_prefix(whole.join("results")).unwrap().into())
        .collect();
    assert!(of_index.iter().any(|path| path.ends_with("db")), "{of_index:?}");
    for file in &of_index {
        let bytes = fs::read(whole.join("results").join(file)).unwrap();
        // Bytes that hold something, over the whole file: sled's are mostly zeros.
        let held: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        for share in [0, 1, 3, 5, 7] {
            let Some(&at) = held.get(held.len() * share / 8) else { continue };
            let flipped = |folder: &Path| flip(&folder.join(file), at);
            n_aside += u32::from(check(&format!("bit {at} of {}", file.display()), &flipped));
        }
        check(&format!("half of {}", file.display()), &|folder| {
            fs::write(folder.join(file), &bytes[..bytes.len() / 2]).unwrap();
        });
        check(&format!("no {}", file.display()), &|folder| fs::remove_file(folder.join(file)).unwrap());
    }
    assert!(n_aside > 0, "no flipped bit was noticed");
    assert!(log(&bench).contains("the result store is made anew from the journals"), "{}", log(&bench));
    check("no index", &|folder| fs::remove_dir_all(folder).unwrap());
    check("a file in its place", &|folder| {
        fs::remove_dir_all(folder).unwrap();
        fs::write(folder, "results").unwrap();
    });
}

/// Two runs under way, each with jobs told, and their daemon killed.
fn two_halves(bench: &Bench) {
    configure(bench, "kind = \"null:5\"\ntrainers = 4", 30);
    let daemon = Serving::start(bench, "state");
    for name in ["a", "b"] {
        submit(&daemon, bench, &search(name, 2000));
    }
    for name in ["a", "b"] {
        daemon.wait_for(&format!("{name}/1"), |run| run["jobs"].as_u64() > Some(60));
    }
    daemon.kill();
    configure(bench, "kind = \"null\"\ntrainers = 4", 30);
}

fn digest(bench: &Bench, state: &str, run: &str) -> std::process::Output {
    bench.nasd(&["journal", "digest", run, "--state"]).arg(bench.path(state)).output().unwrap()
}

#[test]
fn a_torn_end_of_a_journal_is_cut_off_and_the_run_goes_on_to_the_same_end() {
    let bench = bench();
    two_halves(&bench);
    let daemon = Serving::start(&bench, "whole");
    submit(&daemon, &bench, &search("a", 2000));
    daemon.wait_for("a/1", |run| run["state"] == "ended");
    assert_eq!(daemon.terminate(), Some(0));
    let journal = bench.path("state/runs/a/1/journal");
    let whole = fs::read(&journal).unwrap();
    // Less and less of the last frame, then something of another.
    for end in [whole.len() - 1, whole.len() - 7, whole.len() - 40] {
        fs::write(&journal, &whole[..end]).unwrap();
        let state = bench.path("trial");
        let _ = fs::remove_dir_all(&state);
        copy(&bench.path("state"), &state);
        let daemon = Serving::start(&bench, "trial");
        let ended = daemon.wait_for("a/1", |run| run["state"] == "ended");
        assert_eq!((&ended["jobs"], &ended["reason"]), (&json!(2000), &json!("done: the budget is used up")));
        daemon.wait_for("b/1", |run| run["state"] == "ended");
        assert_eq!(daemon.terminate(), Some(0));
        assert_eq!(digest(&bench, "trial", "a/1").stdout, digest(&bench, "whole", "a/1").stdout, "cut to {end}");
    }
}

#[test]
fn a_flipped_bit_in_a_journal_is_named_and_only_that_run_stands_still() {
    let bench = bench();
    two_halves(&bench);
    let journal = bench.path("state/runs/a/1/journal");
    let length = fs::metadata(&journal).unwrap().len() as usize;
    flip(&journal, length / 3);
    let damaged = fs::read(&journal).unwrap();
    for (what, has_index) in [("with its index", true), ("without", false)] {
        if !has_index {
            fs::remove_dir_all(bench.path("state/results")).unwrap();
        }
        let daemon = Serving::start(&bench, "state");
        daemon.wait_for("b/1", |run| run["state"] == "ended");
        let waiting = daemon.wait_for("a/1", |run| run["state"] == "waiting");
        let reason = waiting["reason"].as_str().unwrap();
        assert!(reason.contains("runs/a/1/journal") && reason.contains("is damaged at byte"), "{what}: {reason}");
        let listed = daemon.ok("GET", "/v1/runs", &Value::Null);
        let listed = listed["runs"].as_array().unwrap().iter().map(|run| &run["state"]);
        assert_eq!(listed.take(2).collect::<Vec<_>>(), ["waiting", "ended"], "{what}");
        // Events as far as they can be read, then why there are no more.
        let events = daemon.get("/v1/runs/a/1/events?follow=false");
        assert!(events.body.contains("event: error\n"), "{what}: {}", &events.body[events.body.len() - 300..]);
        // What is sound goes on meanwhile, also what begins now.
        if has_index {
            submit(&daemon, &bench, &search("c", 20));
            daemon.wait_for("c/1", |run| run["state"] == "ended");
        }
        assert_eq!(daemon.terminate(), Some(0), "{what}");
        assert!(fs::read(&journal).unwrap() == damaged, "{what}: nothing is written to it");
    }
    let refused = digest(&bench, "state", "a/1");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("runs/a/1/journal"), "{said}");
    // An operator can have done with it.
    let daemon = Serving::start(&bench, "state");
    daemon.wait_for("a/1", |run| run["state"] == "waiting");
    let stopped = daemon.send("POST", "/v1/runs/a/1/stop", &json!({ "by": "a test" }));
    assert!((200..300).contains(&stopped.status), "{stopped:?}");
    daemon.wait_for("a/1", |run| run["state"] == "ended" || run["state"] == "waiting");
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn a_flipped_bit_in_the_journal_of_a_run_that_is_over_is_found_by_who_reads_it() {
    let bench = bench();
    let expected = two_runs(&bench);
    let journal = bench.path("state/runs/a/1/journal");
    flip(&journal, fs::metadata(&journal).unwrap().len() as usize / 2);
    let daemon = Serving::start(&bench, "state");
    // The index knew it when it was whole.
    assert!(answers(&daemon) == expected, "{}", log(&bench));
    assert!(daemon.get("/v1/runs/a/1/events").body.contains("event: error\n"));
    let lines = daemon.get("/v1/runs/a/1/log");
    assert_eq!(lines.status, 500);
    assert!(lines.body.contains("runs/a/1/journal is damaged at byte"), "{lines:?}");
    assert_eq!(daemon.terminate(), Some(0));
    // Without it, what can be read is not passed off as a whole run.
    fs::remove_dir_all(bench.path("state/results")).unwrap();
    let daemon = Serving::start(&bench, "state");
    daemon.wait_for("b/1", |run| run["state"] == "ended");
    let run = daemon.wait_for("a/1", |run| run["state"] != "starting" && run["state"] != "running");
    assert_eq!(run["state"], "waiting", "{run}");
    assert!(run["reason"].as_str().unwrap().contains("runs/a/1/journal"), "{run}");
    assert!(log(&bench).contains("a journal cannot be read"), "{}", log(&bench));
    assert_eq!(daemon.terminate(), Some(0));
}

/// The daemon's exit code and what it said, where it is to refuse.
fn refuses(mut command: Command) -> (Option<i32>, String) {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_state_folder_that_cannot_be_written_is_refused_in_a_line_that_names_it() {
    let bench = bench();
    fs::write(bench.path("file"), "no folder").unwrap();
    let (code, said) = refuses(command(&bench, "file/state"));
    assert_eq!(code, Some(64), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("nasd: error: making ") && last.contains("/file/state failed"), "{said}");
    assert!(last.ends_with("--state names another state folder"), "{said}");

    // Root may write anywhere but where the file system is for reading only.
    two_runs(&bench);
    let before: Vec<(PathBuf, Vec<u8>)> =
        files(&bench.path("state")).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let inner = command(&bench, "state");
    let mut outer = Command::new("unshare");
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" || exit 99; exec \"$@\"";
    outer.args(["-m", "sh", "-c", script]).arg(bench.path("state")).arg(inner.get_program()).args(inner.get_args());
    outer.env("XDG_CACHE_HOME", bench.path("cache")).stdin(Stdio::null());
    let (code, said) = refuses(outer);
    if code == Some(99) || said.contains("unshare") {
        eprintln!("skipped: a read-only mount cannot be made here: {said}");
        return;
    }
    assert_eq!(code, Some(64), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("nasd: error: ") && last.contains(&*bench.path("state").to_string_lossy()), "{said}");
    for (path, bytes) in before {
        assert!(fs::read(&path).unwrap() == bytes, "{} was changed", path.display());
    }
}
