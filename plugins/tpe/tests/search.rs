//! The whole strategy on small problems, against the SDK's test host (which checks every proposal by the real rules).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

mod support;

use nas_strategy_sdk::testing::{
    Delivery, Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, ones, trained,
};
use nas_strategy_sdk::{Bound, FailureKind, Gene, Measure, Proposal, Running, SearchSpace, Setup, StrategyError};
use support::{choice, decision, every_kind, genes, integer, losses, real, setup, space};
use tpe::Tpe;

const BOTH: [&str; 2] = ["{}", r#"{"multivariate": true}"#];

/// Higher where the rate is near 1e-2, the kind is 1 and its sub-rate near 0.8.
fn landscape(proposal: &Proposal) -> f64 {
    let genes = genes(proposal);
    let real = |at: usize| match genes[at] {
        Gene::Real(value) => value,
        _ => -9.0,
    };
    let kind = if genes[0] == Gene::Choice(1) { 1.0 } else { 0.0 };
    kind - (real(1).log10() + 2.0).powi(2) - (real(8) - 0.8).abs() * 0.1
}

#[test]
fn it_beats_random_search_for_nearly_every_seed() {
    for parameters in BOTH {
        let wins = |seed: &u64| {
            let best = |startup: &str| {
                let parameters = parameters.replace("}", startup).replace("{,", "{");
                let score = |proposal: &Proposal| trained(landscape(proposal));
                let record = Search::<Tpe, _>::new(setup(every_kind(), &parameters), score).seed(*seed).jobs(150).run();
                record.told.iter().map(|job| landscape(&job.proposal)).fold(f64::NEG_INFINITY, f64::max)
            };
            best("}") > best(r#","startup": 1000}"#)
        };
        assert!((0..12).filter(wins).count() >= 10, "{parameters}");
    }
}

#[test]
fn it_finds_all_ones_more_often_than_not() {
    // 2^12 networks, 120 trainings.
    let found = |seed: &u64| {
        let score = |proposal: &Proposal| trained(ones(proposal));
        let record = Search::<Tpe, _>::new(setup(one_max(12), "{}"), score).seed(*seed).jobs(120).run();
        record.told.iter().any(|job| ones(&job.proposal) == 1.0)
    };
    assert!((0..10).filter(found).count() >= 6);
}

#[test]
fn decisions_that_only_count_together_are_found_by_the_multivariate_estimate() {
    // Good on the diagonal alone: by itself no decision matters.
    let pair = || space(vec![decision("x", real(0.0, 1.0, false)), decision("y", real(0.0, 1.0, false))]);
    let score = |proposal: &Proposal| match genes(proposal)[..] {
        [Gene::Real(x), Gene::Real(y)] => -(x - y).abs(),
        _ => f64::NAN,
    };
    let mean = |parameters: &str| {
        let of = |seed| {
            let search = Search::<Tpe, _>::new(setup(pair(), parameters), |proposal| trained(score(proposal)));
            let told = search.seed(seed).jobs(120).run().told;
            told.iter().skip(60).map(|job| score(&job.proposal)).sum::<f64>() / 60.0
        };
        (0..8).map(of).sum::<f64>() / 8.0
    };
    let (alone, together) = (mean(BOTH[0]), mean(BOTH[1]));
    assert!(together > alone, "{together} and {alone}");
}

#[test]
fn no_proposal_is_ever_invalid_whatever_the_slots_and_the_order() {
    for parameters in BOTH {
        for (slots, delivery) in [(1, Delivery::FirstIn), (5, Delivery::LastIn), (40, Delivery::FirstIn)] {
            let score = |proposal: &Proposal| trained(landscape(proposal));
            let search = Search::<Tpe, _>::new(setup(every_kind(), parameters), score);
            assert_eq!(search.slots(slots).delivery(delivery).jobs(150).run().told.len(), 150);
        }
    }
}

#[test]
fn the_rules_of_a_cell_of_edges_are_kept() {
    let rewarded = |proposal: &Proposal| genes(proposal).iter().filter(|gene| **gene == Gene::Choice(2)).count() as f64;
    for parameters in BOTH {
        let setup = setup(edges_cell(2, 3, &["none", "skip", "conv"]), parameters);
        let record = Search::<Tpe, _>::new(setup, |proposal| trained(rewarded(proposal))).slots(3).jobs(120).run();
        assert_eq!(record.told.len(), 120);
        let late = record.asked.iter().skip(60).map(rewarded).sum::<f64>();
        let early = record.asked.iter().take(60).map(rewarded).sum::<f64>();
        assert!(late > early, "{late} and {early}");
    }
}

#[test]
fn a_network_without_real_numbers_is_trained_once_and_a_small_space_ends() {
    let small = || space(vec![decision("a", choice(3)), decision("b", integer(1, 4, false))]);
    let score = |proposal: &Proposal| trained(f64::from(genes(proposal)[0] == Gene::Choice(1)));
    let record = Search::<Tpe, _>::new(setup(small(), "{}"), score).slots(2).jobs(40).run();
    assert_eq!(record.told.len(), 12);
    assert!(record.finished.is_some());
    let mut architectures: Vec<String> = record.architectures().iter().map(|genes| format!("{genes:?}")).collect();
    architectures.sort();
    architectures.dedup();
    assert_eq!(architectures.len(), 12);
    let again = Search::<Tpe, _>::new(setup(small(), r#"{"unique": false}"#), score).jobs(40).run();
    assert_eq!(again.told.len(), 40);
}

#[test]
fn slots_asked_for_at_once_do_not_crowd_into_one_place() {
    let line = || space(vec![decision("x", real(0.0, 1.0, false))]);
    let unit = |proposal: &Proposal| match genes(proposal)[0] {
        Gene::Real(x) => x,
        _ => panic!(),
    };
    // The spread of the second forty, asked for in one go, around their mean.
    let spread = |parameters: &str| {
        let score = |proposal: &Proposal| trained(-(unit(proposal) - 0.3).abs());
        let record = Search::<Tpe, _>::new(setup(line(), parameters), score).seed(5).slots(40).jobs(80).run();
        let late: Vec<f64> = record.asked.iter().skip(41).map(unit).collect();
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        late.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
    };
    assert!(spread("{}") > spread(r#"{"impute-in-flight": false}"#));
}

#[test]
fn failures_are_survived_and_a_region_that_fails_is_avoided() {
    let line = || space(vec![decision("x", real(0.0, 1.0, false))]);
    let unit = |proposal: &Proposal| match genes(proposal)[0] {
        Gene::Real(x) => x,
        _ => panic!(),
    };
    let failing = |kind: FailureKind| {
        let score = move |proposal: &Proposal| {
            let x = unit(proposal);
            // The best is next to where everything fails.
            if x > 0.5 { failed(kind) } else { trained(x) }
        };
        let record = Search::<Tpe, _>::new(setup(line(), "{}"), score).seed(2).jobs(100).run();
        assert_eq!(record.told.len(), 100);
        record.asked.iter().skip(30).filter(|proposal| unit(proposal) > 0.5).count()
    };
    assert!(failing(FailureKind::Diverged) < failing(FailureKind::Infrastructure));
    for parameters in BOTH {
        let all = Search::<Tpe, _>::new(setup(every_kind(), parameters), |_| failed(FailureKind::OutOfMemory));
        let record = all.slots(3).jobs(40).run();
        assert_eq!((record.told.len(), record.recommended.len()), (40, 0));
        let mut n = 0;
        let fifth = Search::<Tpe, _>::new(setup(every_kind(), parameters), |proposal: &Proposal| {
            n += 1;
            if n % 5 == 0 { failed(FailureKind::TimedOut) } else { trained(landscape(proposal)) }
        });
        assert_eq!(fifth.slots(2).jobs(100).run().told.len(), 100);
    }
}

#[test]
fn infinite_scores_are_survived() {
    for parameters in BOTH {
        let score = |proposal: &Proposal| {
            let score = landscape(proposal);
            trained(if score < -1.0 { f64::NEG_INFINITY } else { f64::INFINITY })
        };
        let record = Search::<Tpe, _>::new(setup(every_kind(), parameters), score).jobs(80).run();
        assert_eq!(record.told.len(), 80);
    }
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    for parameters in BOTH {
        assert_restoring_changes_nothing(|| {
            let mut n = 0;
            let score = move |proposal: &Proposal| {
                n += 1;
                if n % 7 == 0 { failed(FailureKind::Diverged) } else { trained(landscape(proposal)) }
            };
            let search = Search::<Tpe, _>::new(setup(every_kind(), parameters), score);
            search.seed(3).slots(4).delivery(Delivery::LastIn).jobs(130)
        });
        assert_restoring_changes_nothing(|| {
            Search::<Tpe, _>::new(setup(one_max(10), parameters), |proposal: &Proposal| trained(ones(proposal)))
                .slots(3)
                .jobs(80)
        });
    }
}

#[test]
fn a_snapshot_of_a_thousand_trials_takes_about_a_number_a_gene() {
    let reals = || space((0..10).map(|idx| decision(&format!("x{idx}"), real(0.0, 1.0, false))).collect());
    let search = Search::<Tpe, _>::new(setup(reals(), r#"{"startup": 5000}"#), |_| trained(0.5));
    let told = search.jobs(1_000).run().told;
    nas_strategy_sdk::testing::Host::new(&reals(), 0).install();
    let mut running = Running::<Tpe>::start(setup(reals(), "{}")).unwrap();
    running.replay(&told).unwrap();
    let bytes = running.save().unwrap().bytes.len();
    assert!(bytes < 1_000 * (10 * 9 + 9) + 500, "{bytes} bytes");
}

#[test]
fn a_takeover_by_replay_continues_from_the_results_it_was_told() {
    let score = |proposal: &Proposal| trained(landscape(proposal));
    let first = Search::<Tpe, _>::new(setup(every_kind(), "{}"), score).jobs(100).run();
    let second = Search::<Tpe, _>::new(setup(every_kind(), "{}"), score).replaying(first.told).jobs(20).run();
    let good = second.asked.iter().filter(|proposal| genes(proposal)[0] == Gene::Choice(1)).count();
    assert!(good >= 14, "{good} of 20 have the good kind");
}

#[test]
fn a_snapshot_of_another_space_is_refused() {
    let score = |_: &Proposal| trained(0.5);
    let other = |space: SearchSpace| {
        let told = Search::<Tpe, _>::new(setup(space.clone(), "{}"), score).jobs(5).run().told;
        nas_strategy_sdk::testing::Host::new(&space, 0).install();
        let mut running = Running::<Tpe>::start(setup(space, "{}")).unwrap();
        running.replay(&told).unwrap();
        running.save().unwrap()
    };
    let mine = space(vec![decision("x", choice(3))]);
    for space in [
        space(vec![decision("x", choice(3)), decision("y", choice(3))]),
        space(vec![decision("x", real(0.0, 1.0, false))]),
        space(vec![decision("x", choice(50))]),
    ] {
        assert!(Running::<Tpe>::restore(setup(mine.clone(), "{}"), &other(space)).is_err());
    }
}

#[test]
fn the_recommendation_is_the_best_ever_without_repetition() {
    let score = |proposal: &Proposal| trained(landscape(proposal));
    let record = Search::<Tpe, _>::new(setup(every_kind(), "{}"), score).jobs(60).run();
    let best = record.told.iter().max_by(|a, b| landscape(&a.proposal).total_cmp(&landscape(&b.proposal))).unwrap();
    assert_eq!(record.recommended.len(), 10);
    assert_eq!(&record.recommended[0], genes(&best.proposal));
}

#[test]
fn constraints_of_the_search_are_kept_to() {
    let share =
        |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64;
    let mut setup: Setup = setup(one_max(12), "{}");
    setup.constraints = vec![Bound { metric: "share".to_owned(), at_least: None, at_most: Some(1.0 / 3.0) }];
    let record = Search::<Tpe, _>::new(setup, |proposal| trained(ones(proposal)))
        .costs(move |genes| Ok(vec![Measure { name: "share".to_owned(), value: share(genes) }]))
        .jobs(80)
        .run();
    assert_eq!(record.told.len(), 80);
    assert!(record.architectures().iter().all(|genes| share(genes) <= 1.0 / 3.0));
}

#[test]
fn the_minimum_of_a_test_function_is_approached() {
    let branin = nasd_functions::find("branin").unwrap();
    for parameters in BOTH {
        let best = losses(branin, parameters, 1, 1, 100).into_iter().fold(f64::INFINITY, f64::min);
        assert!(best - branin.minimum < 1.0, "{parameters}: {best}");
    }
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"candidates": 0}"#, "candidates"),
        (r#"{"good-fraction": 0.0}"#, "good-fraction: 0"),
        (r#"{"good-fraction": 1.5}"#, "good-fraction: 1.5"),
        (r#"{"prior-weight": 0}"#, "prior-weight: 0"),
        (r#"{"fidelity": 11}"#, "fidelity: 11"),
        (r#"{"gama": 10}"#, "gama"),
    ] {
        match Running::<Tpe>::start(setup(one_max(3), json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
