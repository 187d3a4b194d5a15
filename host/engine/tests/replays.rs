//! Driving a run anew from its journal gives every call it made, in order, crashes and swaps left out and in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::sync::Arc;

use nasd_engine::{Order, Replay, Replayed, search::read_ledger};
use nasd_protocol::{Event, event::Judge};
use nasd_space::StreamRandom;

use world::{NEVER, Stop, Task, Want, World, plan};

/// The names of all calls of a run's journal.
fn calls(world: &World, shared: bool) -> Vec<String> {
    let task = Arc::new(Task { shared });
    let mut replay = Replay::new(plan(4, Order::Virtual, true), task, &world.records).unwrap();
    let mut calls = Vec::new();
    while let Some((_, call, _)) = replay.next_call().unwrap() {
        calls.push(match call {
            Replayed::Start => "start".to_owned(),
            Replayed::Ask { request, .. } => {
                assert_eq!(request.next_id, read_ledger(replay.ledger()).next_id(), "the state is that of the call");
                "ask".to_owned()
            }
            Replayed::Tell(job) => {
                assert!(!read_ledger(replay.ledger()).told().contains(&job.id));
                format!("tell {}", job.id)
            }
            Replayed::Judge { job, .. } => format!("judge {job}"),
            Replayed::TakeOver(order) => format!("take over {}", order.to.name),
            Replayed::Recommend { .. } => "recommend".to_owned(),
        });
    }
    calls
}

fn expected(lane: &[Event]) -> Vec<String> {
    let call = |event: &Event| match event {
        Event::Started { .. } => Some("start".to_owned()),
        Event::Asked { .. } => Some("ask".to_owned()),
        Event::Told { job, .. } => Some(format!("tell {job}")),
        Event::Judged { job, by: Judge::Strategy, .. } => Some(format!("judge {job}")),
        Event::Swapped { to, .. } => Some(format!("take over {}", to.name)),
        Event::Recommended { .. } => Some("recommend".to_owned()),
        _ => None,
    };
    lane.iter().filter_map(call).collect()
}

#[test]
fn every_call_comes_once_in_order() {
    for shared in [false, true] {
        let mut world = World::new(plan(4, Order::Virtual, true), shared, 1);
        world.wants = vec![(7, Want::To("b")), (15, Want::To("b-trap20")), (25, Want::Back)];
        assert_eq!(world.run(60, NEVER), Stop::Crashed);
        world.chance = StreamRandom::new(3, "after the crash");
        assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
        let expected = expected(&world.lane());
        assert!(expected.iter().filter(|call| call.starts_with("take over")).count() >= 3, "{expected:?}");
        assert_eq!(calls(&world, shared), expected, "shared {shared}");
    }
}

#[test]
fn a_run_forked_at_any_event_goes_on_as_the_other_did() {
    let plan = plan(4, Order::Virtual, true);
    let mut whole = World::new(plan.clone(), false, 1);
    whole.wants = vec![(10, Want::To("b"))];
    assert_eq!(whole.run(NEVER, NEVER), Stop::Finished);
    let lane = whole.lane();
    let searching = whole.records.iter().position(|r| matches!(r.event, Event::Recommended { .. })).unwrap();
    for at in (1..searching).step_by(7) {
        let mut fork = World::new(plan.clone(), false, at as u64);
        fork.records = whole.records[..=at].to_vec();
        let sequence = fork.records.len() as u64;
        let forked = Event::Forked { run: "test/1".into(), at: at as u64 };
        fork.records.push(nasd_protocol::Record { sequence, event: forked, observed: Default::default() });
        // The swap is the operator's: a fork from before it goes on without.
        assert_eq!(fork.run(NEVER, NEVER), Stop::Finished);
        let has_swap = |lane: &[Event]| lane.iter().any(|event| matches!(event, Event::Swapped { .. }));
        let forked_lane = fork.lane();
        if has_swap(&forked_lane) {
            assert_eq!(forked_lane, lane, "at {at}");
        } else {
            assert_eq!(forked_lane[..10.min(forked_lane.len())], lane[..10], "at {at}");
        }
    }
}
