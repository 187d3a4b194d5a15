//! The whole strategy on small problems, against the SDK's test host.

use nas_strategy_sdk::testing::{
    Host, Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, ones, setup, trained, with_parameters,
};
use nas_strategy_sdk::{
    Answer, Bound, FailureKind, Gene, Job, Measure, Proposal, Request, Running, StrategyError, Work,
};
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

#[test]
fn what_another_strategy_has_in_flight_is_not_sampled() {
    let mut host = Host::new(&one_max(2), 0);
    for id in 0..3u64 {
        let genes = vec![Gene::Choice((id & 1) as u32), Gene::Choice((id >> 1) as u32)];
        host.jobs.insert(id, Job { id, proposal: Proposal::train(genes, 10), outcome: None, cost: 0.0 });
    }
    host.install();
    let mut running = Running::<Random>::start(setup(one_max(2))).unwrap();
    let request = Request { slots: 4, next_id: 3, in_flight: vec![0, 1, 2], jobs_left: None, budget_used: 0.0 };
    let Answer::Work(work) = running.ask(&request).unwrap() else { panic!("no work") };
    assert_eq!(work, [Proposal::train(vec![Gene::Choice(1); 2], 10)]);
}
