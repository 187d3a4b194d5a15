//! Whole searches on a simulated world: in order, out of order, crashed, interrupted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::sync::Arc;

use nasd_engine::{Command, Input, Order, Reply, Search};
use nasd_protocol::{Answer, Event, JobId, Verdict};
use nasd_space::StreamRandom;
use proptest::prelude::*;

use world::{NEVER, Stop, Task, World, assert_same, plan, uninterrupted};

#[test]
fn every_job_is_told_once_and_the_run_ends_with_a_recommendation() {
    let mut n_stopped = 0;
    for shared in [false, true] {
        let lane = uninterrupted(&plan(4, Order::Virtual, true), shared);
        let told: Vec<JobId> =
            lane.iter().filter_map(|e| if let Event::Told { job, .. } = e { Some(*job) } else { None }).collect();
        let mut sorted = told.clone();
        sorted.sort();
        assert_eq!(sorted, (1..=40).collect::<Vec<_>>());
        assert!(told != sorted, "with several slots, results come out of id order");
        assert!(lane.iter().any(|e| matches!(e, Event::Recommended { architectures } if !architectures.is_empty())));
        n_stopped += lane.iter().filter(|e| matches!(e, Event::Judged { verdict: Verdict::Stop, .. })).count();
    }
    assert!(n_stopped > 0, "some trainings are stopped");
}

#[test]
fn in_virtual_order_the_run_does_not_depend_on_which_trainer_is_fast() {
    for (slots, shared) in [(1, false), (4, false), (3, true)] {
        let plan = plan(slots, Order::Virtual, true);
        let reference = uninterrupted(&plan, shared);
        for chance in 2..30 {
            let mut world = World::new(plan.clone(), shared, chance);
            world.losses = chance % 2 == 0;
            assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
            assert_same(&world.lane(), &reference, format!("slots {slots}, chance {chance}"));
        }
    }
}

#[test]
fn a_crash_after_any_record_changes_nothing() {
    for (slots, shared, order) in
        [(1, false, Order::Virtual), (4, false, Order::Virtual), (1, true, Order::Virtual), (3, true, Order::Virtual)]
    {
        let plan = plan(slots, order, true);
        let reference = uninterrupted(&plan, shared);
        let mut whole = World::new(plan.clone(), shared, 1);
        whole.run(NEVER, NEVER);
        for crash in 1..whole.records.len() {
            let mut world = World::new(plan.clone(), shared, 1);
            assert_eq!(world.run(crash.max(2), NEVER), Stop::Crashed);
            world.chance = StreamRandom::new(crash as u64, "after the crash");
            let second = world.records.len() + 1 + crash % 40;
            if world.run(second, NEVER) == Stop::Crashed {
                assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
            }
            assert_same(&world.lane(), &reference, format!("slots {slots}, shared {shared}, crash {crash}"));
        }
    }
}

#[test]
fn an_interruption_anywhere_changes_nothing() {
    for (slots, shared) in [(1, false), (4, false), (1, true), (3, true)] {
        let plan = plan(slots, Order::Virtual, false);
        let reference = uninterrupted(&plan, shared);
        for at in (2..120).step_by(3) {
            let mut world = World::new(plan.clone(), shared, 1);
            if world.run(NEVER, at) == Stop::Suspended {
                assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
            }
            assert_same(&world.lane(), &reference, format!("slots {slots}, shared {shared}, at {at}"));
        }
    }
}

#[test]
fn in_arrival_order_a_crash_keeps_the_order_that_was() {
    let plan = plan(4, Order::Arrival, true);
    for crash in (2..150).step_by(5) {
        let mut world = World::new(plan.clone(), false, 3);
        if world.run(crash, NEVER) != Stop::Crashed {
            break;
        }
        let before = world.lane();
        world.chance = StreamRandom::new(crash as u64, "after the crash");
        assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
        assert_eq!(&world.lane()[..before.len()], before.as_slice(), "crash {crash}");
    }
}

#[test]
fn a_strategy_that_waits_with_nothing_in_flight_fails_the_run() {
    let mut search = Search::new(plan(2, Order::Virtual, false), Arc::new(Task { shared: false }));
    search.step(Input::Begin);
    search.step(Input::Returned { reply: Ok(Reply::Started), random: 0 });
    let commands = search.step(Input::Returned { reply: Ok(Reply::Answered(Answer::Wait)), random: 0 });
    let Some(Command::Finish(ending)) = commands.last() else { panic!("{commands:?}") };
    assert!(format!("{ending:?}").contains("`wait` with no job in flight"), "{ending:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn any_number_of_crashes_and_interruptions_gives_the_same_run(
        slots in 1u32..6, shared: bool, median: bool, chance: u64,
        stops in proptest::collection::vec((1usize..60, any::<bool>()), 0..6),
    ) {
        let plan = plan(slots, Order::Virtual, median);
        let reference = uninterrupted(&plan, shared);
        let mut world = World::new(plan, shared, chance);
        world.losses = true;
        let mut finished = false;
        for (after, by_crash) in stops {
            let at = world.records.len().max(1) + after;
            let (crash, interrupt) = if by_crash { (at, NEVER) } else { (NEVER, at) };
            if world.run(crash, interrupt) == Stop::Finished {
                finished = true;
                break;
            }
        }
        if !finished {
            prop_assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
        }
        assert_same(&world.lane(), &reference, String::new());
    }
}
