//! What a sound description is, and what is said of one that is not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{choice, darts, decision, nas_bench_201, space};
use nasd_space::{
    Condition, CountRule, Domain, Gene, IntegerRange, RandomSource, RealRange, Role, SearchSpace, SpaceError,
    StreamRandom,
};

fn condition(decision: u32, options: &[u32]) -> Condition {
    Condition { decision, options: options.to_vec() }
}

fn count(decisions: &[u32], options: &[u32], at_least: u32, at_most: u32) -> CountRule {
    CountRule { decisions: decisions.to_vec(), options: options.to_vec(), at_least, at_most }
}

#[test]
fn presets_are_sound() {
    assert_eq!(nas_bench_201().validate(), Ok(()));
    assert_eq!(darts().validate(), Ok(()));
}

#[test]
fn each_fault_of_a_description_is_named() {
    let integer = |low, high, log_scale| Domain::Integer(IntegerRange { low, high, log_scale });
    let real = |low, high, log_scale| Domain::Real(RealRange { low, high, log_scale });
    type Change = Box<dyn Fn(&mut SearchSpace)>;
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|s| s.decisions.clear()), "space test: there is nothing to decide"),
        (Box::new(|s| s.decisions[0].name.clear()), "decision 0: its name is empty"),
        (Box::new(|s| s.decisions[1].name = "a".into()), "a: another decision has this name"),
        (Box::new(|s| s.decisions[0].domain = Domain::Choice(vec![])), "a: a choice needs at least one option"),
        (
            Box::new(|s| s.decisions[0].domain = Domain::Choice(vec!["x".into(), "x".into()])),
            "a: two of its options have the same name",
        ),
        (Box::new(|s| s.decisions[0].domain = Domain::Levels(vec![])), "a: levels need at least one number"),
        (Box::new(|s| s.decisions[0].domain = Domain::Levels(vec![f64::NAN])), "a: a level is not a finite number"),
        (Box::new(|s| s.decisions[0].domain = Domain::Levels(vec![2.0, 2.0])), "a: levels must ascend, none twice"),
        (Box::new(move |s| s.decisions[0].domain = integer(2, 1, false)), "a: low 2 is more than high 1"),
        (
            Box::new(move |s| s.decisions[0].domain = integer(0, 1, true)),
            "a: a logarithmic scale needs a low of at least 1",
        ),
        (
            Box::new(move |s| s.decisions[0].domain = real(0.0, f64::INFINITY, false)),
            "a: low and high must be finite numbers",
        ),
        (Box::new(move |s| s.decisions[0].domain = real(1.0, 0.5, false)), "a: low 1 is more than high 0.5"),
        (Box::new(move |s| s.decisions[0].domain = real(0.0, 0.5, true)), "a: a logarithmic scale needs a low above 0"),
        (
            Box::new(|s| {
                s.decisions[0].role = Role::Input;
                s.decisions[0].sources = vec![0];
            }),
            "a: an input decision has one source an option: 1 for 3",
        ),
        (
            Box::new(|s| {
                s.decisions[0].role = Role::Operation;
                s.decisions[0].sources = vec![0, 1];
            }),
            "a: an edge leaves one node, not 2",
        ),
        (Box::new(|s| s.decisions[0].sources = vec![0]), "a: only inputs, skips and operations on edges have sources"),
        (
            Box::new(|s| s.decisions[0].active_when = vec![condition(1, &[0])]),
            "a: its condition names decision 1, which is not an earlier one",
        ),
        (
            Box::new(move |s| {
                s.decisions[0].domain = integer(0, 1, false);
                s.decisions[1].active_when = vec![condition(0, &[0])];
            }),
            "b: its condition names decision 0, which has no options",
        ),
        (
            Box::new(|s| s.decisions[1].active_when = vec![condition(0, &[3])]),
            "b: its condition names option 3 of a, which has 3",
        ),
        (
            Box::new(|s| s.decisions[1].active_when = vec![condition(0, &[])]),
            "b: a condition must name at least one option, none twice",
        ),
        (
            Box::new(|s| s.counts = vec![count(&[], &[0], 0, 1)]),
            "count rule 0: it must count at least one decision, none twice",
        ),
        (
            Box::new(|s| s.counts = vec![count(&[0], &[], 0, 1)]),
            "count rule 0: it must count at least one option, none twice",
        ),
        (
            Box::new(|s| s.counts = vec![count(&[0, 7], &[0], 0, 1)]),
            "count rule 0: decision 7 does not exist or has no options",
        ),
        (
            Box::new(|s| s.counts = vec![count(&[0, 1], &[5], 0, 1)]),
            "count rule 0: none of its decisions has an option 5, counted from 0",
        ),
        (Box::new(|s| s.counts = vec![count(&[0, 1], &[0], 2, 1)]), "count rule 0: at-least 2 is more than at-most 1"),
        (
            Box::new(|s| s.counts = vec![count(&[0, 1], &[0], 3, 3)]),
            "count rule 0: at-least 3 is more than its 2 decisions",
        ),
        (
            Box::new(|s| s.forbidden = vec![vec![]]),
            "forbidden combination 0: without conditions it would forbid everything",
        ),
        (
            Box::new(|s| s.forbidden = vec![vec![condition(9, &[0])]]),
            "forbidden combination 0: its condition names decision 9, which does not exist",
        ),
        (
            Box::new(|s| {
                s.counts = vec![count(&[0, 1], &[0], 2, 2)];
                s.forbidden = vec![vec![condition(0, &[0]), condition(1, &[0])]];
            }),
            "no architecture fulfils the rules that tie a, b; loosen a count rule or a forbidden combination",
        ),
    ];
    for (change, expected) in cases {
        let mut space = space(vec![choice("a", 3), choice("b", 3)]);
        change(&mut space);
        assert_eq!(space.validate().map_err(|error| error.to_string()), Err(expected.to_owned()));
        // Whoever does not ask first gets an answer or an error.
        let mut random = StreamRandom::new(1, "hostile");
        let sampled = space.sample(&mut random);
        let _ = (space.log10_size(), space.open_options(&[]), space.digest());
        if let Ok(architecture) = sampled {
            let _ = space.mutate(&mut random, &architecture, 1, &[]);
            let _ = space.neighbours(&architecture, &[]);
        }
    }
}

#[test]
fn ranges_are_drawn_on_their_scale_and_within_their_ends() {
    let real = |low, high, log_scale| decision("r", Domain::Real(RealRange { low, high, log_scale }));
    let integer = |low, high, log_scale| decision("i", Domain::Integer(IntegerRange { low, high, log_scale }));
    let below = |decision, limit: f64| {
        let space = space(vec![decision]);
        let mut random = StreamRandom::new(1, "ranges");
        let value = |gene: &Gene| match gene {
            Gene::Integer(value) => *value as f64,
            Gene::Real(value) => *value,
            _ => f64::NAN,
        };
        (0..2000)
            .filter(|_| {
                let architecture = space.sample(&mut random).unwrap();
                assert_eq!(space.check(&architecture), Ok(()));
                value(&architecture[0]) < limit
            })
            .count()
    };
    // Half of the draws lie below the middle of the scale.
    for (decision, middle) in [
        (real(-1.0, 3.0, false), 1.0),
        (real(1e-4, 1.0, true), 1e-2),
        (real(-f64::MAX, f64::MAX, false), 0.0),
        (integer(0, 99, false), 49.5),
        (integer(1, 1 << 20, true), 1024.0 * 0.7),
        (integer(i64::MIN, i64::MAX, false), 0.0),
    ] {
        let n = below(decision.clone(), middle);
        assert!((900..1100).contains(&n), "{decision:?}: {n}");
    }
}

#[test]
fn a_change_of_a_parent_brings_its_children_along() {
    let mut pair = space(vec![choice("kind", 2), choice("size", 3)]);
    pair.decisions[1].active_when = vec![condition(0, &[1])];
    let mut random = StreamRandom::new(1, "children");
    let alone = vec![Gene::Choice(0), Gene::Inactive];
    let child = pair.mutate(&mut random, &alone, 1, &[]).unwrap();
    assert!(matches!(child[..], [Gene::Choice(1), Gene::Choice(_)]));
    assert_eq!(pair.mutate(&mut random, &child, 1, &[0]).unwrap(), alone);
    assert_eq!(pair.mutate(&mut random, &alone, 2, &[]), Err(SpaceError::TooFewToChange { asked: 2, possible: 1 }));
    assert_eq!(pair.neighbours(&alone, &[]).unwrap(), [vec![Gene::Choice(1), Gene::Choice(0)]]);
    assert_eq!(pair.open_options(&alone[..1]).unwrap(), []);
    assert_eq!(pair.log10_size(), 4f64.log10());
    assert_eq!(pair.describe(&child).split(' ').next(), Some("kind=o1"));
}

#[test]
fn requests_out_of_range_are_errors() {
    let space = nas_bench_201();
    let mut random = StreamRandom::new(1, "requests");
    let parent = space.sample(&mut random).unwrap();
    let missing = SpaceError::NoSuchDecision { decision: 6, decisions: 6 };
    assert_eq!(space.mutate(&mut random, &parent, 1, &[6]), Err(missing.clone()));
    assert_eq!(space.neighbours(&parent, &[0, 6]), Err(missing));
    assert_eq!(space.open_options(&parent), Err(SpaceError::Length { expected: 5, found: 6 }));
    assert_eq!(space.crossover(&mut random, &parent, &vec![]), Err(SpaceError::Length { expected: 6, found: 0 }));
    let dead = {
        let mut space = darts();
        space.counts[0].at_least = 2;
        space.open_options(&[Gene::Choice(0)])
    };
    assert_eq!(dead, Err(SpaceError::DeadEnd { length: 1 }));
    let position = random.position();
    assert_eq!(space.mutate(&mut random, &parent, 0, &[]).unwrap(), parent);
    assert_eq!(random.position(), position);
    let _ = random.next_u64();
}
