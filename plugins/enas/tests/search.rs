//! The whole strategy on accuracies written down by hand, against the SDK's test host.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use enas::Enas;
use nas_strategy_sdk::testing::{
    Row, Search, assert_restoring_changes_nothing, choice_space, edges_cell, failed, one_max, setup,
    shared_evaluations, with_parameters,
};
use nas_strategy_sdk::{
    Bound, EvaluationBatches, FailureKind, Gene, Measure, Outcome, Proposal, Role, Running, SearchSpace, Setup,
    SharedStep, Split, StepResult, StrategyError, WeightUpdate, Work,
};

const OPTIONS: [&str; 4] = ["none", "skip_connect", "conv", "pool"];

/// The share of genes that are option 1.
fn ones(genes: &[Gene]) -> f64 {
    genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64
}

/// Shared steps and evaluations whose accuracy is a function of the genes.
fn judged(proposal: &Proposal, accuracy: impl Fn(&[Gene]) -> f64) -> Outcome {
    match &proposal.work {
        Work::TrainShared(steps) => {
            let result = |step: &SharedStep| {
                let measure = |name: &str, value| Measure { name: name.to_owned(), value };
                let accuracy = accuracy(&step.architecture);
                let measures = vec![measure("loss", 1.0 - accuracy), measure("accuracy", accuracy)];
                StepResult { measures, gradients: Vec::new() }
            };
            Outcome::SharedSteps(steps.iter().map(result).collect())
        }
        _ => shared_evaluations(proposal, accuracy),
    }
}

fn run(proposal: &Proposal) -> Outcome {
    judged(proposal, ones)
}

/// Epochs of 50 steps, so that many paths come before the controller's first turn.
fn slowly(mut setup: Setup) -> Setup {
    setup.shared_weights.iter_mut().for_each(|shared| shared.train_batches = 50);
    setup
}

/// A small controller that learns fast.
fn bits(n_bits: u32, json: &str) -> Setup {
    let small = r#""controller-size": 8, "learning-rate": 0.02"#;
    let json = json.replacen('{', &format!("{{{small}{}", if json.len() > 2 { ", " } else { "" }), 1);
    with_parameters(setup(one_max(n_bits)), &json)
}

/// `w`: weight steps, `c`: a turn of the controller, `e`: an evaluation; each with its length.
fn phases(asked: &[Proposal]) -> Vec<(char, usize)> {
    let phase = |proposal: &Proposal| match &proposal.work {
        Work::TrainShared(steps) if steps[0].update == WeightUpdate::Apply => ('w', steps.len()),
        Work::TrainShared(steps) => {
            assert!(steps.iter().all(|step| step.split == Split::Validation && !step.same_minibatch));
            ('c', steps.len())
        }
        Work::EvaluateShared(work) => ('e', work.architectures.len()),
        other => panic!("{other:?}"),
    };
    asked.iter().map(phase).collect()
}

/// Mean accuracy of the paths of the first and of the last weight steps.
fn first_and_last(asked: &[Proposal], accuracy: impl Fn(&[Gene]) -> f64) -> (f64, f64) {
    let trained = asked.iter().flat_map(|proposal| match &proposal.work {
        Work::TrainShared(steps) if steps[0].update == WeightUpdate::Apply => steps.as_slice(),
        _ => &[],
    });
    let scores: Vec<f64> = trained.map(|step| accuracy(&step.architecture)).collect();
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    (mean(&scores[..50]), mean(&scores[scores.len() - 50..]))
}

#[test]
fn weights_and_controller_take_turns_by_epochs() {
    // 5 training minibatches an epoch, 12 steps.
    let json = r#"{"steps": 12, "steps-per-job": 3, "controller-steps": 2, "aggregate": 4}"#;
    let record = Search::<Enas, _>::new(bits(4, json), run).run();
    let turn = [('w', 3), ('w', 2), ('c', 4), ('c', 4)];
    let (samples, trained) = phases(&record.asked).split_last().map(|(last, rest)| (*last, rest.to_vec())).unwrap();
    assert_eq!(trained, [&turn[..], &turn[..], &[('w', 2), ('c', 4), ('c', 4)]].concat());
    assert!(samples.0 == 'e' && (1..=10).contains(&samples.1));
    assert_eq!(record.chart("baseline").len(), 6);
    assert!(record.finished.unwrap().contains("samples"));
}

#[test]
fn the_controller_moves_to_the_better_options() {
    let record = Search::<Enas, _>::new(slowly(bits(8, r#"{"steps": 300, "operation-tanh-reduce": 0.5}"#)), run)
        .jobs(2_000)
        .run();
    let (first, last) = first_and_last(&record.asked, ones);
    assert!(first < 0.65 && last > 0.8, "{first} to {last}");
    let entropies = record.chart("controller entropy");
    assert!(entropies.last().unwrap() < &(0.8 * entropies[0]));
    let rewards = record.chart("mean reward");
    assert!(rewards.last().unwrap() > &(rewards[0] + 0.15));
    assert!(ones(&record.recommended[0]) > 0.9);
}

/// Two nodes that choose among the nodes before.
fn chosen_inputs() -> SearchSpace {
    let operations = ["sep_conv_3x3", "max_pool_3x3"];
    let rows: Vec<Row> = vec![
        ("in0", Role::Input, (0, 2), &["0", "1"]),
        ("op0", Role::Operation, (0, 2), &operations),
        ("in1", Role::Input, (0, 3), &["0", "1", "2"]),
        ("op1", Role::Operation, (0, 3), &operations),
    ];
    let mut space = choice_space(&rows);
    for (decision, sources) in [(0, vec![0, 1]), (2, vec![0, 1, 2])] {
        space.decisions[decision].sources = sources;
    }
    space
}

#[test]
fn attention_learns_which_node_to_read() {
    let json = r#"{"steps": 300, "controller-size": 16, "learning-rate": 0.01, "tanh-constant": 2.5}"#;
    let setup = with_parameters(setup(chosen_inputs()), json);
    // The second node should read the first.
    let reads = |genes: &[Gene]| f64::from(u8::from(genes[2] == Gene::Choice(2)));
    let record = Search::<Enas, _>::new(slowly(setup), |proposal| judged(proposal, reads)).jobs(2_000).run();
    let (first, last) = first_and_last(&record.asked, reads);
    assert!(first < 0.6 && last > 0.8, "{first} to {last}");
}

#[test]
fn skip_connections_are_drawn_to_their_target() {
    let mut rows: Vec<Row> = vec![("op0", Role::Operation, (0, 0), &["conv", "pool"])];
    let names = ["s10", "s20", "s21", "s30", "s31", "s32"];
    let places = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)];
    for ((node, _), name) in places.into_iter().zip(names) {
        rows.push((name, Role::Skip, (0, node), &["off", "on"]));
    }
    let mut space = choice_space(&rows);
    for (decision, (_, source)) in (1..).zip(places) {
        space.decisions[decision].sources = vec![source];
    }
    // Rewards say nothing; the divergence pulls: to a share of 0.05 by a large weight.
    let json = r#"{"steps": 150, "controller-size": 8, "learning-rate": 0.02, "tanh-constant": 2.5,
        "skip-target": 0.05, "skip-weight": 5.0}"#;
    let setup = with_parameters(setup(space), json);
    let record = Search::<Enas, _>::new(slowly(setup), |proposal| judged(proposal, |_| 0.5)).jobs(2_000).run();
    let (first, last) = first_and_last(&record.asked, |genes| ones(&genes[1..]));
    assert!(first > 0.3 && last < 0.15, "{first} to {last}");
}

#[test]
fn samples_at_the_end_share_their_minibatch_and_the_best_is_recommended() {
    let record = Search::<Enas, _>::new(bits(6, r#"{"steps": 10, "controller-steps": 1}"#), run).run();
    let Work::EvaluateShared(work) = &record.asked.last().unwrap().work else { panic!() };
    assert_eq!(work.batches, EvaluationBatches::First(1));
    let best = work.architectures.iter().map(|genes| ones(genes)).fold(0.0, f64::max);
    assert_eq!(ones(&record.recommended[0]), best);
    for (idx, genes) in work.architectures.iter().enumerate() {
        assert!(!work.architectures[..idx].contains(genes), "{genes:?} twice");
    }
}

#[test]
fn the_likeliest_is_recommended_before_the_end_and_obeys_the_rules() {
    for jobs in [0, 1, 6] {
        let setup = with_parameters(setup(edges_cell(2, 3, &OPTIONS)), r#"{"controller-size": 6}"#);
        let record = Search::<Enas, _>::new(setup, run).jobs(jobs).run();
        assert_eq!(record.recommended.len(), 1);
    }
}

#[test]
fn everything_sampled_lies_within_the_constraints() {
    let cost = |genes: &[Gene]| Ok(vec![Measure { name: "flops".to_owned(), value: ones(genes) }]);
    let mut setup = bits(8, r#"{"steps": 60}"#);
    setup.constraints = vec![Bound { metric: "flops".to_owned(), at_least: None, at_most: Some(0.5) }];
    let record = Search::<Enas, _>::new(setup, run).costs(cost).jobs(1_000).run();
    for proposal in &record.asked {
        let genes: Vec<_> = match &proposal.work {
            Work::TrainShared(steps) => steps.iter().map(|step| &step.architecture).collect(),
            Work::EvaluateShared(work) => work.architectures.iter().collect(),
            other => panic!("{other:?}"),
        };
        assert!(genes.iter().all(|genes| ones(genes) <= 0.5));
    }
}

#[test]
fn a_search_with_few_jobs_ends_its_training_in_time_to_derive() {
    let record = Search::<Enas, _>::new(bits(6, r#"{"steps": 100000}"#), run).jobs(20).run();
    assert_eq!(phases(&record.asked).last().map(|(letter, _)| *letter), Some('e'));
    assert!(record.finished.is_some() || record.asked.len() == 20);
}

#[test]
fn failed_jobs_are_passed_over_and_a_hopeless_search_ends() {
    let json = r#"{"steps": 10, "controller-steps": 3}"#;
    let mut n = 0;
    let record = Search::<Enas, _>::new(bits(4, json), |proposal| {
        n += 1;
        if n % 2 == 0 { failed(FailureKind::Infrastructure) } else { run(proposal) }
    })
    .run();
    assert_eq!(phases(&record.asked).iter().filter(|(letter, _)| *letter == 'c').count(), 6);
    let record = Search::<Enas, _>::new(bits(4, json), |_| failed(FailureKind::Unsupported)).run();
    assert!(record.finished.unwrap().contains("the test wants it so") || record.told.len() < 20);
}

#[test]
fn rewards_that_are_no_numbers_leave_the_controller_alone() {
    let record = Search::<Enas, _>::new(bits(4, r#"{"steps": 10}"#), |proposal| judged(proposal, |_| f64::NAN)).run();
    assert!(record.chart("baseline").is_empty());
    assert_eq!(record.recommended.len(), 1);
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    let json = r#"{"steps-per-job": 3, "controller-steps": 2, "aggregate": 3, "controller-size": 6}"#;
    for slots in [1, 3] {
        let cell = || with_parameters(setup(edges_cell(2, 3, &OPTIONS)), json);
        assert_restoring_changes_nothing(|| Search::<Enas, _>::new(cell(), run).seed(5).slots(slots));
        let inputs = || with_parameters(setup(chosen_inputs()), json);
        assert_restoring_changes_nothing(|| Search::<Enas, _>::new(inputs(), run).seed(6).slots(slots));
    }
}

#[test]
fn a_takeover_by_replay_has_the_controller_of_the_one_before_it() {
    let json = r#"{"controller-steps": 3}"#;
    let whole = Search::<Enas, _>::new(bits(6, json), run).run();
    let first = Search::<Enas, _>::new(bits(6, json), run).jobs(6).run();
    let mut rest = bits(6, json);
    rest.shared_weights.as_mut().unwrap().steps_done = 10;
    let rest = Search::<Enas, _>::new(rest, run).replaying(first.told).run();
    assert_eq!(phases(&rest.asked)[..8], phases(&whole.asked)[6..14]);
    // It began with other draws, so its controller is another; the baseline is not.
    assert!(rest.chart("baseline")[0] > 0.0);
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"aggregate": 0}"#, "aggregate: at least 1"),
        (r#"{"controller-size": 1000}"#, "controller-size: 1000 is more than 256"),
        (r#"{"baseline-decay": 1.0}"#, "baseline-decay: 1"),
        (r#"{"operation-tanh-reduce": 0.0}"#, "operation-tanh-reduce: 0"),
        (r#"{"skip-target": 0.0}"#, "skip-target: 0"),
        (r#"{"temperature": -1.0}"#, "temperature: -1"),
        (r#"{"alpha": 1}"#, "alpha"),
    ] {
        match Running::<Enas>::start(with_parameters(setup(one_max(2)), json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
