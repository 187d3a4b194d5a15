//! The whole strategy on losses written down by hand, against the SDK's test host.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use darts::{Darts, Mixtures};
use nas_strategy_sdk::testing::{
    Host, Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, setup, shared_steps, trained,
    with_parameters,
};
use nas_strategy_sdk::{
    FailureKind, Features, Gene, MixtureGradient, Outcome, Proposal, Running, Setup, SharedStep, Split, StrategyError,
    WeightUpdate, Work,
};

const OPTIONS: [&str; 4] = ["none", "skip_connect", "conv", "pool"];

/// A loss linear in the mixtures: option o of decision d costs `(o + d) mod n`, so each decision has another
/// best option, `(n - d mod n) mod n`.
fn linear(step: &SharedStep) -> (f64, Vec<Vec<f32>>) {
    let mut loss = 0.0;
    let gradients = step.architecture.iter().enumerate().map(|(decision, gene)| {
        let Gene::Mixture(listed) = gene else { panic!("not a mixture") };
        let costs: Vec<f32> = (0..listed.len()).map(|option| ((option + decision) % listed.len()) as f32).collect();
        loss += listed.iter().zip(&costs).map(|(option, cost)| f64::from(option.weight * cost)).sum::<f64>();
        costs
    });
    let gradients = gradients.collect();
    (loss, gradients)
}

fn train(proposal: &Proposal) -> Outcome {
    shared_steps(proposal, linear)
}

fn cell(json: &str) -> Setup {
    with_parameters(setup(edges_cell(2, 4, &OPTIONS)), json)
}

fn steps(proposal: &Proposal) -> &[SharedStep] {
    match &proposal.work {
        Work::TrainShared(steps) => steps,
        other => panic!("{other:?}"),
    }
}

/// `W`: a weight step on the training split; `V`: a gradient on the validation split.
fn letters(asked: &[Proposal]) -> Vec<String> {
    let letter = |step: &SharedStep| match (step.split, step.update, step.gradient) {
        (Split::Train, WeightUpdate::Apply, MixtureGradient::None) => 'W',
        (Split::Validation, WeightUpdate::None, MixtureGradient::Direct) => 'V',
        (Split::Validation, WeightUpdate::None, MixtureGradient::Unrolled) => 'U',
        other => panic!("{other:?}"),
    };
    asked.iter().map(|proposal| steps(proposal).iter().map(letter).collect()).collect()
}

#[test]
fn an_iteration_is_one_job_and_the_architecture_step_comes_first() {
    let record = Search::<Darts, _>::new(cell(r#"{"steps": 3}"#), train).run();
    assert_eq!(letters(&record.asked), ["V", "WV", "WV", "W"]);
    assert!(record.finished.unwrap().contains("all 3 weight steps"));
}

#[test]
fn it_ends_with_the_schedule_of_the_task() {
    let record = Search::<Darts, _>::new(cell(""), train).slots(4).run();
    assert_eq!(record.asked.len(), 21);
    assert!(record.finished.is_some());
}

#[test]
fn both_steps_of_a_job_see_the_same_mixtures() {
    let record = Search::<Darts, _>::new(cell(r#"{"steps": 4}"#), train).run();
    for proposal in record.asked.iter().filter(|proposal| steps(proposal).len() == 2) {
        assert_eq!(steps(proposal)[0].architecture, steps(proposal)[1].architecture);
    }
    assert_ne!(steps(&record.asked[1])[0].architecture, steps(&record.asked[2])[0].architecture);
}

#[test]
fn all_options_weigh_the_same_at_first_and_sum_to_one_ever_after() {
    let record = Search::<Darts, _>::new(cell(r#"{"steps": 9, "learning-rate": 0.3}"#), train).run();
    for gene in &steps(&record.asked[0])[0].architecture {
        let Gene::Mixture(listed) = gene else { panic!() };
        assert!(listed.iter().zip(0..).all(|(option, index)| option.index == index && option.weight == 0.25));
    }
    for gene in record.asked.iter().flat_map(|proposal| &steps(proposal)[0].architecture) {
        let Gene::Mixture(listed) = gene else { panic!() };
        assert!((listed.iter().map(|option| option.weight).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn mixtures_move_towards_the_option_of_lowest_gradient() {
    let setup = with_parameters(setup(one_max(6)), r#"{"steps": 60, "learning-rate": 0.1}"#);
    let record = Search::<Darts, _>::new(setup, train).run();
    // Option o of decision d costs (o + d) mod 2: even decisions like 0, odd ones 1.
    assert_eq!(record.recommended, [(0..6).map(|decision| Gene::Choice(decision % 2)).collect::<Vec<_>>()]);
    let losses = record.chart("loss validation");
    assert!(losses.last().unwrap() < &(0.1 * losses[0]), "{losses:?}");
    let entropies = record.chart("mixture entropy");
    assert!(entropies.last().unwrap() < &entropies[0]);
}

#[test]
fn the_logits_follow_adam_on_the_chain_rule_written_out() {
    // One decision of two options, loss = weight of option 1, so d loss / d alpha_1 = m_0 m_1 = -d loss / d alpha_0.
    let setup = with_parameters(setup(one_max(1)), r#"{"steps": 3, "learning-rate": 0.2}"#);
    let record = Search::<Darts, _>::new(setup, |p| shared_steps(p, |_| (0.0, vec![vec![0.0, 1.0]]))).run();
    let (mut alpha, mut first, mut second) = ([0.0f64; 2], [0.0f64; 2], [0.0f64; 2]);
    for (step, proposal) in (1..).zip(record.asked.iter().skip(1)) {
        let share = 1.0 / (1.0 + (alpha[0] - alpha[1]).exp());
        let slope = share * (1.0 - share);
        for (idx, slope) in [(0, -slope), (1, slope)] {
            let slope = slope + 1e-3 * alpha[idx];
            first[idx] = 0.5 * first[idx] + 0.5 * slope;
            second[idx] = 0.999 * second[idx] + 0.001 * slope * slope;
            let root = (second[idx] / (1.0 - 0.999f64.powi(step))).sqrt();
            alpha[idx] -= 0.2 * first[idx] / (1.0 - 0.5f64.powi(step)) / (root + 1e-8);
        }
        let expected = 1.0 / (1.0 + (alpha[0] - alpha[1]).exp());
        let Gene::Mixture(listed) = &steps(proposal)[0].architecture[0] else { panic!() };
        assert!((f64::from(listed[1].weight) - expected).abs() < 1e-6, "step {step}: {listed:?} for {expected}");
    }
}

#[test]
fn the_genotype_obeys_the_rule_from_the_first_call_on() {
    // The test host checks what is recommended.
    for jobs in [0, 1, 7] {
        let record = Search::<Darts, _>::new(cell(r#"{"initial": "normal"}"#), train).seed(jobs).jobs(jobs).run();
        assert_eq!(record.recommended.len(), 1);
    }
}

#[test]
fn normal_initial_logits_differ_by_seed_and_stay_close_to_zero() {
    let first = |seed| {
        let record = Search::<Darts, _>::new(cell(r#"{"initial": "normal"}"#), train).seed(seed).jobs(1).run();
        steps(&record.asked[0])[0].architecture.clone()
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
    for gene in first(1) {
        let Gene::Mixture(listed) = gene else { panic!() };
        assert!(listed.iter().all(|option| (option.weight - 0.25).abs() < 2e-3));
    }
}

#[test]
fn warm_up_epochs_train_weights_alone() {
    // 5 minibatches an epoch, so 10 weight steps without a gradient, then the alternation.
    let record = Search::<Darts, _>::new(cell(r#"{"warm-up-epochs": 2, "steps": 12}"#), train).run();
    assert_eq!(letters(&record.asked), ["W".repeat(10), "V".to_owned(), "WV".to_owned(), "W".to_owned()]);
}

#[test]
fn a_long_warm_up_is_asked_for_in_pieces_and_ends_with_the_schedule() {
    let record = Search::<Darts, _>::new(cell(r#"{"warm-up-epochs": 50, "steps": 70}"#), train).run();
    assert_eq!(letters(&record.asked).iter().map(String::len).collect::<Vec<_>>(), [32, 32, 6]);
}

#[test]
fn the_search_ends_with_the_epoch_in_which_skip_connections_take_over() {
    // Every edge prefers `skip_connect`, option 1.
    let prefers_skips = |proposal: &Proposal| {
        shared_steps(proposal, |step| (1.0, step.architecture.iter().map(|_| vec![0.5, 0.0, 1.0, 1.0]).collect()))
    };
    let json = r#"{"steps": 100, "learning-rate": 0.1, "stop-at-skips": 2}"#;
    let record = Search::<Darts, _>::new(cell(json), prefers_skips).run();
    assert!(record.finished.unwrap().contains("8 skip connections in the first cell"));
    // After the first epoch: five gradients, one a job.
    assert_eq!(record.told.len(), 5);
    let never = Search::<Darts, _>::new(cell(r#"{"steps": 20, "learning-rate": 0.1}"#), prefers_skips).run();
    assert!(never.finished.unwrap().contains("all 20 weight steps"));
}

#[test]
fn the_mean_weight_of_each_operation_is_charted_once_an_epoch() {
    let record = Search::<Darts, _>::new(cell(r#"{"steps": 12, "learning-rate": 0.1}"#), train).run();
    let shares: Vec<Vec<f64>> = OPTIONS.iter().map(|name| record.chart(&format!("weight of {name}"))).collect();
    for epoch in 0..2 {
        assert!((shares.iter().map(|shares| shares[epoch]).sum::<f64>() - 1.0).abs() < 1e-9);
    }
    assert!(shares.iter().all(|shares| shares.len() == 2));
}

#[test]
fn second_order_asks_for_unrolled_gradients_and_needs_them_offered() {
    let record = Search::<Darts, _>::new(cell(r#"{"order": 2, "steps": 2}"#), train).run();
    assert_eq!(letters(&record.asked), ["U", "WU", "W"]);
    let mut poor = cell(r#"{"order": 2}"#);
    poor.offers.remove(Features::UNROLLED_GRADIENTS);
    assert!(matches!(Running::<Darts>::start(poor), Err(StrategyError::InvalidParameters(_))));
    let mut poor = cell("");
    poor.offers.remove(Features::UNROLLED_GRADIENTS);
    assert!(Running::<Darts>::start(poor).is_ok());
}

#[test]
fn failed_jobs_are_passed_over_and_the_search_still_ends_after_as_many_jobs() {
    let mut n = 0;
    let record = Search::<Darts, _>::new(cell(""), |proposal| {
        n += 1;
        if n % 3 == 0 { failed(FailureKind::Infrastructure) } else { train(proposal) }
    })
    .run();
    assert_eq!(record.asked.len(), 21);
    assert!(record.finished.unwrap().contains("all 20 weight steps"));
}

#[test]
fn a_search_in_which_everything_fails_ends_with_the_reason() {
    let setup = cell(r#"{"steps": 1000}"#);
    let record = Search::<Darts, _>::new(setup, |_| failed(FailureKind::Unsupported)).run();
    assert_eq!(record.told.len(), 20);
    assert!(record.finished.unwrap().contains("the test wants it so"));
}

#[test]
fn a_gradient_that_is_not_a_number_leaves_the_logits_alone() {
    let record = Search::<Darts, _>::new(cell(r#"{"steps": 5}"#), |proposal| {
        shared_steps(proposal, |step| (1.0, linear(step).1.iter().map(|list| vec![f32::NAN; list.len()]).collect()))
    })
    .run();
    let genes = &steps(record.asked.last().unwrap())[0].architecture;
    assert_eq!(genes, &steps(&record.asked[0])[0].architecture);
}

#[test]
fn jobs_of_other_strategies_are_survived() {
    let space = edges_cell(2, 4, &OPTIONS);
    Host::new(&space, 1).install();
    let other = Proposal::train(nas_strategy_sdk::space::sample(&[]).unwrap(), 3);
    let job = nas_strategy_sdk::Job { id: 0, proposal: other, outcome: Some(trained(0.4)), cost: 1.0 };
    let record = Search::<Darts, _>::new(cell(r#"{"steps": 2}"#), train).replaying(vec![job]).run();
    assert_eq!(letters(&record.asked), ["V", "WV", "W"]);
}

#[test]
fn a_takeover_by_replay_has_the_logits_of_the_one_before_it() {
    let json = r#"{"steps": 12, "learning-rate": 0.05}"#;
    let whole = Search::<Darts, _>::new(cell(json), train).run();
    let first = Search::<Darts, _>::new(cell(json), train).jobs(6).run();
    let mut rest = cell(json);
    // Jobs V, WV x 5.
    rest.shared_weights.as_mut().unwrap().steps_done = 5;
    let rest = Search::<Darts, _>::new(rest, train).replaying(first.told).run();
    assert_eq!(rest.asked, whole.asked[6..]);
    assert_eq!(rest.recommended, whole.recommended);
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    for json in
        [r#"{"initial": "normal", "warm-up-epochs": 1}"#, r#"{"order": 2, "learning-rate": 0.1, "stop-at-skips": 3}"#]
    {
        assert_restoring_changes_nothing(|| Search::<Darts, _>::new(cell(json), train).seed(5).slots(2));
    }
}

#[test]
fn a_snapshot_of_another_space_is_refused() {
    let space = cell("");
    Host::new(&space.space, 0).install();
    let snapshot = Running::<Darts>::start(space).unwrap().save().unwrap();
    let other = Running::<Darts>::restore(setup(one_max(3)), &snapshot);
    assert!(matches!(other, Err(nas_strategy_sdk::RestoreError::IncompatibleSetup(_))));
    assert_eq!(Mixtures::of(&one_max(3)).unwrap().n_logits(), 6);
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"order": 3}"#, "order: 3"),
        (r#"{"beta1": 1.0}"#, "beta1: 1"),
        (r#"{"initial": "one"}"#, "initial: unknown variant `one`"),
        (r#"{"stop-at-skips": 0}"#, "stop-at-skips: at least 1"),
        (r#"{"alpha": 1}"#, "alpha"),
    ] {
        match Running::<Darts>::start(cell(json)) {
            Err(StrategyError::InvalidParameters(message)) => {
                assert!(message.contains(part), "{json}: {message}")
            }
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
