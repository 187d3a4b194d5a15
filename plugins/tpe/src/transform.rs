//! Many kernels of one width at once: the fast Gauss transform (Greengard and Strain, "The Fast Gauss Transform",
//! SIAM J. Sci. Stat. Comput. 12, 1991), in one dimension.
//!
//! A box collects the kernels whose means it holds as moments about its centre, and a place then asks the boxes within
//! reach instead of all their kernels: with `t` the distance of a mean from the centre and `s` that of the place, both in
//! deviations, `exp(-(s - t)^2 / 2) = exp(-s^2 / 2) * sum_j He_j(s) * t^j / j!` with Hermite's polynomials. A box is one
//! deviation wide, so `t` is at most 1/2 and `TERMS` terms leave less than 1e-11 of a kernel's peak.

use crate::gauss::{REACH, exp_negative};

/// Terms of the series.
const TERMS: usize = 16;

/// 1 / j! by j.
const INVERSE_FACTORIALS: [f64; TERMS] = {
    let mut inverses = [1.0; TERMS];
    let mut j = 1;
    while j < TERMS {
        inverses[j] = inverses[j - 1] / j as f64;
        j += 1;
    }
    inverses
};

/// Four boxes side by side.
#[derive(Clone, Copy, Debug)]
struct Quartet {
    centres: [f64; 4],
    /// By term, then by box.
    moments: [[f64; 4]; TERMS],
}

const EMPTY: Quartet = Quartet { centres: [0.0; 4], moments: [[0.0; 4]; TERMS] };

/// Kernels of one deviation, in boxes. Ascending.
#[derive(Clone, Debug, Default)]
pub struct Boxes {
    deviation: f64,
    quartets: Vec<Quartet>,
    n_boxes: usize,
}

impl Boxes {
    /// Put kernels of this deviation into boxes, in place of those before. Means ascend.
    pub fn fill(&mut self, deviation: f64, means: &[f64], weights: &[f64]) {
        self.deviation = deviation;
        self.quartets.clear();
        self.n_boxes = 0;
        let per_deviation = 1.0 / deviation;
        let (mut means, mut weights) = (means, weights);
        while let Some(first) = means.first() {
            // A box begins at its first kernel.
            let edge = first + deviation;
            let n = means.iter().position(|mean| *mean >= edge).unwrap_or(means.len());
            let (inside, after) = means.split_at(n.min(weights.len()));
            let (inside_weights, after_weights) = weights.split_at(inside.len());
            let centre = first + deviation / 2.0;
            self.put(centre, &moments(centre, per_deviation, inside, inside_weights));
            if inside.is_empty() {
                break;
            }
            (means, weights) = (after, after_weights);
        }
    }

    fn put(&mut self, centre: f64, moments: &[f64; TERMS]) {
        let lane = self.n_boxes % 4;
        if lane == 0 {
            self.quartets.push(EMPTY);
        }
        if let Some(quartet) = self.quartets.last_mut() {
            // Those not used yet stand there too, empty, so that the last centre of a quartet is its largest.
            quartet.centres.iter_mut().skip(lane).for_each(|other| *other = centre);
            for ((column, moment), inverse) in quartet.moments.iter_mut().zip(moments).zip(INVERSE_FACTORIALS) {
                column[lane] = moment * inverse;
            }
        }
        self.n_boxes += 1;
    }

    /// `sum weight * exp(-(x - mean)^2 / (2 deviation^2))` over all kernels.
    pub fn sum(&self, x: f64) -> f64 {
        let reach = (REACH + 0.5) * self.deviation;
        let per_deviation = 1.0 / self.deviation;
        let from = self.quartets.partition_point(|quartet| quartet.centres[3] < x - reach);
        let mut total = [0.0; 4];
        for quartet in self.quartets.iter().skip(from) {
            if quartet.centres[0] > x + reach {
                break;
            }
            let place: [f64; 4] = std::array::from_fn(|lane| (x - quartet.centres[lane]) * per_deviation);
            // He_0 = 1, He_1 = s, He_(j+1) = s He_j - j He_(j-1).
            let (mut before, mut now) = ([1.0; 4], place);
            let mut series = [0.0; 4];
            for lane in 0..4 {
                series[lane] = quartet.moments[0][lane] + quartet.moments[1][lane] * place[lane];
            }
            for (moments, j) in quartet.moments.iter().skip(2).zip(1u32..) {
                for lane in 0..4 {
                    let next = place[lane] * now[lane] - f64::from(j) * before[lane];
                    before[lane] = now[lane];
                    now[lane] = next;
                    series[lane] += moments[lane] * next;
                }
            }
            for lane in 0..4 {
                // Beyond reach the polynomials may outgrow the exponential's last places.
                let square = place[lane] * place[lane];
                let near = if square <= (REACH + 0.5) * (REACH + 0.5) { series[lane] } else { 0.0 };
                total[lane] += near * exp_negative(-0.5 * square);
            }
        }
        (total[0] + total[1]) + (total[2] + total[3])
    }
}

/// `sum weight * t^j` for every j below `TERMS`.
fn moments(centre: f64, per_deviation: f64, means: &[f64], weights: &[f64]) -> [f64; TERMS] {
    let mut moments = [0.0; TERMS];
    for (mean, weight) in means.iter().zip(weights) {
        let distance = (mean - centre) * per_deviation;
        let square = distance * distance;
        // Two powers at a time.
        let mut powers = [*weight, weight * distance];
        let (pairs, _) = moments.as_chunks_mut::<2>();
        for pair in pairs {
            pair[0] += powers[0];
            pair[1] += powers[1];
            powers[0] *= square;
            powers[1] *= square;
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_equal_those_of_the_kernels_one_by_one() {
        for (n, deviation) in [(1, 0.01), (3, 0.01), (500, 0.01), (4_000, 0.01), (90, 0.05), (300, 0.3)] {
            let mut random = n as u64;
            let mut next = move || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 11) as f64 / (1u64 << 53) as f64
            };
            // Half of them crowd together.
            let mut means: Vec<f64> =
                (0..n).map(|idx| if idx % 2 == 0 { next() } else { 0.6 + 0.05 * next() }).collect();
            means.sort_by(f64::total_cmp);
            let weights: Vec<f64> = means.iter().map(|_| next()).collect();
            let mut boxes = Boxes::default();
            boxes.fill(deviation, &means, &weights);
            for place in 0..200 {
                let x = f64::from(place) / 199.0;
                let one = |(mean, weight): (&f64, &f64)| weight * (-0.5 * ((x - mean) / deviation).powi(2)).exp();
                let expected: f64 = means.iter().zip(&weights).map(one).sum();
                let error = (boxes.sum(x) - expected).abs();
                assert!(error < 1e-10 * n as f64 && error < 1e-9 * (expected + 1.0), "{n}, {x}: off by {error:e}");
            }
        }
    }
}
