//! Searches on shared weights with the real trainer: which kinds of jobs come to their end.
//!
//! Without `nasd-trainer` beside nasd (`cargo xtask build`) nothing is tested, and it is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/killing.rs"]
mod killing;
mod support;

use killing::{SHARED, has_trainer};
use support::{Bench, assemble, built};

/// Order 2 is offered, and ends after as many jobs as order 1. That its gradients are right is host/train's test of
/// parity.
#[test]
fn second_order_darts_searches_by_unrolled_gradients() {
    let Some(darts) = built("darts") else { return };
    if !has_trainer() {
        return;
    }
    let run = |order: &str| {
        let bench = Bench::new(&format!("{SHARED}[strategy.parameters]\n{order}\n"), "well-behaved");
        std::fs::write(bench.path("strategy.wasm"), &darts).unwrap();
        let output = bench.command("state", &["--device", "cpu"]).output().unwrap();
        (support::summary(&output), bench.journal("state", "print").contains(":\"unrolled\""))
    };
    let [(first, first_unrolls), (second, second_unrolls)] = ["order = 1", "order = 2"].map(run);
    for summary in [&first, &second] {
        assert_eq!(summary["failed"], 0, "{summary}");
    }
    assert_eq!(first["jobs"], second["jobs"]);
    assert_eq!([first_unrolls, second_unrolls], [false, true]);
}

/// As well-behaved, but it needs shared weights, and what it trains begins with them.
const FROM_SHARED: &str = r#"
(func (export "nas:strategy/strategy@0.1.0#describe") (result i32)
  (drop (call $ok))
  (i32.store (i32.const 1024) (i32.const 16)) (i32.store (i32.const 1028) (i32.const 12))
  (i32.store (i32.const 1032) (i32.const 32)) (i32.store (i32.const 1036) (i32.const 5))
  (i32.store (i32.const 1040) (i32.const 48)) (i32.store (i32.const 1044) (i32.const 18))
  (i32.store8 (i32.const 1068) (i32.const 1))
  (i32.store (i32.const 1060) (i32.const 96)) (i32.store (i32.const 1064) (i32.const 1))
  (i32.const 1024))
(func $propose (param $genes i32) (param $n-genes i32)
  (memory.fill (i32.const 2048) (i32.const 0) (i32.const 72))
  (i32.store offset=8 (i32.const 2048) (local.get $genes))
  (i32.store offset=12 (i32.const 2048) (local.get $n-genes))
  (i32.store offset=16 (i32.const 2048) (i32.const 2))
  (i32.store8 offset=24 (i32.const 2048) (i32.const 4)))
"#;

#[test]
fn trainings_that_begin_with_the_shared_weights_end_alike_on_any_number_of_trainers() {
    if !has_trainer() {
        return;
    }
    let search = SHARED.replace("validation = 0.5", "validation = 0.5\nfidelity = 2");
    let search = search.replace("[scheduling]", "[budget]\njobs = 6\n[scheduling]\nslots = 2");
    let bench = Bench::new(&search, "well-behaved");
    std::fs::write(bench.path("strategy.wasm"), assemble::component(FROM_SHARED)).unwrap();
    let run = |state: &str, trainers: &str| {
        let output = bench.command(state, &["--device", "cpu", "--trainers", trainers]).output().unwrap();
        support::summary(&output)
    };
    let (one, two) = (run("one", "1"), run("two", "2"));
    assert_eq!((&one["jobs"], &one["failed"]), (&6.into(), &0.into()), "{one}");
    assert_eq!(one["digest"], two["digest"]);
    let journal = bench.journal("one", "print");
    assert!(journal.contains(r#""initial_weights":"shared""#) || journal.contains(r#""initial-weights":"shared""#));
}
