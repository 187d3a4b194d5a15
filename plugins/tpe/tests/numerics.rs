//! The estimates beside scipy (tests/peers/tpe_numerics.py), and what must hold of any.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use proptest::prelude::*;
use serde_json::Value;
use tpe::gauss::{exp_negative, log_sum, mass};
use tpe::kernels::Kernels;
use tpe::mixture::{Numbers, Options, PRIOR_INVERSE_MASS, age_weight, pick};

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/tpe-numerics.json")).unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn rows(list: &Value) -> Vec<Vec<f64>> {
    list.as_array().unwrap().iter().map(numbers).collect()
}

fn kernels(means: &[f64]) -> Kernels {
    Kernels::of(means.iter().copied().zip(0..).collect())
}

fn assert_close(found: f64, expected: f64, relative: f64, what: &str) {
    assert!((found - expected).abs() <= relative * expected.abs(), "{what}: {found:e}, not {expected:e}");
}

#[test]
fn exponentials_are_exact_to_a_few_units_in_the_last_place() {
    for row in rows(&golden()["exponentials"]) {
        assert_close(exp_negative(row[0]), row[1], 1e-15, &format!("exp({})", row[0]));
    }
    assert!(exp_negative(-1e300) < 1e-300);
}

#[test]
fn masses_of_normal_distributions_hold_in_the_tails() {
    for row in rows(&golden()["masses"]) {
        let found = mass(row[0], row[1], row[2], row[3]);
        assert!((found - row[4]).abs() <= 1e-9 * row[4].abs() + 1e-300, "{row:?}: {found:e}");
    }
    assert_close(1.0 / mass(0.5, 1.0, 0.0, 1.0), PRIOR_INVERSE_MASS, 1e-15, "the prior");
}

#[test]
fn densities_and_masses_of_cells_equal_scipys() {
    for (number, mixture) in golden()["mixtures"].as_array().unwrap().iter().enumerate() {
        let (kernels, weights) = (kernels(&numbers(&mixture["means"])), numbers(&mixture["weights"]));
        let prior = mixture["prior"].as_f64().unwrap();
        let mut estimate = Numbers::default();
        estimate.fill(&kernels, &weights, prior, false);
        for row in rows(&mixture["densities"]) {
            assert_close(estimate.density(row[0]), row[1], 1e-8, &format!("mixture {number} at {}", row[0]));
        }
        estimate.fill(&kernels, &weights, prior, true);
        for row in rows(&mixture["cells"]) {
            assert_close(estimate.cell(row[0], row[1]), row[2], 1e-8, &format!("mixture {number}, cell {row:?}"));
        }
    }
}

#[test]
fn the_weight_of_an_observation_rises_with_its_number_and_the_last_25_count_fully() {
    for n in [1, 24, 25, 26, 27, 60, 1_000] {
        let weights: Vec<f64> = (0..n).map(|rank| age_weight(rank, n)).collect();
        assert!(weights.windows(2).all(|pair| pair[0] <= pair[1]), "{n}");
        assert!(weights.iter().rev().take(25).all(|weight| *weight == 1.0), "{n}");
        if n > 25 {
            assert_close(weights[0], 1.0 / n as f64, 1e-15, "the oldest");
        }
    }
}

#[test]
fn options_are_those_of_rows_with_a_pseudo_count_worked_out_one_by_one() {
    let observed = [(0u32, 0.5), (2, 1.0), (2, 0.25)];
    let mut options = Options::new(3);
    observed.iter().for_each(|(option, weight)| options.add(*option, *weight));
    // Rows: a pseudo-count of 2 / 4 for each option, 1 more for its own; the prior's row is a third each.
    let expected = |option: u32| {
        let row = |own: u32| (0.5 + f64::from(own == option)) / 2.5;
        (observed.iter().map(|(own, weight)| weight * row(*own)).sum::<f64>() + 2.0 / 3.0) / 3.75
    };
    for (option, share) in (0u32..).zip(options.shares(2.0)) {
        assert_close(share, expected(option), 1e-14, &format!("option {option}"));
    }
    assert_eq!(Options::new(4).shares(1.0), [0.25; 4]);
}

#[test]
fn the_logarithm_of_a_sum_survives_exponents_far_from_zero() {
    assert_close(log_sum(&[1_000.0, 1_000.0, -5_000.0], &[1.0, 1.0, 1.0]), 1_000.0 + 2f64.ln(), 1e-15, "large");
    assert_close(log_sum(&[-4_000.0; 5], &[0.2; 5]), -4_000.0, 1e-15, "small");
    assert_eq!(log_sum(&[0.0, 1.0], &[0.0, 0.0]), f64::NEG_INFINITY);
}

fn observations() -> impl Strategy<Value = Vec<(f64, f64)>> {
    // Places on a grid too, so that some are equal.
    let place = prop_oneof![0.0..=1.0f64, (0..=20u32).prop_map(|place| f64::from(place) / 20.0)];
    proptest::collection::vec((place, 0.001..=1.0f64), 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_mixture_has_mass_one_however_it_is_cut(observed in observations(), n_cells in 1..60u32) {
        let (means, weights): (Vec<f64>, Vec<f64>) = observed.into_iter().unzip();
        let mut estimate = Numbers::default();
        estimate.fill(&kernels(&means), &weights, 1.0, true);
        let edge = |cell: u32| f64::from(cell) / f64::from(n_cells);
        let total: f64 = (0..n_cells).map(|cell| estimate.cell(edge(cell), edge(cell + 1))).sum();
        prop_assert!((total - 1.0).abs() < 1e-8, "{}", total);
    }

    #[test]
    fn a_density_is_the_mass_of_a_small_cell(observed in observations(), x in 0.001..0.999f64) {
        let (means, weights): (Vec<f64>, Vec<f64>) = observed.into_iter().unzip();
        let (mut density, mut cells) = (Numbers::default(), Numbers::default());
        density.fill(&kernels(&means), &weights, 1.0, false);
        cells.fill(&kernels(&means), &weights, 1.0, true);
        let small = 1e-5;
        let mass = cells.cell(x - small / 2.0, x + small / 2.0) / small;
        prop_assert!((density.density(x) - mass).abs() < 1e-5 * (1.0 + mass), "{} and {}", density.density(x), mass);
    }

    #[test]
    fn shares_of_options_add_up_to_one(
        observed in proptest::collection::vec((0..5u32, 0.001..=1.0f64), 0..50),
        prior in 0.01..10.0f64,
    ) {
        let mut options = Options::new(5);
        observed.iter().for_each(|(option, weight)| options.add(*option, *weight));
        let shares = options.shares(prior);
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(shares.iter().all(|share| *share > 0.0));
    }

    #[test]
    fn every_share_of_the_weight_falls_on_a_kernel_or_the_prior(observed in observations(), share in 0.0..1.0f64) {
        let (means, weights): (Vec<f64>, Vec<f64>) = observed.into_iter().unzip();
        let kernels = kernels(&means);
        let total: f64 = weights.iter().sum::<f64>() + 1.0;
        match pick(&kernels, &weights, 1.0, share) {
            Some(at) => prop_assert!(at < kernels.len()),
            None => prop_assert!(share * total >= total - 1.0 - 1e-9),
        }
    }
}
