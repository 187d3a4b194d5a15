//! The whole strategy on small problems, against the SDK's test host.

use std::collections::BTreeSet;

use nas_strategy_sdk::testing::{
    Delivery, Search, assert_restoring_changes_nothing, edges_cell, failed, minimizing, mixed_score, mixed_space,
    one_max, ones, setup, trained, trained_to_loss, with_parameters,
};
use nas_strategy_sdk::{
    Architecture, Bound, FailureKind, Gene, Job, Measure, Outcome, Proposal, Running, Setup, StrategyError,
};
use reinforce::Reinforce;

fn small(json: &str) -> Setup {
    with_parameters(setup(one_max(10)), json)
}

fn score(proposal: &Proposal) -> Outcome {
    trained(ones(proposal))
}

/// Mean share of ones among the last `n` told.
fn last_mean(told: &[Job], n: usize) -> f64 {
    told[told.len() - n..].iter().map(|job| ones(&job.proposal)).sum::<f64>() / n as f64
}

#[test]
fn the_policy_learns_to_draw_ones_for_every_seed_with_one_slot_and_with_several() {
    for seed in 0..5 {
        for (slots, delivery) in [(1, Delivery::FirstIn), (5, Delivery::LastIn)] {
            let json = r#"{"learning-rate": 0.03, "repetition": "allowed"}"#;
            let search = Search::<Reinforce, _>::new(small(json), score);
            let record = search.seed(seed).slots(slots).delivery(delivery).jobs(600).run();
            assert!(last_mean(&record.told, 50) > 0.9, "seed {seed}: {}", last_mean(&record.told, 50));
        }
    }
}

#[test]
fn a_loss_is_learned_downwards() {
    let setup = minimizing(small(r#"{"learning-rate": 0.03}"#));
    let record = Search::<Reinforce, _>::new(setup, |p| trained_to_loss(1.0 - ones(p))).jobs(600).run();
    assert!(last_mean(&record.told, 50) > 0.9);
}

#[test]
fn all_kinds_of_decisions_are_learned() {
    let setup = with_parameters(setup(mixed_space()), r#"{"learning-rate": 0.05}"#);
    let record = Search::<Reinforce, _>::new(setup, |p| trained(mixed_score(p))).slots(3).jobs(600).run();
    let mean = |told: &[Job]| told.iter().map(|job| mixed_score(&job.proposal)).sum::<f64>() / told.len() as f64;
    let (first, last) = (mean(&record.told[..50]), mean(&record.told[550..]));
    assert!(last > 0.85 && last > first + 0.2, "{first} then {last}");
}

#[test]
fn without_rewards_nothing_is_learned() {
    let json = r#"{"initial-deviation": 0.0, "learning-rate": 1.0}"#;
    for outcome in [failed(FailureKind::Diverged), trained(f64::INFINITY), trained_to_loss(0.5)] {
        let mut running = Running::<Reinforce>::start(small_on_host(json)).unwrap();
        for id in 0..20 {
            let proposal = Proposal::train(vec![Gene::Choice(1); 10], 10);
            running.tell(&Job { id, proposal, outcome: Some(outcome.clone()), cost: 1.0 }).unwrap();
        }
        assert!(running.state().logits().iter().all(|logit| *logit == 0.0));
    }
}

fn small_on_host(json: &str) -> Setup {
    let setup = small(json);
    nas_strategy_sdk::testing::Host::new(&setup.space, 0).install();
    setup
}

#[test]
fn one_step_is_the_one_written_out() {
    // Two results: with the baseline updated first the second is 2/1.9 of half their difference above it ...
    let json = r#"{"initial-deviation": 0.0, "learning-rate": 0.1}"#;
    let mut running = Running::<Reinforce>::start(small_on_host(json)).unwrap();
    let job = |id, option, accuracy| Job {
        id,
        proposal: Proposal::train(vec![Gene::Choice(option); 10], 10),
        outcome: Some(trained(accuracy)),
        cost: 1.0,
    };
    running.tell(&job(0, 0, 0.5)).unwrap();
    // ... the first gives no advantage, so nothing moves.
    assert!(running.state().logits().iter().all(|logit| *logit == 0.0));
    running.tell(&job(1, 1, 0.7)).unwrap();
    let baseline = (0.9 * 0.1 * 50.0 + 0.1 * 70.0) / (0.9 * 0.1 + 0.1);
    let slope: f64 = (70.0 - baseline) * -0.5;
    let first = 0.1 * slope / (1.0 - 0.9f64.powi(2));
    let second = 0.001 * slope * slope / (1.0 - 0.999f64.powi(2));
    let expected = -0.1 * first / (second.sqrt() + 1e-8);
    for pair in running.state().logits().chunks(2) {
        assert!((pair[1] - expected).abs() < 1e-12 && (pair[0] + expected).abs() < 1e-12, "{pair:?}, {expected}");
    }
}

#[test]
fn ten_thousands_of_results_leave_finite_logits_and_a_small_snapshot() {
    for json in [r#"{"learning-rate": 0.5}"#, r#"{"learning-rate": 0.5, "entropy-weight": 10.0}"#] {
        let mut running = Running::<Reinforce>::start(small_on_host(json)).unwrap();
        for id in 0..20_000u64 {
            let genes: Architecture = (0..10).map(|bit| Gene::Choice((id >> bit & 1) as u32)).collect();
            let proposal = Proposal::train(genes, 10);
            let outcome = Some(trained(ones(&proposal)));
            running.tell(&Job { id, proposal, outcome, cost: 1.0 }).unwrap();
        }
        assert!(running.state().logits().iter().all(|logit| logit.is_finite()));
        assert!(running.save().unwrap().bytes.len() < 1_000);
    }
}

#[test]
fn nothing_is_proposed_twice_at_the_same_time_even_when_the_policy_has_settled() {
    // First in, first out on four slots: any four in a row are in flight together.
    let json = r#"{"learning-rate": 0.5}"#;
    let setup = with_parameters(setup(one_max(3)), json);
    let record = Search::<Reinforce, _>::new(setup, score).slots(4).jobs(400).run();
    let all: Vec<String> = record.architectures().iter().map(|genes| format!("{genes:?}")).collect();
    assert!(all.windows(4).all(|four| four.iter().collect::<BTreeSet<_>>().len() == 4));
    let best = record.told[360..].iter().filter(|job| ones(&job.proposal) == 1.0).count();
    assert!((8..=10).contains(&best), "of 40 the best is {best}, as often as it may");
}

#[test]
fn a_space_smaller_than_the_slots_is_waited_for_and_without_repetition_it_ends() {
    let record = Search::<Reinforce, _>::new(setup(one_max(1)), score).slots(5).jobs(40).run();
    assert_eq!((record.told.len(), record.finished), (40, None));
    let never = with_parameters(setup(one_max(3)), r#"{"repetition": "never"}"#);
    let record = Search::<Reinforce, _>::new(never, score).slots(5).jobs(40).run();
    assert_eq!(record.told.len(), 8);
    assert!(record.finished.unwrap().contains("known already"));
}

#[test]
fn samples_of_a_cell_of_edges_obey_its_rule() {
    let setup = with_parameters(setup(edges_cell(2, 3, &["none", "a", "b"])), r#"{"learning-rate": 0.3}"#);
    let record = Search::<Reinforce, _>::new(setup, score).slots(3).jobs(150).run();
    assert_eq!(record.told.len(), 150); // The test host checks every proposal.
}

#[test]
fn a_fifth_of_failed_jobs_is_survived_in_any_order() {
    let mut n = 0;
    let record = Search::<Reinforce, _>::new(small(r#"{"learning-rate": 0.03}"#), |proposal| {
        n += 1;
        if n % 5 == 0 { failed(FailureKind::OutOfMemory) } else { score(proposal) }
    })
    .slots(4)
    .delivery(Delivery::LastIn)
    .jobs(800)
    .run();
    assert!(last_mean(&record.told, 50) > 0.8);
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    for json in ["{}", r#"{"repetition": "never", "entropy-weight": 0.1}"#] {
        assert_restoring_changes_nothing(|| {
            let setup = with_parameters(setup(mixed_space()), json);
            Search::<Reinforce, _>::new(setup, |p| trained(mixed_score(p))).slots(4).delivery(Delivery::LastIn).jobs(80)
        });
    }
}

#[test]
fn results_of_a_strategy_before_it_teach_the_policy() {
    let first = Search::<Reinforce, _>::new(small(r#"{"learning-rate": 0.03}"#), score).jobs(600).run();
    let setup = small(r#"{"learning-rate": 0.03, "initial-deviation": 0.0}"#);
    let second = Search::<Reinforce, _>::new(setup, score).replaying(first.told).jobs(50).run();
    assert!(last_mean(&second.told, 50) > 0.9);
}

#[test]
fn constraints_of_the_search_are_kept_to() {
    // At most a third of the genes may be ones, which is what is rewarded.
    let share =
        |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64;
    let mut setup = with_parameters(setup(one_max(12)), r#"{"learning-rate": 0.1}"#);
    setup.constraints = vec![Bound { metric: "share".to_owned(), at_least: None, at_most: Some(1.0 / 3.0) }];
    let record = Search::<Reinforce, _>::new(setup, score)
        .costs(move |genes| Ok(vec![Measure { name: "share".to_owned(), value: share(genes) }]))
        .jobs(200)
        .run();
    assert_eq!(record.told.len(), 200);
    assert!(record.architectures().iter().all(|genes| share(genes) <= 1.0 / 3.0));
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"learning-rate": 0}"#, "learning-rate: 0"),
        (r#"{"baseline-momentum": 1.0}"#, "baseline-momentum: 1"),
        (r#"{"entropy-weight": -1}"#, "entropy-weight: -1"),
        (r#"{"bins": 0}"#, "bins"),
        (r#"{"repetition": "often"}"#, "repetition"),
    ] {
        match Running::<Reinforce>::start(small(json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
