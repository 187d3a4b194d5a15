//! The conformance suite on a strategy that keeps the contract, and on strategies that break one promise each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use nasd_strategy::Limits;
use nasd_strategy::conformance::{CheckOptions, ConformanceReport, check};
use support::*;

/// From another thread, as a daemon would.
async fn report(component: Vec<u8>) -> ConformanceReport {
    tokio::spawn(checked(component)).await.unwrap()
}

async fn checked(component: Vec<u8>) -> ConformanceReport {
    let runtime = runtime();
    let component = runtime.load(&component).unwrap();
    let limits = Limits { memory_bytes: 16 << 20, ..tight() };
    check(&runtime, &component, CheckOptions { jobs: 12, limits, ..CheckOptions::default() }).await
}

fn failed(report: &ConformanceReport) -> Vec<&'static str> {
    report.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

#[tokio::test]
async fn a_well_behaved_strategy_keeps_every_promise() {
    let report = report(assemble::hostile("well-behaved")).await;
    let failures: Vec<_> = report.checks.iter().filter(|check| !check.passed).collect();
    assert!(report.passed(), "{failures:#?}");
    assert_eq!(report.checks.len(), 14);
    assert_eq!(report.descriptor.unwrap().reads[0].name, "told");
}

#[tokio::test]
async fn each_broken_promise_is_found() {
    for (name, promise) in [
        ("endless-loop", "asks for no more than its slots, and for valid work only"),
        ("too-many-items", "asks for no more than its slots, and for valid work only"),
        ("invalid-architecture", "asks for no more than its slots, and for valid work only"),
        ("nan-weights", "asks for no more than its slots, and for valid work only"),
        ("wait-forever", "never waits with nothing in flight"),
        ("draws-in-save", "save and recommend change nothing"),
        ("impure-describe", "describe is pure"),
        ("panic-in-every-call", "describe is pure"),
    ] {
        let report = report(assemble::hostile(name)).await;
        assert!(failed(&report).contains(&promise), "{name}: {:#?}", report.checks);
    }
}

#[tokio::test]
async fn state_that_a_snapshot_forgets_is_found() {
    // Draws a number ahead in every second `ask`, by a count that `save` leaves out.
    let forgetful = r#"
(global $calls (mut i32) (i32.const 0))
(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.and (global.get $calls) (i32.const 1)) (then (drop (call $next-u64))))
  (call $sample (i32.const 0) (i32.const 0) (i32.const 512))
  (call $propose (i32.load offset=4 (i32.const 512)) (i32.load offset=8 (i32.const 512)))
  (call $work (i32.const 1)))
"#;
    let report = report(assemble::component(forgetful)).await;
    assert_eq!(failed(&report), ["save and restore before every call change nothing"], "{:#?}", report.checks);
}
