//! Strategies that break the contract, each in one way: each gets its own named error, the host lives, and
//! another instance goes on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use nasd_protocol::*;
use nasd_strategy::services::SpaceService;
use nasd_strategy::{Call, CallError, LoadError, RestoreRefusal};
use support::*;

/// The error of the first `ask`; the instance that came before it still answers afterwards.
async fn first_ask(name: &str) -> CallError {
    let runtime = runtime();
    let mut bystander = started(&load(&runtime, "well-behaved")).await;
    let mut instance = started(&load(&runtime, name)).await;
    let error = instance.ask(&request(0)).await.unwrap_err();
    bystander.ask(&request(0)).await.unwrap();
    let invalid = matches!(error, CallError::InvalidAnswer { .. });
    assert_eq!(instance.is_alive(), invalid, "only a trap is deadly");
    if !invalid {
        let dead = instance.save().await.unwrap_err();
        assert!(matches!(&dead, CallError::Dead { cause } if *cause == error.to_string()), "{dead}");
    }
    error
}

fn load_error(name: &str) -> LoadError {
    runtime().load(&assemble::hostile(name)).unwrap_err()
}

#[tokio::test]
async fn a_well_behaved_strategy_asks_tells_saves_and_restores() {
    let runtime = runtime();
    let component = load(&runtime, "well-behaved");
    let descriptor = component.describe(&tight()).await.unwrap();
    assert_eq!((descriptor.name.as_str(), descriptor.version.as_str()), ("well-behaved", "0.1.0"));

    let mut instance = started(&component).await;
    let Answer::Work(proposals) = instance.ask(&request(0)).await.unwrap() else { panic!("no work") };
    assert_eq!(proposals.len(), 1);
    let Work::Train(training) = &proposals[0].work else { panic!("not train") };
    assert_eq!(Choices { n_decisions: 30, n_options: 5 }.check(&training.architecture), Ok(()));
    assert_eq!(instance.random_position(), 30);
    assert_eq!(instance.last_call().draws, 30);
    assert_eq!(instance.last_call().host_calls, 1);
    assert!(instance.last_call().fuel > 0);

    instance.tell(&told(0, proposals[0].clone())).await.unwrap();
    let snapshot = instance.save().await.unwrap();
    assert_eq!(snapshot.bytes, 1u64.to_le_bytes());

    let mut second = component.instantiate(services(), &tight()).await.unwrap();
    second.restore(&setup(), &snapshot).await.unwrap();
    second.seek_random(instance.random_position());
    assert_eq!(second.ask(&request(1)).await, instance.ask(&request(1)).await);
    assert_eq!(second.save().await.unwrap(), snapshot);
    assert_eq!(second.judge(0, &Point { fidelity: 1, measures: vec![] }).await, Ok(Verdict::Proceed));
    assert_eq!(second.recommend(3).await, Ok(vec![]));

    let mut third = started(&component).await;
    third.replay(&[told(0, proposals[0].clone()), told(1, proposals[0].clone())]).await.unwrap();
    assert_eq!(third.save().await.unwrap().bytes, 2u64.to_le_bytes());
}

#[tokio::test]
async fn an_endless_loop_runs_out_of_fuel_and_lets_others_run_meanwhile() {
    let ticks = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = ticks.clone();
    let other = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let error = first_ask("endless-loop").await;
    other.abort();
    assert_eq!(error, CallError::OutOfFuel { call: Call::Ask, limit: 50_000_000 });
    // 500 yields on the one thread that this test has.
    assert!(ticks.load(std::sync::atomic::Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn an_endless_allocation_is_told_from_a_panic() {
    let error = first_ask("endless-allocation").await;
    assert!(
        matches!(error, CallError::OutOfMemory { call: Call::Ask, what: "memory", limit, asked, .. } if limit == 64 << 20 && asked > limit),
        "{error}"
    );
}

#[tokio::test]
async fn a_loop_in_which_the_host_does_the_work_is_stopped() {
    assert_eq!(first_ask("endless-host-calls").await, CallError::TooManyHostCalls { call: Call::Ask, limit: 10_000 });
}

#[tokio::test]
async fn traps_say_what_happened() {
    for (name, reason) in [
        ("trap", "out of bounds memory access"),
        ("deep-recursion", "call stack exhausted"),
        ("list-out-of-bounds", "list pointer/length out of bounds"),
    ] {
        let error = first_ask(name).await;
        assert!(matches!(&error, CallError::Trapped { call: Call::Ask, .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_small_answer_that_unfolds_into_a_huge_one_is_refused() {
    assert_eq!(first_ask("huge-list").await, CallError::ResultTooLarge { call: Call::Ask, limit: 1 << 20 });
}

#[tokio::test]
async fn answers_that_break_the_contract_are_named() {
    for (name, problem) in [
        ("too-many-items", "3 items where 2 slots are free"),
        ("nan-weights", "item 0: step 0: gene 0: option 0 has weight NaN"),
        ("wait-forever", "it waits although nothing is in flight"),
    ] {
        let error = first_ask(name).await;
        assert!(matches!(&error, CallError::InvalidAnswer { call: Call::Ask, .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(problem), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_invalid_architecture_is_an_answer_that_the_space_refuses() {
    let runtime = runtime();
    let mut instance = started(&load(&runtime, "invalid-architecture")).await;
    let Ok(Answer::Work(proposals)) = instance.ask(&request(0)).await else { panic!("no work") };
    let Work::Train(training) = &proposals[0].work else { panic!("not train") };
    let failure = Choices { n_decisions: 30, n_options: 5 }.check(&training.architecture).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidArchitecture);
    let failed = Job { outcome: Some(Outcome::Failed(failure)), ..told(0, proposals[0].clone()) };
    instance.tell(&failed).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_makes_no_sense_is_an_error_and_no_trap() {
    let runtime = runtime();
    let component = load(&runtime, "garbage-snapshot");
    let snapshot = started(&component).await.save().await.unwrap();
    let mut next = component.instantiate(services(), &tight()).await.unwrap();
    let error = next.restore(&setup(), &snapshot).await.unwrap_err();
    assert!(matches!(error, CallError::RestoreRefused(RestoreRefusal::Corrupt(_))), "{error}");
    assert!(next.is_alive());
}

#[tokio::test]
async fn drawing_where_it_is_forbidden_is_stopped_by_name() {
    let runtime = runtime();
    let mut instance = started(&load(&runtime, "draws-in-save")).await;
    let error = instance.save().await.unwrap_err();
    assert_eq!(error, CallError::ForbiddenImport { call: Call::Save, import: "random.next-u64" });
    assert_eq!(instance.random_position(), 0);

    let error = load(&runtime, "impure-describe").describe(&tight()).await.unwrap_err();
    assert_eq!(error, CallError::ForbiddenImport { call: Call::Describe, import: "space.sample" });
}

#[tokio::test]
async fn a_panic_in_any_call_arrives_with_its_message() {
    let runtime = runtime();
    let component = load(&runtime, "panic-in-every-call");
    let proposal = Proposal { work: Work::TrainShared(vec![]), parents: vec![], note: String::new() };
    let (job, setup) = (told(0, proposal), setup());
    let format = SnapshotFormat { name: "any".to_owned(), version: 1 };
    let snapshot = Snapshot { format, bytes: vec![], needs_weights: vec![] };
    let point = Point { fidelity: 1, measures: vec![] };
    for call in [
        Call::Describe,
        Call::Start,
        Call::Restore,
        Call::Replay,
        Call::Ask,
        Call::Tell,
        Call::Judge,
        Call::Recommend,
        Call::Save,
    ] {
        let log = Arc::new(Lines::default());
        let mut instance = component.instantiate(services_logging_to(log.clone()), &tight()).await.unwrap();
        let error = match call {
            Call::Instantiate => unreachable!(),
            Call::Describe => instance.describe().await.unwrap_err(),
            Call::Start => instance.start(&setup).await.unwrap_err(),
            Call::Restore => instance.restore(&setup, &snapshot).await.unwrap_err(),
            Call::Replay => instance.replay(std::slice::from_ref(&job)).await.unwrap_err(),
            Call::Ask => instance.ask(&request(0)).await.unwrap_err(),
            Call::Tell => instance.tell(&job).await.unwrap_err(),
            Call::Judge => instance.judge(0, &point).await.unwrap_err(),
            Call::Recommend => instance.recommend(1).await.unwrap_err(),
            Call::Save => instance.save().await.unwrap_err(),
        };
        let CallError::Trapped { call: named, panic, .. } = &error else { panic!("{call}: {error:?}") };
        assert_eq!(*named, call);
        assert_eq!(panic.as_deref(), Some("panicked at 'no plan survives'"));
        assert!(error.to_string().contains("no plan survives"));
        assert_eq!(log.0.lock().unwrap().len(), 1);
        assert!(matches!(instance.ask(&request(0)).await, Err(CallError::Dead { .. })));
    }
}

#[test]
fn components_that_are_no_strategies_are_refused_by_name_and_version() {
    type IsNamed = fn(&LoadError) -> bool;
    let cases: [(&str, IsNamed, &[&str]); 4] = [
        (
            "wrong-world",
            |error| matches!(error, LoadError::MissingExport { .. }),
            &["wasi:cli/run@0.2.0", "nas:strategy/strategy@0.1.0"],
        ),
        (
            "later-contract",
            |error| matches!(error, LoadError::ExportVersion { .. }),
            &["strategy@0.2.0", "strategy@0.1.0", "rebuild"],
        ),
        ("missing-export", |error| matches!(error, LoadError::MissingFunction { function: "start", .. }), &["`start`"]),
        (
            "undeclared-import",
            |error| matches!(error, LoadError::UndeclaredImport { .. }),
            &["wasi:filesystem/types@0.2.0", "nas:strategy/random@0.1.0"],
        ),
    ];
    for (name, is_named, words) in cases {
        let error = load_error(name);
        assert!(is_named(&error), "{name}: {error:?}");
        for word in words {
            assert!(error.to_string().contains(word), "{name}: {error}");
        }
    }
}

#[test]
fn bytes_that_are_no_component_are_refused_by_what_they_are() {
    let runtime = runtime();
    for (bytes, found) in [
        (&b""[..], "an empty file"),
        (b"\0asm\x01\0\0\0", "a core WebAssembly module"),
        (b"#!/bin/sh", "no WebAssembly at all"),
    ] {
        assert_eq!(runtime.load(bytes).unwrap_err(), LoadError::NotAComponent { found });
    }
    let mut damaged = assemble::hostile("well-behaved");
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    assert!(matches!(runtime.load(&damaged), Err(LoadError::Invalid { .. })));
}

#[test]
fn a_later_import_is_refused_with_both_versions() {
    let text = r#"(component (import "nas:strategy/log@0.3.0" (instance)))"#;
    let error = runtime().load(text.as_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::ImportVersion { .. }));
    assert!(error.to_string().contains("log@0.3.0") && error.to_string().contains("log@0.1.0"), "{error}");
}

#[tokio::test]
async fn a_call_dropped_half_way_leaves_a_dead_instance() {
    let runtime = runtime();
    let mut instance = started(&load(&runtime, "endless-loop")).await;
    {
        let request = request(0);
        let call = instance.ask(&request);
        let mut call = std::pin::pin!(call);
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }
    let error = instance.ask(&request(0)).await.unwrap_err();
    assert!(matches!(&error, CallError::Dead { cause } if cause.contains("abandoned")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strategies_can_be_driven_from_any_thread() {
    let component = load(&runtime(), "well-behaved");
    let searches: Vec<_> = (0..8)
        .map(|_| {
            let component = component.clone();
            tokio::spawn(async move {
                let mut instance = started(&component).await;
                for id in 0..50 {
                    let Ok(Answer::Work(proposals)) = instance.ask(&request(id)).await else { panic!("no work") };
                    instance.tell(&told(id, proposals[0].clone())).await.unwrap();
                }
                instance.random_position()
            })
        })
        .collect();
    for search in searches {
        assert_eq!(search.await.unwrap(), 50 * 30);
    }
}
