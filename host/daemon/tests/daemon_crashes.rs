//! Faults under a whole daemon: every file operation of a daemon with a schedule, two runs of several slots, savepoints
//! and a swap stops or fails in turn; another daemon on what is left goes on, and nothing is lost or done twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;
#[path = "support/world.rs"]
mod world;

use std::{io, sync::atomic::Ordering, time::Duration};

use nasd::serve::{
    daemon::Daemon,
    views::{RunState, SwapOrderView},
};
use nasd_store::fault::{Fault, FaultyFiles, Survival};
use world::{World, block_on, digest, records, run_id, told};

/// Two starts an hour apart.
const SEARCH: &str = r#"
name = "s"
space = "nas-bench-201"
space-settings = { "stack.channels" = 2, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 2
[strategy]
component = "well-behaved.wasm"
[budget]
jobs = 9
[scheduling]
slots = 3
savepoint-every = 4
[schedule]
start = ["0 * * * *"]
catch-up = "once"
overlap = "queue"
"#;

/// What a life of a daemon saw.
#[derive(Default)]
struct Seen {
    /// A swap was acknowledged.
    swapped: bool,
}

/// Let a daemon live until both runs are over or it takes nothing on any more.
async fn live(world: &World, until_hour: i64, swaps: bool, seen: &mut Seen) -> Option<Daemon> {
    let daemon = world.try_start()?;
    let begin = world.begin;
    for hour in 0..=until_hour {
        let now = begin + hour * 3600;
        world.seconds.fetch_max(now, Ordering::Relaxed);
        daemon.tick();
        if hour == 0 && daemon.readiness().is_ok() {
            continue;
        }
        let run = run_id(&format!("s/{hour}"));
        let mut orders = swaps && hour == 1 && !seen.swapped;
        for _ in 0..2000 {
            let view = daemon.run(&run).ok().map(|details| details.run.state);
            if view == Some(RunState::Ended) || daemon.readiness().is_err() {
                break;
            }
            if orders && daemon.live_told(&run).is_some_and(|told| told >= 2) {
                orders = false;
                let other = world.searches().join("other.wasm").display().to_string();
                let order = SwapOrderView { strategy: Some(other), parameters: None, dry_run: false, by: None };
                seen.swapped = daemon.swap(&run, &order).await.is_ok();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if daemon.readiness().is_err() {
            break;
        }
    }
    Some(daemon)
}

async fn check(fault: Fault, survival: Option<Survival>, swaps: bool, whole: Option<&[String]>) -> bool {
    let files = FaultyFiles::with_faults(&[fault]);
    let mut world = World::on(&files);
    world.write("s", SEARCH);
    world.pause = u64::from(swaps);
    let mut seen = Seen::default();
    if let Some(daemon) = live(&world, 2, swaps, &mut seen).await {
        World::end(daemon).await;
    }
    let was_hit = files.operations() > at(fault);
    let left = match survival {
        Some(survival) => files.after_crash(survival),
        None => {
            files.set_faults(&[]);
            files.clone()
        }
    };
    world.files = left.shared();
    let mut after = Seen { swapped: true };
    let daemon = live(&world, 2, false, &mut after).await.expect("it starts on what is left");
    for hour in 1..=2 {
        let run = format!("s/{hour}");
        world::state_of(&daemon, &run, RunState::Ended).await;
        assert_eq!(told(&records(&daemon, &run)), (1..=9).collect::<Vec<_>>(), "{fault:?} {survival:?} {run}");
        if let Some(whole) = whole {
            assert_eq!(digest(&daemon, &run), whole[hour - 1], "{fault:?} {survival:?} {run}");
        }
    }
    let runs = daemon.runs(&Default::default()).unwrap().runs;
    assert_eq!(runs.len(), 2, "{fault:?} {survival:?}: every start once: {runs:?}");
    if seen.swapped {
        let changes = daemon.run(&run_id("s/1")).unwrap().changes;
        assert!(changes.iter().any(|change| change.cause == "strategy"), "{fault:?}: an acknowledged swap is kept");
    }
    World::end(daemon).await;
    was_hit
}

fn at(fault: Fault) -> u64 {
    match fault {
        Fault::Stop(at) | Fault::Fail(at, _) | Fault::Full(at) => at,
    }
}

#[test]
fn a_daemon_with_a_schedule_survives_a_fault_at_any_operation() {
    block_on(async {
        let files = FaultyFiles::new();
        let world = World::on(&files);
        world.write("s", SEARCH);
        let daemon = live(&world, 2, false, &mut Seen::default()).await.unwrap();
        let whole: Vec<String> = (1..=2).map(|hour| digest(&daemon, &format!("s/{hour}"))).collect();
        World::end(daemon).await;
        let operations = files.operations();
        assert!(operations > 60, "{operations}");
        for n in 0..operations {
            for survival in [Survival::LoseUnsynced, Survival::KeepAll, Survival::Torn(500)] {
                check(Fault::Stop(n), Some(survival), false, Some(&whole)).await;
            }
            check(Fault::Full(n), None, false, Some(&whole)).await;
        }
    });
}

#[test]
fn a_daemon_with_a_swap_survives_a_fault_at_any_operation() {
    block_on(async {
        for n in 0.. {
            let mut was_hit = check(Fault::Stop(n), Some(Survival::LoseUnsynced), true, None).await;
            was_hit |= check(Fault::Fail(n, io::ErrorKind::Other), Some(Survival::KeepAll), true, None).await;
            if !was_hit {
                assert!(n > 60, "{n}");
                break;
            }
        }
    });
}
