//! Reproducible numbers by name and index; tests/peers/formula.py says the same in Python.

use nasd_train::layout::{Parameter, ParameterKind};
use nasd_train::weights::Weights;
use tch::Tensor;

fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// `count` numbers of [0, 1).
pub fn unit(name: &str, count: usize) -> Vec<f64> {
    let hash = name_hash(name);
    let number = |index: u64| {
        let state = hash.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((state ^ (state >> 31)) >> 11) as f64 * 2f64.powi(-53)
    };
    (1..=count as u64).map(number).collect()
}

/// Numbers of [-1, 1) times `scale`, moved by `shift`, row by row.
pub fn tensor(name: &str, shape: &[i64], scale: f64, shift: f64) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f64> = unit(name, count).iter().map(|unit| shift + scale * (2.0 * unit - 1.0)).collect();
    Tensor::from_slice(&values).view(shape)
}

/// A minibatch's images, double precision.
pub fn images(number: u64, batch: i64, [channels, height, width]: [u32; 3]) -> Tensor {
    let [channels, height, width] = [channels, height, width].map(i64::from);
    tensor(&format!("images/{number}"), &[batch, channels, height, width], 3f64.sqrt(), 0.0)
}

/// Its classes.
pub fn labels(number: u64, batch: i64, classes: u32) -> Tensor {
    let drawn = unit(&format!("labels/{number}"), batch as usize);
    Tensor::from_slice(&drawn.iter().map(|unit| (unit * f64::from(classes)).floor() as i64).collect::<Vec<_>>())
}

/// A decision's mixture at step `number`.
pub fn mixture(number: u64, decision: usize, options: usize) -> Vec<(u32, f64)> {
    let raw: Vec<f64> = unit(&format!("mixture/{number}/{decision}"), options).iter().map(|unit| 0.1 + unit).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().enumerate().map(|(option, weight)| (option as u32, weight / sum)).collect()
}

/// Set all weights and running statistics.
pub fn fill(weights: &mut Weights) {
    for Parameter { name, shape, kind, .. } in weights.parameters().to_vec() {
        let fan_in: i64 = shape.iter().skip(1).product();
        let (scale, shift) = match kind {
            ParameterKind::Weight => ((3.0 / fan_in as f64).sqrt(), 0.0),
            ParameterKind::Scale | ParameterKind::RunningVariance => (0.2, 1.0),
            ParameterKind::Bias | ParameterKind::Shift | ParameterKind::RunningMean => (0.2, 0.0),
        };
        weights.set(&name, &tensor(&name, &shape, scale, shift)).unwrap();
    }
}

/// `[norm, first probe, second probe]` of a tensor.
pub fn summary(name: &str, value: &Tensor) -> [f64; 3] {
    let flat = value.detach().contiguous().to_kind(tch::Kind::Double).view([-1]);
    let n = flat.size()[0];
    let scale = (3.0 / n.max(1) as f64).sqrt();
    let probe = |which: u32| flat.dot(&tensor(&format!("probe{which}/{name}"), &[n], scale, 0.0)).double_value(&[]);
    [flat.norm().double_value(&[]), probe(0), probe(1)]
}
