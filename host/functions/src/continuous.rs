//! Functions of real numbers. Formulas, ranges and minima as in the literature cited with each; those whose
//! dimension is free have the one named here.

use std::f64::consts::{E, PI, TAU};

use crate::{Function, space::Builder};

pub(crate) const BRANIN: Function = Function {
    name: "branin",
    summary: "Two numbers, three equal minima in a curved valley.",
    source: "Dixon and Szego, Towards Global Optimisation 2, 1978",
    minimum: 0.397_887_357_729_738_2,
    space: || Builder::new("branin").real("x1", -5.0, 10.0).real("x2", 0.0, 15.0).done(),
    loss: |at| {
        let (x, y) = (at.number("x1")?, at.number("x2")?);
        let valley = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
        Ok(valley * valley + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0)
    },
};

pub(crate) fn camel(x: f64, y: f64) -> f64 {
    (4.0 - 2.1 * x * x + x.powi(4) / 3.0) * x * x + x * y + (4.0 * y * y - 4.0) * y * y
}

pub(crate) const SIX_HUMP_CAMEL: Function = Function {
    name: "six-hump-camel",
    summary: "Two numbers, six local minima of which two are global.",
    source: "Dixon and Szego, Towards Global Optimisation 2, 1978",
    minimum: -1.031_628_453_489_877_4,
    space: || Builder::new("six-hump-camel").real("x1", -3.0, 3.0).real("x2", -2.0, 2.0).done(),
    loss: |at| Ok(camel(at.number("x1")?, at.number("x2")?)),
};

/// Height, and for each of six coordinates its steepness and its centre.
type Bump = (f64, [(f64, f64); 6]);

const BUMPS: [Bump; 4] = [
    (1.0, [(10.0, 0.1312), (3.0, 0.1696), (17.0, 0.5569), (3.5, 0.0124), (1.7, 0.8283), (8.0, 0.5886)]),
    (1.2, [(0.05, 0.2329), (10.0, 0.4135), (17.0, 0.8307), (0.1, 0.3736), (8.0, 0.1004), (14.0, 0.9991)]),
    (3.0, [(3.0, 0.2348), (3.5, 0.1451), (1.7, 0.3522), (10.0, 0.2883), (17.0, 0.3047), (8.0, 0.6650)]),
    (3.2, [(17.0, 0.4047), (8.0, 0.8828), (0.05, 0.8732), (10.0, 0.5743), (0.1, 0.1091), (14.0, 0.0381)]),
];

pub(crate) const HARTMANN6: Function = Function {
    name: "hartmann6",
    summary: "Six numbers, six local minima, most of the range flat.",
    source: "Hartman, Some experiments in global optimization, 1973; constants of Dixon and Szego 1978",
    minimum: -3.322_368_011_415_515,
    space: || Builder::new("hartmann6").reals(6, 0.0, 1.0).done(),
    loss: |at| {
        let x = at.numbers(6)?;
        let bump = |(height, terms): &Bump| {
            let distance: f64 = terms.iter().zip(&x).map(|((steep, centre), x)| steep * (x - centre).powi(2)).sum();
            height * (-distance).exp()
        };
        Ok(-BUMPS.iter().map(bump).sum::<f64>())
    },
};

pub(crate) const ACKLEY: Function = Function {
    name: "ackley",
    summary: "Five numbers, a flat rugged plain with one deep hole.",
    source: "Ackley, A Connectionist Machine for Genetic Hillclimbing, 1987",
    minimum: 0.0,
    space: || Builder::new("ackley").reals(5, -32.768, 32.768).done(),
    loss: |at| {
        let x = at.numbers(5)?;
        let n = x.len() as f64;
        let square = x.iter().map(|x| x * x).sum::<f64>() / n;
        let wave = x.iter().map(|x| (TAU * x).cos()).sum::<f64>() / n;
        Ok(20.0 + E - 20.0 * (-0.2 * square.sqrt()).exp() - wave.exp())
    },
};

pub(crate) fn rosenbrock(x: &[f64]) -> f64 {
    let pairs = x.iter().zip(x.iter().skip(1));
    pairs.map(|(x, next)| 100.0 * (next - x * x).powi(2) + (1.0 - x).powi(2)).sum()
}

pub(crate) const ROSENBROCK: Function = Function {
    name: "rosenbrock",
    summary: "Four numbers, a long curved valley: coordinates depend on each other.",
    source: "Rosenbrock, The Computer Journal 3, 1960; chained as in Dixon and Mills 1994",
    minimum: 0.0,
    space: || Builder::new("rosenbrock").reals(4, -5.0, 10.0).done(),
    loss: |at| Ok(rosenbrock(&at.numbers(4)?)),
};

pub(crate) const RASTRIGIN: Function = Function {
    name: "rastrigin",
    summary: "Four numbers, a local minimum near every whole one.",
    source: "Rastrigin, Systems of extremal control, 1974; as in Muehlenbein et al. 1991",
    minimum: 0.0,
    space: || Builder::new("rastrigin").reals(4, -5.12, 5.12).done(),
    loss: |at| Ok(at.numbers(4)?.iter().map(|x| x * x - 10.0 * (TAU * x).cos() + 10.0).sum()),
};

pub(crate) const LEVY: Function = Function {
    name: "levy",
    summary: "Four numbers, waves over a bowl.",
    source: "Levy and Montalvo, SIAM J. Sci. Stat. Comput. 6, 1985; as in Laguna and Marti 2005",
    minimum: 0.0,
    space: || Builder::new("levy").reals(4, -10.0, 10.0).done(),
    loss: |at| {
        let w: Vec<f64> = at.numbers(4)?.iter().map(|x| 1.0 + (x - 1.0) / 4.0).collect();
        let (Some(first), Some((last, rest))) = (w.first(), w.split_last()) else { return Ok(0.0) };
        let middle: f64 = rest.iter().map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2))).sum();
        Ok((PI * first).sin().powi(2) + middle + (last - 1.0).powi(2) * (1.0 + (TAU * last).sin().powi(2)))
    },
};

pub(crate) const STYBLINSKI_TANG: Function = Function {
    name: "styblinski-tang",
    summary: "Five numbers, two minima along each of which one is right.",
    source: "Styblinski and Tang, Neural Networks 3, 1990",
    minimum: -195.830_828_518_857_1,
    space: || Builder::new("styblinski-tang").reals(5, -5.0, 5.0).done(),
    loss: |at| Ok(at.numbers(5)?.iter().map(|x| (x.powi(4) - 16.0 * x * x + 5.0 * x) / 2.0).sum()),
};

pub(crate) const MICHALEWICZ: Function = Function {
    name: "michalewicz",
    summary: "Five numbers, narrow steep valleys (steepness 10) in a plain.",
    source: "Michalewicz, Genetic Algorithms + Data Structures = Evolution Programs, 1992",
    minimum: -4.687_658_179_088_148,
    space: || Builder::new("michalewicz").reals(5, 0.0, PI).done(),
    loss: |at| {
        let valley = |(x, n): (&f64, i32)| x.sin() * (f64::from(n) * x * x / PI).sin().powi(20);
        Ok(-at.numbers(5)?.iter().zip(1..).map(valley).sum::<f64>())
    },
};
