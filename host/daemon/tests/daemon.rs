//! The daemon's core in one process, with a clock of the test's own: which runs there are, when they begin, what is
//! changed in them, and that none of it is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;
#[path = "support/world.rs"]
mod world;

use std::{sync::atomic::Ordering, time::Duration};

use nasd::serve::{
    daemon::Daemon,
    queries::RunFilter,
    refusal::RefusalKind,
    views::{ForkOrder, RunState, Submission, SwapOrderView, SwapView},
};
use nasd_protocol::Event;
use nasd_store::{RunId, fault::FaultyFiles};
use support::{assemble, built};
use world::{SEARCH, World, block_on, digest, records, run_id, state_of, told, wait_for};

#[test]
fn a_search_file_is_run_once_and_a_changed_one_again() {
    block_on(async {
        let world = World::new();
        world.write("a", &SEARCH.replace("NAME", "a"));
        let daemon = world.start();
        state_of(&daemon, "a/1", RunState::Ended).await;
        World::end(daemon).await;
        let daemon = world.start();
        state_of(&daemon, "a/1", RunState::Ended).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(daemon.runs(&RunFilter::default()).unwrap().runs.len(), 1, "a finished search is not run again");
        world.write("a", &SEARCH.replace("NAME", "a").replace("fidelity = 2", "fidelity = 3"));
        daemon.scan();
        state_of(&daemon, "a/2", RunState::Ended).await;
        assert_eq!(told(&records(&daemon, "a/2")), (1..=40).collect::<Vec<_>>());
        World::end(daemon).await;
    });
}

#[test]
fn a_bad_file_is_reported_and_the_last_good_one_stays() {
    block_on(async {
        let world = World::new();
        world.write("a", &SEARCH.replace("NAME", "a"));
        world.write("b", "name = 3");
        let daemon = world.start();
        state_of(&daemon, "a/1", RunState::Ended).await;
        let error = |name: &str| daemon.search(name).unwrap().error.unwrap();
        assert!(error("b").contains("b.toml:1: "), "{}", error("b"));
        world.write("a", "name = \"a\"\nspace = ");
        daemon.scan();
        assert!(error("a").contains("a.toml:2"), "{}", error("a"));
        daemon.rerun("a", &Default::default()).unwrap();
        state_of(&daemon, "a/2", RunState::Ended).await;
        assert_eq!(digest(&daemon, "a/1"), digest(&daemon, "a/2"));
        // Two files of one name, a file that is removed, an editor's own file.
        world.write("b", &SEARCH.replace("NAME", "a"));
        world.write(".a", &SEARCH.replace("NAME", "hidden"));
        std::fs::remove_file(world.searches().join("a.toml")).unwrap();
        daemon.scan();
        assert!(
            daemon.search("a").unwrap().is_removed || daemon.search("a").unwrap().file.unwrap().ends_with("b.toml")
        );
        assert_eq!(daemon.search("hidden").unwrap_err().kind, RefusalKind::NotFound);
        World::end(daemon).await;
    });
}

#[test]
fn a_run_that_is_paused_ended_and_taken_up_ends_as_if_nothing_had_been() {
    block_on(async {
        let mut world = World::new();
        let text = SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 150");
        world.write("a", &text);
        let daemon = world.start();
        state_of(&daemon, "a/1", RunState::Ended).await;
        let whole = digest(&daemon, "a/1");
        World::end(daemon).await;

        world.files = FaultyFiles::new().shared();
        world.pause = 3;
        let daemon = world.start();
        let run = run_id("a/1");
        wait_for("some jobs", || (daemon.run(&run).ok()?.run.jobs > 20).then_some(())).await;
        daemon.pause(&run).unwrap();
        let paused = state_of(&daemon, "a/1", RunState::Paused).await;
        World::end(daemon).await;
        let daemon = world.start();
        let still = state_of(&daemon, "a/1", RunState::Paused).await;
        assert_eq!(paused.jobs, still.jobs);
        daemon.resume(&run).unwrap();
        wait_for("more jobs", || (daemon.run(&run).ok()?.run.jobs > paused.jobs + 20).then_some(())).await;
        World::end(daemon).await;
        world.pause = 0;
        let daemon = world.start();
        state_of(&daemon, "a/1", RunState::Ended).await;
        assert_eq!(digest(&daemon, "a/1"), whole);
        World::end(daemon).await;
    });
}

#[test]
fn a_stopped_run_is_over_and_reported_and_nothing_can_be_wanted_of_it() {
    block_on(async {
        let mut world = World::new();
        world.pause = 3;
        world.write("a", &SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 4000"));
        let daemon = world.start();
        let run = run_id("a/1");
        wait_for("some jobs", || (daemon.run(&run).ok()?.run.jobs > 20).then_some(())).await;
        daemon.stop(&run, "somebody").unwrap();
        let ended = state_of(&daemon, "a/1", RunState::Ended).await;
        assert_eq!(ended.reason.as_deref(), Some("stopped by somebody"));
        assert!(daemon.run(&run).unwrap().report.is_some());
        assert_eq!(daemon.resume(&run).unwrap_err().kind, RefusalKind::Conflict);
        assert_eq!(daemon.stop(&run_id("a/9"), "x").unwrap_err().kind, RefusalKind::NotFound);
        World::end(daemon).await;
        let daemon = world.start();
        assert_eq!(state_of(&daemon, "a/1", RunState::Ended).await.reason.as_deref(), Some("stopped by somebody"));
        World::end(daemon).await;
    });
}

#[test]
fn a_changed_budget_acts_on_the_run_under_way_and_other_keys_on_the_next() {
    block_on(async {
        let mut world = World::new();
        world.pause = 3;
        let text = SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 4000");
        world.write("a", &text);
        let daemon = world.start();
        let run = run_id("a/1");
        wait_for("some jobs", || (daemon.run(&run).ok()?.run.jobs > 20).then_some(())).await;
        let shorter = text.replace("jobs = 4000", "jobs = 90").replace("slots = 4", "slots = 2");
        world.write("a", &shorter.replace("fidelity = 2", "fidelity = 1"));
        daemon.scan();
        assert_eq!(daemon.search("a").unwrap().pending, ["task.fidelity"]);
        state_of(&daemon, "a/1", RunState::Ended).await;
        assert_eq!(told(&records(&daemon, "a/1")).len(), 90);
        state_of(&daemon, "a/2", RunState::Ended).await;
        assert_eq!(told(&records(&daemon, "a/2")).len(), 90);
        let change = &daemon.run(&run).unwrap().changes[0];
        assert_eq!((change.cause.as_str(), change.by.as_str()), ("adjusted", "search file"));
        World::end(daemon).await;
    });
}

#[test]
fn strategies_are_swapped_rolled_back_and_forked_while_a_run_goes_on() {
    block_on(async {
        let mut world = World::new();
        world.pause = 3;
        world.write("a", &SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 4000"));
        let daemon = world.start();
        let run = run_id("a/1");
        wait_for("some jobs", || (daemon.run(&run).ok()?.run.jobs > 20).then_some(())).await;
        let other = world.searches().join("other.wasm").display().to_string();
        let mut order = SwapOrderView { strategy: Some(other), parameters: None, dry_run: true, by: Some("me".into()) };
        let foreseen = daemon.swap(&run, &order).await.unwrap();
        assert!(foreseen.dry_run && !foreseen.checks.is_empty());
        assert!(daemon.run(&run).unwrap().changes.is_empty());
        order.dry_run = false;
        let done = daemon.swap(&run, &order).await.unwrap();
        assert_eq!(daemon.run(&run).unwrap().run.strategy.digest, done.to.digest);
        assert_eq!(
            daemon.swap(&run, &order).await.unwrap_err().kind,
            RefusalKind::Conflict,
            "it has the search already"
        );
        let back = daemon.roll_back(&run, "me").await.unwrap();
        assert_ne!(back.to.digest, done.to.digest);
        let causes: Vec<_> =
            daemon.run(&run).unwrap().changes.into_iter().map(|change| (change.cause, change.by)).collect();
        assert_eq!(causes[0], ("strategy".to_owned(), "me".to_owned()));
        assert_eq!(causes.last().unwrap(), &("roll-back".to_owned(), "me".to_owned()));
        let so_far = daemon.live_told(&run).unwrap();
        wait_for("more jobs", || (daemon.live_told(&run)? > so_far + 30).then_some(())).await;
        let at = records(&daemon, "a/1")
            .iter()
            .rev()
            .find(|record| matches!(record.event, Event::Told { .. }))
            .unwrap()
            .sequence;
        let fork = ForkOrder { at, strategy: None, parameters: None, by: None };
        let forked = daemon.fork(&run, &fork).await.unwrap();
        assert_eq!(forked.run, "a/2");
        state_of(&daemon, "a/1", RunState::Ended).await;
        state_of(&daemon, "a/2", RunState::Ended).await;
        assert_eq!(told(&records(&daemon, "a/1")), (1..=4000).collect::<Vec<_>>());
        assert_eq!(digest(&daemon, "a/1"), digest(&daemon, "a/2"), "the fork went on like the original");
        World::end(daemon).await;
    });
}

#[test]
fn submitted_searches_and_their_schedules_outlive_the_daemon() {
    block_on(async {
        let world = World::new();
        let text = SEARCH.replace("NAME", "s") + "[schedule]\nstart = [\"0 * * * *\"]\ncatch-up = \"once\"\n";
        let beside = Some(world.searches().display().to_string());
        let submission = Submission { text, beside, by: None };
        let daemon = world.start();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let view = daemon.submit(submission.clone()).unwrap();
        assert!(view.last_run.is_none() && view.next_start.is_some());
        for hour in 1..=3 {
            world.seconds.fetch_add(3600, Ordering::Relaxed);
            daemon.tick();
            state_of(&daemon, &format!("s/{hour}"), RunState::Ended).await;
        }
        World::end(daemon).await;
        // Five starts are missed; one is caught up with.
        world.seconds.fetch_add(5 * 3600, Ordering::Relaxed);
        let daemon = world.start();
        state_of(&daemon, "s/4", RunState::Ended).await;
        daemon.tick();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(daemon.runs(&RunFilter::default()).unwrap().runs.len(), 4);
        assert_eq!(daemon.submit(Submission { text: "x".into(), ..submission }).unwrap_err().kind, RefusalKind::Bad);
        World::end(daemon).await;
    });
}

#[test]
fn twenty_runs_share_four_places_by_their_weights() {
    block_on(async {
        let mut world = World::new();
        world.pause = 2;
        for n in 0..20 {
            let weight = if n % 2 == 0 { 1.0 } else { 3.0 };
            let text = SEARCH.replace("NAME", &format!("s{n}")).replace("jobs = 40", "jobs = 100000");
            world.write(&format!("s{n}"), &format!("{text}[share]\nweight = {weight}\n"));
        }
        let daemon = world.start();
        let told_of = |n: usize| daemon.live_told(&run_id(&format!("s{n}/1"))).unwrap_or_default();
        wait_for("all runs", || (0..20).all(|n| told_of(n) > 4).then_some(())).await;
        let before: Vec<u64> = (0..20).map(told_of).collect();
        wait_for("many jobs", || ((0..20).map(told_of).sum::<u64>() > before.iter().sum::<u64>() + 2000).then_some(()))
            .await;
        let served: Vec<u64> = (0..20).map(|n| told_of(n) - before[n]).collect();
        let total: u64 = served.iter().sum();
        for (n, served) in served.iter().enumerate() {
            let share = if n % 2 == 0 { 1.0 } else { 3.0 } / 40.0;
            let expected = share * total as f64;
            assert!(
                (*served as f64 - expected).abs() <= 0.1 * expected + 4.0,
                "s{n}: {served} of {total}, expected {expected:.0}"
            );
        }
        World::end(daemon).await;
    });
}

#[test]
fn new_builds_take_over_in_running_searches_and_what_does_not_load_is_passed_over() {
    block_on(async {
        let mut world = World::new();
        world.pause = 3;
        world.write("a", &SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 1000000"));
        let daemon = world.start();
        let run = run_id("a/1");
        wait_for("some jobs", || (daemon.run(&run).ok()?.run.jobs > 20).then_some(())).await;
        let component = assemble::hostile("well-behaved");
        let path = world.searches().join("well-behaved.wasm");
        let digest_of = || daemon.run(&run).unwrap().run.strategy.digest;
        for number in 2..5u32 {
            let bytes = assemble::another_build(&component, number);
            let digest = blake3::hash(&bytes).to_hex().to_string();
            // Half a file, an editor's backup, then the whole by renaming.
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            std::fs::write(path.with_extension("wasm~"), &bytes).unwrap();
            std::fs::write(path.with_extension("tmp"), &bytes).unwrap();
            std::fs::rename(path.with_extension("tmp"), &path).unwrap();
            wait_for("the build", || (digest_of() == digest).then_some(())).await;
        }
        std::fs::remove_file(&path).unwrap();
        let before = digest_of();
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::write(&path, b"no component").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(digest_of(), before);
        daemon.stop(&run, "the test").unwrap();
        state_of(&daemon, "a/1", RunState::Ended).await;
        let told = told(&records(&daemon, "a/1"));
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>(), "no job is lost or told twice");
        let builds = daemon.run(&run).unwrap().changes.iter().filter(|change| change.cause == "build").count();
        assert_eq!(builds, 3);
        World::end(daemon).await;
    });
}

fn on_disk() -> World {
    let mut world = World::new();
    world.files = nasd_store::RealFiles::shared();
    world.state = world.folder.path().join("state");
    world
}

async fn swap_to(daemon: &Daemon, run: &RunId, world: &World, name: &str) -> SwapView {
    let file = world.searches().join(format!("{name}.wasm")).display().to_string();
    let order = SwapOrderView { strategy: Some(file), parameters: None, dry_run: false, by: None };
    daemon.swap(run, &order).await.unwrap()
}

#[test]
fn a_search_goes_from_random_to_evolution_and_back_with_its_history_and_replays() {
    let names = ["random", "regularized-evolution"];
    let Some(components) = names.map(built).into_iter().collect::<Option<Vec<_>>>() else { return };
    block_on(async {
        let mut world = on_disk();
        world.pause = 3;
        for (name, component) in names.iter().zip(&components) {
            std::fs::write(world.searches().join(format!("{name}.wasm")), component).unwrap();
        }
        let text = SEARCH.replace("NAME", "a").replace("well-behaved", "random");
        world.write("a", &text.replace("jobs = 40", "jobs = 1000000"));
        let daemon = world.start();
        let run = run_id("a/1");
        let told_of = |n: u64| daemon.live_told(&run).filter(|told| *told > n);
        let before = wait_for("some jobs", || told_of(20)).await;
        let evolved = swap_to(&daemon, &run, &world, "regularized-evolution").await;
        assert_eq!(evolved.via, "replay");
        assert!(evolved.jobs >= before, "it is shown all {before} jobs: {}", evolved.jobs);
        wait_for("jobs of evolution", || told_of(evolved.jobs + 30)).await;
        let back = swap_to(&daemon, &run, &world, "random").await;
        assert_eq!((back.via.as_str(), back.to.name.as_str()), ("replay", "random"));
        wait_for("jobs after it", || told_of(back.jobs + 20)).await;
        daemon.stop(&run, "the test").unwrap();
        state_of(&daemon, "a/1", RunState::Ended).await;
        let told = told(&records(&daemon, "a/1"));
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
        World::end(daemon).await;
        let places = nasd::search::Places { state: world.state.clone(), data: world.folder.path().join("data") };
        let replayed = nasd::run::replay::replay(&run, &places, &world.searches()).await.unwrap();
        assert!(replayed.difference.is_none(), "{:?}", replayed.difference);
        assert_eq!(replayed.swaps, 2);
    });
}

const SHARED: &str = r#"
name = "a"
space = "darts-cnn"
space-settings = { "one-shot.channels" = 1, "one-shot.layers" = 3, "stack.channels" = 1, "stack.layers" = 3 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 4000
[task.shared-recipe]
batch-size = 16
[strategy]
component = "darts.wasm"
[scheduling]
savepoint-every = 20
"#;

#[test]
fn the_shared_weights_stay_when_a_strategy_of_paths_takes_over_from_gradients() {
    let names = ["darts", "random-sharing"];
    let Some(components) = names.map(built).into_iter().collect::<Option<Vec<_>>>() else { return };
    block_on(async {
        let world = on_disk();
        for (name, component) in names.iter().zip(&components) {
            std::fs::write(world.searches().join(format!("{name}.wasm")), component).unwrap();
        }
        world.write("a", SHARED);
        let daemon = world.start();
        let run = run_id("a/1");
        wait_for("some steps", || daemon.live_told(&run).filter(|told| *told > 50)).await;
        let swapped = swap_to(&daemon, &run, &world, "random-sharing").await;
        assert_eq!(swapped.to.name, "random-sharing");
        let so_far = daemon.live_told(&run).unwrap();
        wait_for("more steps", || daemon.live_told(&run).filter(|told| *told > so_far + 5)).await;
        daemon.stop(&run, "the test").unwrap();
        state_of(&daemon, "a/1", RunState::Ended).await;
        // The null trainer's loss is a function of the updates made on the weights.
        let losses: Vec<f64> = records(&daemon, "a/1")
            .iter()
            .filter_map(|record| match &record.event {
                Event::Arrived { outcome: nasd_protocol::Outcome::SharedSteps(steps), .. } => Some(steps),
                _ => None,
            })
            .flatten()
            .filter_map(|step| step.measures.iter().find(|measure| measure.name == "loss").map(|loss| loss.value))
            .collect();
        assert!(losses.windows(2).all(|two| two[1] <= two[0]), "no update is lost: {losses:?}");
        assert!(losses.len() > 60 && losses.last() < losses.first());
        World::end(daemon).await;
    });
}

#[test]
fn a_deadline_that_has_passed_ends_a_run_and_one_that_is_none_is_refused() {
    block_on(async {
        let world = World::new();
        let text =
            SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 1000000\ndeadline = \"2001-01-01T00:00:00Z\"");
        world.write("a", &text);
        world.write("b", &text.replace("\"a\"", "\"b\"").replace("2001-01-01T00:00:00Z", "tomorrow"));
        let daemon = world.start();
        let ended = state_of(&daemon, "a/1", RunState::Ended).await;
        assert!(ended.reason.unwrap().starts_with("done"));
        assert!(daemon.search("b").unwrap().error.unwrap().contains("deadline = \"tomorrow\""));
        World::end(daemon).await;
    });
}

#[test]
fn a_return_outlives_the_daemon_though_the_file_is_still_the_build_that_was_left() {
    block_on(async {
        let mut world = World::new();
        world.pause = 3;
        world.write("a", &SEARCH.replace("NAME", "a").replace("jobs = 40", "jobs = 1000000"));
        let daemon = world.start();
        let run = run_id("a/1");
        let digest_of =
            |daemon: &Daemon| daemon.run(&run).map(|details| details.run.strategy.digest).unwrap_or_default();
        wait_for("some jobs", || daemon.live_told(&run).filter(|told| *told > 20)).await;
        let first = digest_of(&daemon);
        let component = assemble::hostile("well-behaved");
        std::fs::write(world.searches().join("well-behaved.wasm"), assemble::another_build(&component, 7)).unwrap();
        wait_for("the build", || (digest_of(&daemon) != first).then_some(())).await;
        daemon.roll_back(&run, "me").await.unwrap();
        assert_eq!(digest_of(&daemon), first);
        World::end(daemon).await;
        let daemon = world.start();
        let so_far = wait_for("the run", || daemon.live_told(&run)).await;
        wait_for("more jobs", || daemon.live_told(&run).filter(|told| *told > so_far + 100)).await;
        assert_eq!(digest_of(&daemon), first);
        // A build that was never there takes over as ever, and what was left may come back by being saved again.
        for number in [8, 7] {
            let build = assemble::another_build(&component, number);
            std::fs::write(world.searches().join("well-behaved.wasm"), &build).unwrap();
            let digest = blake3::hash(&build).to_hex().to_string();
            wait_for("the build", || (digest_of(&daemon) == digest).then_some(())).await;
        }
        World::end(daemon).await;
    });
}

#[test]
fn a_run_whose_search_cannot_be_resolved_waits_and_can_be_stopped() {
    block_on(async {
        let world = World::new();
        world.write("a", &SEARCH.replace("NAME", "a").replace("\"well-behaved.wasm\"", "\"missing.wasm\""));
        let daemon = world.start();
        let waiting = state_of(&daemon, "a/1", RunState::Waiting).await;
        assert!(waiting.reason.unwrap().contains("missing.wasm"));
        daemon.stop(&run_id("a/1"), "somebody").unwrap();
        let ended = state_of(&daemon, "a/1", RunState::Ended).await;
        assert!(ended.reason.unwrap().starts_with("stopped by somebody; there is no report: "));
        World::end(daemon).await;
    });
}
