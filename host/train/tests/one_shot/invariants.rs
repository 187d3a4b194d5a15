//! What a step leaves alone, and what accumulation adds up to.

use std::collections::BTreeSet;

use nasd_network::{SpaceDefinition, specialize};
use nasd_protocol::contract::{SharedStep, WeightUpdate};
use nasd_protocol::trainer::{Decay, Recipe};
use nasd_space::{Architecture, Gene, WeightedOption};
use nasd_train::layout::{Layout, ParameterKind};
use nasd_train::session::Session;

use super::support::{darts, difference, numbers, open, order, sample, step, values};

/// Names of all that an architecture's network has.
fn used(space: &SpaceDefinition, genes: &Architecture) -> BTreeSet<String> {
    let network = specialize(space.one_shot().unwrap(), genes).unwrap();
    Layout::of(&network).unwrap().parameters.into_iter().map(|parameter| parameter.name).collect()
}

/// Name, values and momentum of each trained weight, and name and values of each buffer.
fn state(session: &Session) -> Vec<(String, Vec<f64>, Vec<f64>)> {
    let weights = session.weights();
    let momentum = |index: usize| match weights.parameters()[index].kind.is_trained() {
        true => numbers(&weights.part_of(session.momentum(), index).unwrap().unwrap()),
        false => Vec::new(),
    };
    values(weights).into_iter().enumerate().map(|(index, (name, value))| (name, value, momentum(index))).collect()
}

fn make(session: &mut Session, steps: &[SharedStep]) {
    session.train_shared(steps, &mut |_| false).unwrap();
}

#[test]
fn what_a_step_does_not_use_rests_with_its_momentum_and_statistics() {
    let space = darts();
    let mut session = open(order(&space, Recipe { nesterov: true, ..Recipe::default() }));
    let (first, second) = (sample(&space, 1), sample(&space, 2));
    make(&mut session, &[step(first.clone(), WeightUpdate::Apply), step(second.clone(), WeightUpdate::Apply)]);
    let before = state(&session);
    make(&mut session, &[step(first.clone(), WeightUpdate::Apply)]);
    let (of_first, of_second) = (used(&space, &first), used(&space, &second));
    let mut n_resting = 0;
    for ((name, value, momentum), (_, value_before, momentum_before)) in state(&session).iter().zip(&before) {
        if of_first.contains(name) {
            assert_ne!(value, value_before, "{name}");
        } else {
            assert_eq!((value, momentum), (value_before, momentum_before), "{name}");
            // Something that would move if it were let.
            n_resting += usize::from(of_second.contains(name) && momentum.iter().any(|number| *number != 0.0));
        }
    }
    assert!(n_resting > 5, "{n_resting}");
}

#[test]
fn a_mask_of_whole_options_uses_those_alone() {
    let space = darts();
    let template = space.one_shot().unwrap();
    let mask = |genes: &Architecture, more: u32| -> Architecture {
        let gene = |gene: &Gene| match gene {
            Gene::Choice(option) => {
                let mut options: Vec<u32> = vec![*option, more];
                options.sort_unstable();
                options.dedup();
                Gene::Mixture(options.into_iter().map(|index| WeightedOption { index, weight: 1.0 }).collect())
            }
            other => other.clone(),
        };
        genes.iter().map(gene).collect()
    };
    let genes = sample(&space, 4);
    let all_alike: Architecture = genes.iter().map(|_| Gene::Choice(4)).collect();
    let mut session = open(order(&space, Recipe::default()));
    let before = state(&session);
    make(&mut session, &[step(mask(&genes, 4), WeightUpdate::Apply)]);
    let listed: BTreeSet<String> = used(&space, &genes).union(&used(&space, &all_alike)).cloned().collect();
    for ((name, value, _), (_, before, _)) in state(&session).iter().zip(&before) {
        assert_eq!(value != before, listed.contains(name), "{name}");
    }
    assert!(listed.len() < Layout::of(template).unwrap().parameters.len());
}

#[test]
fn where_the_recipe_asks_unused_weights_decay_and_move_on() {
    let space = darts();
    let recipe = Recipe { update_unused: true, learning_rate: 0.1, weight_decay: 0.01, ..Recipe::default() };
    let mut session = open(order(&space, recipe));
    let genes = sample(&space, 1);
    let of_path = used(&space, &genes);
    let trained: BTreeSet<String> = {
        let parameters = session.weights().parameters().iter();
        parameters.filter(|parameter| parameter.kind.is_trained()).map(|parameter| parameter.name.clone()).collect()
    };
    let mut expected: Vec<(Vec<f64>, Vec<f64>)> = state(&session).into_iter().map(|(_, v, m)| (v, m)).collect();
    for _ in 0..3 {
        make(&mut session, &[step(genes.clone(), WeightUpdate::Apply)]);
        for ((name, value, _), (w, momentum)) in state(&session).iter().zip(&mut expected) {
            if of_path.contains(name) {
                continue;
            }
            if trained.contains(name) {
                for (w, m) in w.iter_mut().zip(momentum.iter_mut()) {
                    *m = 0.9 * *m + 0.01 * *w;
                    *w -= 0.1 * *m;
                }
            }
            assert!(difference(value, w) < 1e-14, "{name}");
        }
    }
}

#[test]
fn decay_can_leave_biases_and_batch_norm_alone() {
    let space = super::support::space("nas-bench-201", &[("stack.channels", "4"), ("stack.cells-per-stage", "1")]);
    let run = |weight_decay: f64| {
        let recipe = Recipe { decay: Decay::Matrices, weight_decay, momentum: 0.0, ..Recipe::default() };
        let mut session = open(order(&space, recipe));
        make(&mut session, &[step(sample(&space, 3), WeightUpdate::Apply)]);
        state(&session)
    };
    let (without, with) = (run(0.0), run(0.5));
    let parameters = Layout::of(space.one_shot().unwrap()).unwrap().parameters;
    let of_path = used(&space, &sample(&space, 3));
    for (parameter, ((_, plain, _), (_, decayed, _))) in parameters.iter().zip(without.iter().zip(&with)) {
        let decays = parameter.kind == ParameterKind::Weight && of_path.contains(&parameter.name);
        assert_eq!(plain != decayed, decays, "{}", parameter.name);
    }
}

#[test]
fn accumulation_over_paths_on_one_minibatch_steps_along_the_mean_of_their_gradients() {
    let space = darts();
    let recipe =
        |learning_rate: f64| Recipe { learning_rate, momentum: 0.0, weight_decay: 0.0, clip: 0.0, ..Recipe::default() };
    let paths: Vec<Architecture> = (0..4).map(|seed| sample(&space, seed)).collect();
    let trained = |session: &Session| numbers(session.weights().trained());
    // The gradient of each path by itself: what one step of rate 1 takes off.
    let alone: Vec<Vec<f64>> = (paths.iter())
        .map(|path| {
            let mut session = open(order(&space, recipe(1.0)));
            let before = trained(&session);
            make(&mut session, &[step(path.clone(), WeightUpdate::Apply)]);
            before.iter().zip(trained(&session)).map(|(before, after)| before - after).collect()
        })
        .collect();
    let mut session = open(order(&space, recipe(1.0)));
    let before = trained(&session);
    let n = paths.len();
    let steps: Vec<SharedStep> = (paths.into_iter().enumerate())
        .map(|(index, path)| {
            let update = if index + 1 == n { WeightUpdate::Apply } else { WeightUpdate::Accumulate };
            SharedStep { same_minibatch: index > 0, ..step(path, update) }
        })
        .collect();
    make(&mut session, &steps[..2]);
    assert_eq!(trained(&session), before, "accumulation moves no weight");
    make(&mut session, &steps[2..]);
    let found: Vec<f64> = before.iter().zip(trained(&session)).map(|(before, after)| before - after).collect();
    let mean: Vec<f64> =
        (0..before.len()).map(|index| alone.iter().map(|gradient| gradient[index]).sum::<f64>() / n as f64).collect();
    let apart = difference(&found, &mean);
    assert!(apart < 1e-12, "{apart:e}");
    assert_eq!(session.updates()[0], 1);
}

#[test]
fn a_job_that_ends_halfway_puts_back_what_its_paths_had_touched() {
    let space = darts();
    let mut session = open(order(&space, Recipe { nesterov: true, ..Recipe::default() }));
    let (first, second) = (sample(&space, 1), sample(&space, 2));
    // Momentum on one path, and a gradient that waits for more.
    make(&mut session, &[step(first.clone(), WeightUpdate::Apply), step(second.clone(), WeightUpdate::Accumulate)]);
    let (before, updates) = (state(&session), session.updates());
    let job = [
        step(first.clone(), WeightUpdate::Apply),
        step(second.clone(), WeightUpdate::Apply),
        step(first.clone(), WeightUpdate::Accumulate),
        step(second.clone(), WeightUpdate::Apply),
    ];
    let mut was_changed = false;
    // It is asked before each step; at the last one two paths have moved and a third gradient waits.
    let cancelled = session.train_shared(&job, &mut |done| done > 0.7);
    assert!(cancelled.is_err());
    assert_eq!((state(&session), session.updates()), (before, updates));
    // What waited is still there: the next step is that of a session which never had the job, at the same minibatch.
    let mut other = open(order(&space, Recipe { nesterov: true, ..Recipe::default() }));
    make(&mut other, &[step(first.clone(), WeightUpdate::Apply), step(second.clone(), WeightUpdate::Accumulate)]);
    assert!(other.train_shared(&job, &mut |_| true).is_err());
    for session in [&mut session, &mut other] {
        make(session, &[step(second.clone(), WeightUpdate::Apply)]);
    }
    for ((name, value, momentum), (_, expected, of_expected)) in state(&session).iter().zip(&state(&other)) {
        assert_eq!((value, momentum), (expected, of_expected), "{name}");
        was_changed |= momentum.iter().any(|number| *number != 0.0);
    }
    assert!(was_changed);
}
