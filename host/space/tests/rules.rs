//! Whatever a space hands out obeys it, on random spaces and against a listing of every architecture.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use common::{darts, nas_bench_201, random_space};
use nasd_space::{
    Architecture, Domain, Gene, Prepared, RandomSource, SearchSpace, SpaceError, StreamRandom, WeightedOption,
    architecture_digest,
};
use proptest::prelude::*;

/// All valid architectures by brute force; a range of reals counts with its low end, in place of all.
fn all(space: &SearchSpace) -> Vec<Architecture> {
    let mut found = vec![vec![]];
    for decision in &space.decisions {
        let values: Vec<Gene> = match &decision.domain {
            Domain::Choice(_) | Domain::Levels(_) => {
                (0..decision.domain.n_options().unwrap() as u32).map(Gene::Choice).collect()
            }
            Domain::Integer(range) => (range.low..=range.high).map(Gene::Integer).collect(),
            Domain::Real(range) => vec![Gene::Real(range.low)],
        };
        let mut longer = vec![];
        for prefix in found {
            if !space.is_active(prefix.len(), &prefix) {
                longer.push([prefix, vec![Gene::Inactive]].concat());
                continue;
            }
            longer.extend(values.iter().map(|value| [prefix.clone(), vec![value.clone()]].concat()));
        }
        found = longer;
    }
    found.retain(|architecture| space.check(architecture).is_ok());
    found
}

fn random_gene(random: &mut StreamRandom) -> Gene {
    match random.below(8) {
        0 => Gene::Inactive,
        1 => Gene::Integer(random.next_u64() as i64),
        2 => Gene::Integer(random.below(3) as i64),
        3 => Gene::Real([f64::NAN, f64::INFINITY, 1.0, -0.0][random.below(4) as usize]),
        4 => Gene::Mixture(
            (0..random.below(3))
                .map(|_| WeightedOption {
                    index: random.below(5) as u32,
                    weight: [0.5, f32::NAN][random.below(2) as usize],
                })
                .collect(),
        ),
        5 => Gene::Choice(u32::MAX - random.below(3) as u32),
        _ => Gene::Choice(random.below(4) as u32),
    }
}

fn differences(a: &Architecture, b: &Architecture) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn samples_are_valid_and_the_size_is_that_of_the_listing(seed: u64) {
        let space = random_space(seed);
        let all = all(&space);
        let prepared = Prepared::new(&space).unwrap();
        let size = prepared.log10_size();
        if all.is_empty() {
            prop_assert_eq!(size, f64::NEG_INFINITY);
            let is_empty = |error: SpaceError| matches!(error, SpaceError::NoArchitecture { .. });
            prop_assert!(space.validate().is_err_and(is_empty));
            prop_assert!(prepared.sample(&mut StreamRandom::new(seed, "s")).is_err_and(is_empty));
            return Ok(());
        }
        prop_assert_eq!(space.validate(), Ok(()));
        prop_assert!((size - (all.len() as f64).log10()).abs() < 1e-9, "10^{} for {}", size, all.len());
        let mut random = StreamRandom::new(seed, "s");
        for _ in 0..20 {
            let before = random.position();
            let architecture = prepared.sample(&mut random).unwrap();
            prop_assert_eq!(space.check(&architecture), Ok(()));
            prop_assert!(random.position() - before <= space.decisions.len() as u64);
        }
    }

    #[test]
    fn open_options_are_exactly_those_with_a_completion(seed: u64) {
        let space = random_space(seed);
        let all = all(&space);
        let prepared = Prepared::new(&space).unwrap();
        for architecture in all.iter().take(50) {
            for length in 0..architecture.len() {
                let prefix = &architecture[..length];
                let open = prepared.open_options(prefix).unwrap();
                let expected: BTreeSet<u32> = all
                    .iter()
                    .filter(|other| &other[..length] == prefix)
                    .filter_map(|other| other[length].option())
                    .collect();
                prop_assert_eq!(open, expected.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn variations_are_valid_and_change_what_was_asked(seed: u64, changes in 1u32..4) {
        let space = random_space(seed);
        let prepared = Prepared::new(&space).unwrap();
        let mut random = StreamRandom::new(seed, "v");
        let (Ok(first), Ok(second)) = (prepared.sample(&mut random), prepared.sample(&mut random)) else { return Ok(()) };

        let position = random.position();
        prop_assert_eq!(&prepared.repair(&mut random, &first).unwrap(), &first);
        prop_assert_eq!(random.position(), position);
        let child = prepared.crossover(&mut random, &first, &second).unwrap();
        prop_assert_eq!(space.check(&child), Ok(()));

        let free = space.counts.is_empty() && space.forbidden.is_empty()
            && space.decisions.iter().all(|decision| decision.active_when.is_empty());
        match prepared.mutate(&mut random, &first, changes, &[]) {
            Ok(child) => {
                prop_assert_eq!(space.check(&child), Ok(()));
                let n = differences(&first, &child);
                prop_assert!(n >= changes as usize);
                prop_assert!(!free || n == changes as usize);
            }
            Err(SpaceError::TooFewToChange { possible, .. }) => prop_assert!(possible < changes),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn neighbours_are_valid_distinct_and_others(seed: u64) {
        let space = random_space(seed);
        let prepared = Prepared::new(&space).unwrap();
        let Ok(of) = prepared.sample(&mut StreamRandom::new(seed, "n")) else { return Ok(()) };
        let neighbours = prepared.neighbours(&of, &[]).unwrap();
        let digests: BTreeSet<String> = neighbours.iter().map(architecture_digest).collect();
        prop_assert_eq!(digests.len(), neighbours.len());
        prop_assert!(!digests.contains(&architecture_digest(&of)));
        for neighbour in &neighbours {
            prop_assert_eq!(space.check(neighbour), Ok(()));
        }
        // Everything that differs in one gene alone is there.
        for other in all(&space).iter().filter(|other| differences(other, &of) == 1) {
            let idx = (0..of.len()).find(|idx| of[*idx] != other[*idx]).unwrap();
            if let (Gene::Choice(_), Gene::Choice(_)) = (&of[idx], &other[idx]) {
                prop_assert!(digests.contains(&architecture_digest(other)));
            }
        }
    }

    #[test]
    fn hostile_architectures_are_errors_or_repaired_and_never_panic(seed: u64) {
        let space = random_space(seed);
        let prepared = Prepared::new(&space).unwrap();
        let mut random = StreamRandom::new(seed, "h");
        let length = random.below(space.decisions.len() as u64 + 3) as usize;
        let hostile: Architecture = (0..length).map(|_| random_gene(&mut random)).collect();
        let mut draws = StreamRandom::new(seed, "d");
        let valid = space.check(&hostile).is_ok();
        let _ = space.check_shared(&hostile);
        let _ = prepared.open_options(&hostile);
        let _ = space.describe(&hostile);
        prop_assert!(valid || prepared.mutate(&mut draws, &hostile, 1, &[0]).is_err());
        prop_assert!(valid || prepared.neighbours(&hostile, &[]).is_err());
        if let Ok(child) = prepared.crossover(&mut draws, &hostile, &hostile) {
            prop_assert_eq!(space.check(&child), Ok(()));
        }
        match prepared.repair(&mut draws, &hostile) {
            Ok(repaired) => prop_assert_eq!(space.check(&repaired), Ok(())),
            Err(SpaceError::Length { .. }) => prop_assert!(length > space.decisions.len()),
            Err(error) => {
                let is_empty = matches!(error, SpaceError::NoArchitecture { .. });
                prop_assert!(is_empty, "{}", error);
            }
        }
    }

    #[test]
    fn digests_differ_where_spaces_do(a: u64, b: u64) {
        let (first, second) = (random_space(a), random_space(b));
        prop_assert_eq!(first == second, first.digest() == second.digest());
    }
}

#[test]
fn a_mutated_darts_edge_keeps_its_new_value_and_two_edges_a_node() {
    let space = darts();
    let prepared = Prepared::new(&space).unwrap();
    let mut random = StreamRandom::new(1, "darts");
    let mut dropped = BTreeSet::new();
    for _ in 0..500 {
        let parent = prepared.sample(&mut random).unwrap();
        // The last edge of the fourth node.
        let child = prepared.mutate(&mut random, &parent, 1, &[13]).unwrap();
        assert_eq!(space.check(&child), Ok(()));
        assert_ne!(child[13], parent[13]);
        let others: Vec<usize> = (0..28).filter(|idx| *idx != 13 && child[*idx] != parent[*idx]).collect();
        let flips = (parent[13] == Gene::Choice(0)) != (child[13] == Gene::Choice(0));
        assert_eq!(others.len(), usize::from(flips), "{others:?}");
        dropped.extend(others);
    }
    assert_eq!(dropped, BTreeSet::from([9, 10, 11, 12]), "no edge is favoured for its place");
}

#[test]
fn neighbours_in_darts_space_exchange_edges() {
    let space = darts();
    let of = space.sample(&mut StreamRandom::new(3, "darts")).unwrap();
    // Other operations on the two edges kept, and each edge kept exchanged for each one not kept.
    let expected: usize = [2, 3, 4, 5, 2, 3, 4, 5].iter().map(|edges| 2 * 6 + 2 * (edges - 2) * 7).sum();
    assert_eq!(space.neighbours(&of, &[]).unwrap().len(), expected);
}

#[test]
fn sizes_are_those_of_the_papers() {
    assert!((nas_bench_201().log10_size() - 15625f64.log10()).abs() < 1e-12);
    // Per cell: product over nodes of C(edges, 2) x 7^2 (Liu et al. 2019, appendix: 7 operations but none).
    let cell: f64 = [1.0f64, 3.0, 6.0, 10.0].iter().map(|pairs| (pairs * 49.0).log10()).sum();
    assert!((darts().log10_size() - 2.0 * cell).abs() < 1e-12);
}

#[test]
fn two_kept_edges_a_node_are_drawn_in_order_from_what_is_open() {
    let space = darts();
    let mut random = StreamRandom::new(5, "darts");
    let mut kept = 0;
    for _ in 0..4000 {
        let architecture = space.sample(&mut random).unwrap();
        assert_eq!(space.check(&architecture), Ok(()));
        kept += u32::from(architecture[2] != Gene::Choice(0));
    }
    // The first of three edges: seven of eight options keep it.
    assert!((3400..3600).contains(&kept), "{kept}");
}

#[test]
fn mixtures_belong_to_shared_work_alone() {
    let space = darts();
    let mixture = |listed: &[(u32, f32)]| {
        Gene::Mixture(listed.iter().map(|(index, weight)| WeightedOption { index: *index, weight: *weight }).collect())
    };
    let all: Architecture = vec![mixture(&[(0, 0.5), (7, 0.5)]); 28];
    assert_eq!(space.check_shared(&all), Ok(()));
    assert_eq!(
        space.check(&all).unwrap_err().to_string(),
        "decision normal/node2/edge0 = o0:0.5+o7:0.5: the gene must be a choice"
    );
    for (listed, message) in [
        (vec![(1, 0.5), (0, 0.5)], "the options of a mixture must ascend, none twice: 0 does not follow 1"),
        (vec![(1, 0.5), (1, 0.5)], "the options of a mixture must ascend, none twice: 1 does not follow 1"),
        (vec![(8, 0.5)], "the value must lie within options 0 to 7"),
        (vec![(0, f32::NAN)], "the weight of option 0 is NaN, not a finite number"),
    ] {
        let mut broken = all.clone();
        broken[3] = mixture(&listed);
        let text = space.check_shared(&broken).unwrap_err().to_string();
        assert!(text.starts_with("decision normal/node3/edge1 = ") && text.ends_with(message), "{text}");
    }
}

#[test]
fn a_broken_count_rule_is_named() {
    let space = darts();
    let all_kept = vec![Gene::Choice(3); 28];
    assert_eq!(
        space.check(&all_kept).unwrap_err().to_string(),
        "count rule 1: 3 of normal/node3/edge0, normal/node3/edge1, normal/node3/edge2 have a counted option, \
         allowed are 2 to 2"
    );
}

#[test]
fn digests_never_change() {
    assert_eq!(nas_bench_201().digest(), "3880831866d4df81b7b8eb0ca6d43cae0ea9b56a1c1088335b83d1d285277038");
    assert_eq!(
        architecture_digest(&vec![Gene::Choice(3); 6]),
        "b2d5c03e429225436740e33cf94c0537a7c8bbab8ed131caed7285113e9ccb2e"
    );
}

#[test]
fn entangled_rules_end_in_an_error_not_in_a_hang() {
    // Sixty pairs of edges of a graph as forbidden combinations, three colours: small enough to solve, and a
    // clique of seven among them to refute.
    let mut space = common::space((0..40).map(|idx| common::choice(&format!("d{idx}"), 6)).collect());
    for a in 0..40u32 {
        for b in a + 1..40 {
            if (a * 7 + b * 13) % 3 == 0 || b >= 33 && a >= 33 {
                for colour in 0..6 {
                    let holds = |decision| nasd_space::Condition { decision, options: vec![colour] };
                    space.forbidden.push(vec![holds(a), holds(b)]);
                }
            }
        }
    }
    let answer = space.validate();
    assert!(matches!(answer, Err(SpaceError::NoArchitecture { .. } | SpaceError::LookAhead { .. })), "{answer:?}");
}
