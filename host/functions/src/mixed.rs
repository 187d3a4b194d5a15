//! Functions of choices, whole numbers and logarithmic scales, some with conditions.

use nasd_space::SearchSpace;

use crate::continuous::{camel, rosenbrock};
use crate::{EvaluationError, Function, Point, space::Builder};

const SURFACES: [&str; 3] = ["rosenbrock", "six-hump-camel", "beale"];

fn beale(x: f64, y: f64) -> f64 {
    (1.5 - x + x * y).powi(2) + (2.25 - x + x * y * y).powi(2) + (2.625 - x + x * y.powi(3)).powi(2)
}

/// One of [`SURFACES`] over the square from -1 to 1, scaled to heights of about one.
fn surface(option: usize, x: f64, y: f64) -> f64 {
    match option {
        0 => rosenbrock(&[2.0 * x, 2.0 * y]) / 300.0,
        1 => camel(2.0 * x, y) / 10.0,
        _ => beale(4.5 * x, 4.5 * y) / 50.0,
    }
}

pub(crate) const TWO_CHOICES: Function = Function {
    name: "two-choices",
    summary: "Two choices of a surface and two numbers: the sum of the surfaces chosen.",
    source: "after Func2C of Ru et al., Bayesian Optimisation over Multiple Continuous and Categorical Inputs, \
             ICML 2020; with three options for both choices",
    minimum: -0.206_325_690_697_975_5,
    space: || {
        Builder::new("two-choices").choice("first", &SURFACES).choice("second", &SURFACES).reals(2, -1.0, 1.0).done()
    },
    loss: |at| {
        let (first, second) = (at.option("first", &SURFACES)?, at.option("second", &SURFACES)?);
        let (x, y) = (at.number("x1")?, at.number("x2")?);
        Ok(surface(first, x, y) + surface(second, x, y))
    },
};

const SIDES: [&str; 2] = ["left", "right"];

pub(crate) const TREE: Function = Function {
    name: "tree",
    summary: "A tree of choices with numbers on its branches: most decisions are inactive in any one trial.",
    source: "Jenatton et al., Bayesian Optimization with Tree-structured Dependencies, ICML 2017, section 5",
    minimum: 0.1,
    space: || {
        let tree = Builder::new("tree").choice("root", &SIDES);
        let tree = tree.choice("root/left", &SIDES).when("root", "left");
        let tree = tree.choice("root/right", &SIDES).when("root", "right");
        let tree = tree.real("shared/left", 0.0, 1.0).when("root", "left");
        let tree = tree.real("shared/right", 0.0, 1.0).when("root", "right");
        SIDES
            .iter()
            .flat_map(|branch| SIDES.map(|leaf| (*branch, leaf)))
            .fold(tree, |tree, (branch, leaf)| {
                tree.real(&format!("leaf/{branch}/{leaf}"), -1.0, 1.0)
                    .when("root", branch)
                    .when(&format!("root/{branch}"), leaf)
            })
            .done()
    },
    loss: |at| {
        let branch = at.option("root", &SIDES)?;
        let side = if branch == 0 { "left" } else { "right" };
        let leaf = at.option(&format!("root/{side}"), &SIDES)?;
        let end = if leaf == 0 { "left" } else { "right" };
        let x = at.number(&format!("leaf/{side}/{end}"))?;
        let height = [[0.1, 0.2], [0.3, 0.4]].get(branch).and_then(|row| row.get(leaf)).copied().unwrap_or(0.4);
        Ok(x * x + height + at.number(&format!("shared/{side}"))?)
    },
};

const OPTIMIZERS: [&str; 2] = ["sgd", "adam"];
const SCHEDULES: [&str; 3] = ["constant", "step", "cosine"];

pub(crate) const TUNING: Function = Function {
    name: "tuning",
    summary: "What tuning a training is like: conditions, logarithmic scales, whole numbers, and a rate whose best \
              value moves with the batch size.",
    source: "this project; linear scaling of the rate with the batch size as in Goyal et al. 2017",
    minimum: 0.0,
    space: || {
        Builder::new("tuning")
            .choice("optimizer", &OPTIMIZERS)
            .log("rate", 1e-5, 1e1)
            .real("momentum", 0.0, 0.99)
            .when("optimizer", "sgd")
            .log("forgetting", 1e-5, 1e-1)
            .when("optimizer", "adam")
            .integer("batch", 8, 1024, true)
            .integer("layers", 1, 8, false)
            .log("decay", 1e-6, 1e-1)
            .choice("schedule", &SCHEDULES)
            .done()
    },
    loss: tuning,
};

fn tuning(at: &Point<'_>) -> Result<f64, EvaluationError> {
    let batch = (at.number("batch")? / 128.0).log2();
    let rate = at.number("rate")?.log10();
    let own = if at.option("optimizer", &OPTIMIZERS)? == 0 {
        let linear = rate + 1.0 - batch * 2f64.log10();
        0.02 + 0.15 * linear * linear + 2.0 * (at.number("momentum")? - 0.9).powi(2)
    } else {
        let root = rate + 3.0 - batch / 2.0 * 2f64.log10();
        0.15 * root * root + 0.05 * (at.number("forgetting")?.log10() + 3.0).powi(2)
    };
    let schedule = [0.05, 0.02].get(at.option("schedule", &SCHEDULES)?).copied().unwrap_or(0.0);
    let layers = 0.03 * (at.number("layers")? - 5.0).abs();
    Ok(own + 0.02 * batch * batch + layers + 0.03 * (at.number("decay")?.log10() + 4.0).powi(2) + schedule)
}

const FOUR: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) const MIXED_40: Function = Function {
    name: "mixed-40",
    summary: "Twenty real numbers, ten on a logarithmic scale and ten choices: for measuring speed, not quality.",
    source: "this project",
    minimum: 0.0,
    space: mixed_40,
    loss: |at| {
        let mut sum = 0.0;
        for idx in 1..=20 {
            sum += at.number(&format!("x{idx}"))?.powi(2);
        }
        for idx in 1..=10 {
            sum += (at.number(&format!("y{idx}"))?.log10() + 3.0).powi(2);
        }
        for idx in 1..=10 {
            sum += at.option(&format!("c{idx}"), &FOUR)? as f64;
        }
        Ok(sum)
    },
};

fn mixed_40() -> SearchSpace {
    let space = Builder::new("mixed-40").reals(20, -5.0, 5.0);
    let space = (1..=10).fold(space, |space, idx| space.log(&format!("y{idx}"), 1e-5, 1e-1));
    (1..=10).fold(space, |space, idx| space.choice(&format!("c{idx}"), &FOUR)).done()
}
