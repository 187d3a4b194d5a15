//! The whole strategy on small problems, against the SDK's test host.

use nas_strategy_sdk::testing::{
    Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, ones, setup, trained, with_parameters,
};
use nas_strategy_sdk::{Bound, FailureKind, Gene, Measure, Running, StrategyError, Work};
use random::Random;

#[test]
fn no_architecture_is_trained_twice_and_a_small_space_is_searched_through() {
    let record = Search::<Random, _>::new(setup(one_max(5)), |p| trained(ones(p))).slots(3).jobs(100).run();
    let mut architectures: Vec<String> = record.architectures().iter().map(|genes| format!("{genes:?}")).collect();
    architectures.sort();
    architectures.dedup();
    assert_eq!((record.told.len(), architectures.len()), (32, 32));
    assert!(record.finished.unwrap().contains("searched through"));
}

#[test]
fn repetition_is_allowed_on_request() {
    let setup = with_parameters(setup(one_max(2)), r#"{"unique": false}"#);
    let record = Search::<Random, _>::new(setup, |p| trained(ones(p))).jobs(50).run();
    assert_eq!((record.told.len(), record.finished), (50, None));
}

#[test]
fn trainings_go_to_the_fidelity_asked_for() {
    for (json, expected) in [("", 10), (r#"{"fidelity": 3}"#, 3)] {
        let record =
            Search::<Random, _>::new(with_parameters(setup(one_max(9)), json), |p| trained(ones(p))).jobs(2).run();
        assert!(record.asked.iter().all(|p| matches!(&p.work, Work::Train(training) if training.fidelity == expected)));
    }
}

#[test]
fn what_a_strategy_before_it_trained_is_known() {
    let first = Search::<Random, _>::new(setup(one_max(4)), |_| failed(FailureKind::Diverged)).jobs(10).run();
    let second =
        Search::<Random, _>::new(setup(one_max(4)), |p| trained(ones(p))).seed(9).replaying(first.told.clone()).run();
    assert_eq!(second.told.len(), 6);
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    assert_restoring_changes_nothing(|| {
        Search::<Random, _>::new(setup(edges_cell(1, 3, &["none", "a", "b"])), |p| trained(ones(p))).slots(4).jobs(60)
    });
}

#[test]
fn a_fidelity_beyond_the_task_is_refused() {
    let refused = Running::<Random>::start(with_parameters(setup(one_max(4)), r#"{"fidelity": 99}"#));
    assert!(matches!(refused, Err(StrategyError::InvalidParameters(_))));
}

#[test]
fn constraints_of_the_search_are_kept_to() {
    // At most a third of the genes may be ones.
    let share =
        |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64;
    let mut setup = setup(one_max(12));
    setup.constraints = vec![Bound { metric: "share".to_owned(), at_least: None, at_most: Some(1.0 / 3.0) }];
    let record = Search::<Random, _>::new(setup, |p| trained(ones(p)))
        .costs(move |genes| Ok(vec![Measure { name: "share".to_owned(), value: share(genes) }]))
        .jobs(80)
        .run();
    assert_eq!(record.told.len(), 80);
    assert!(record.architectures().iter().all(|genes| share(genes) <= 1.0 / 3.0));
}
