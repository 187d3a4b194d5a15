//! Kernels against loops written down from the definitions, gradients against differences of the forward pass, and
//! single precision against double.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nasd_kernels::{
    Element, Kind, Moments, Pool, Prologue, Reading, Term, Unit, Upstream, Window, gradient_sums, weighted_sum,
};

/// Numbers of [-1, 1).
fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let number = |index: u64| {
        let state = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((state ^ (state >> 31)) >> 11) as f64 * 2f64.powi(-52) - 1.0
    };
    (0..count as u64).map(number).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(0f64, |size, number| size.max(number.abs()));
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f64, f64::max);
    assert!(difference <= tolerance * size, "{what}: differs by {difference:e}, its size is {size:e}");
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

const IMAGES: usize = 3;

/// One unit's shape.
struct Case {
    input: [usize; 3],
    reading: Reading,
    out_channels: Option<usize>,
    affine: bool,
    relu: bool,
}

impl Case {
    fn taps(&self) -> usize {
        match self.reading {
            Reading::Depthwise(window) => window.kernel * window.kernel,
            Reading::Pixels { .. } => 0,
        }
    }

    fn data(&self) -> [Vec<f64>; 5] {
        let [height, width, channels] = self.input;
        let matrix = self.out_channels.unwrap_or(0) * channels;
        let counts = [IMAGES * height * width * channels, channels, channels, channels * self.taps(), matrix];
        let mut seed = 0;
        counts.map(|count| {
            seed += 1;
            numbers(seed, count)
        })
    }

    fn unit<'a, E>(&self, [_, scale, shift, filter, matrix]: [&'a [E]; 5]) -> Unit<'a, E> {
        let affine = self.affine.then_some((scale, shift));
        Unit {
            input: self.input,
            prologue: Prologue { affine, relu: self.relu },
            reading: self.reading,
            filter,
            matrix,
        }
    }

    fn forward<E: Element>(&self, data: [&[E]; 5], threads: usize) -> (Vec<E>, Moments) {
        let unit = self.unit(data);
        let mut out = vec![E::ZERO; IMAGES * unit.output().iter().product::<usize>()];
        let moments = unit.forward(threads, IMAGES, data[0], &mut out, true).unwrap().unwrap();
        (out, moments)
    }

    /// From the definition.
    fn naive(&self, [x, scale, shift, filter, matrix]: [&[f64]; 5]) -> Vec<f64> {
        let [height, width, channels] = self.input;
        let [out_height, out_width, out_channels] = self.unit([x, scale, shift, filter, matrix]).output();
        let at = |image: usize, h: isize, w: isize, c: usize| {
            if h < 0 || w < 0 || h as usize >= height || w as usize >= width {
                return 0.0;
            }
            let value = x[((image * height + h as usize) * width + w as usize) * channels + c];
            let value = if self.affine { value * scale[c] + shift[c] } else { value };
            if self.relu { value.max(0.0) } else { value }
        };
        let mut out = Vec::new();
        for place in 0..IMAGES * out_height * out_width {
            let (image, h, w) = (place / out_width / out_height, place / out_width % out_height, place % out_width);
            let inner: Vec<f64> = (0..channels)
                .map(|c| match self.reading {
                    Reading::Pixels { stride, offset } => {
                        at(image, (h * stride + offset) as isize, (w * stride + offset) as isize, c)
                    }
                    Reading::Depthwise(Window { kernel, dilation, stride }) => {
                        let from = |place: usize, tap: usize| {
                            (place * stride + tap * dilation) as isize - (kernel / 2 * dilation) as isize
                        };
                        let taps = (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel));
                        taps.map(|(row, column)| {
                            at(image, from(h, row), from(w, column), c) * filter[(c * kernel + row) * kernel + column]
                        })
                        .sum()
                    }
                })
                .collect();
            match self.out_channels {
                None => out.extend(inner),
                Some(_) => out.extend((0..out_channels).map(|o| dot(&matrix[o * channels..][..channels], &inner))),
            }
        }
        out
    }

    fn check(&self, name: &str) {
        let data = self.data();
        let slices = data.each_ref().map(Vec::as_slice);
        let (out, moments) = self.forward(slices, 2);
        close(&format!("{name}: output"), &out, &self.naive(slices), 1e-12);
        let n = moments.mean.len();
        let of = |c: usize| out.iter().skip(c).step_by(n);
        let means: Vec<f64> = (0..n).map(|c| of(c).sum::<f64>() / moments.count as f64).collect();
        let variance = |c: usize| of(c).map(|v| (v - means[c]).powi(2)).sum::<f64>() / moments.count as f64;
        close(&format!("{name}: means"), &moments.mean, &means, 1e-12);
        close(&format!("{name}: variances"), &moments.variance, &(0..n).map(variance).collect::<Vec<_>>(), 1e-12);

        // Along a direction in all inputs and weights, the gradient is the forward pass's difference.
        let unit = self.unit(slices);
        let gradient = numbers(9, out.len());
        let channels = unit.output()[2];
        let coefficients = [10, 11, 12].map(|seed| numbers(seed, channels));
        let [scale, constant, of_value] = coefficients.each_ref().map(Vec::as_slice);
        let affine = Some([scale, constant, of_value]);
        let upstream = Upstream { gradient: &gradient, affine, value: &out };
        let mut to = numbers(13, data[0].len());
        let before = to.clone();
        let weights = unit.backward(2, IMAGES, slices[0], upstream, true, Some((&mut to, true))).unwrap();
        let total: Vec<f64> = (0..out.len())
            .map(|i| (i % channels, gradient[i], out[i]))
            .map(|(c, gradient, out)| scale[c] * gradient + of_value[c] * out + constant[c])
            .collect();
        for (what, index, found) in [("filter", 3, &weights.filter), ("matrix", 4, &weights.matrix)] {
            let expected = self.slope(&data, index, &total);
            close(
                &format!("{name}: gradient of the {what}"),
                &[dot(found, &numbers(20, found.len()))],
                &[expected],
                1e-7,
            );
        }
        let of_prologue: Vec<f64> = to.iter().zip(&before).map(|(after, before)| after - before).collect();
        // What comes out is the gradient after the prologue's scale, so of x it is that times the scale.
        let c = self.input[2];
        let of_x: Vec<f64> =
            of_prologue.iter().enumerate().map(|(i, g)| if self.affine { g * slices[1][i % c] } else { *g }).collect();
        let expected = self.slope(&data, 0, &total);
        close(&format!("{name}: gradient of the input"), &[dot(&of_x, &numbers(20, of_x.len()))], &[expected], 1e-5);

        // The same without weights, and not added.
        let mut alone = vec![f64::NAN; to.len()];
        let none = unit.backward(1, IMAGES, slices[0], upstream, false, Some((&mut alone, false))).unwrap();
        assert!(none.filter.is_empty() && none.matrix.is_empty());
        close(&format!("{name}: gradient of the input alone"), &alone, &of_prologue, 1e-12);
        self.check_single(name, slices, &out, &weights.filter, &weights.matrix, &alone, upstream);
    }

    /// Difference of `total . output` along a direction of data number `index`.
    fn slope(&self, data: &[Vec<f64>; 5], index: usize, total: &[f64]) -> f64 {
        let moved = |by: f64| {
            let mut data = data.clone();
            let direction = numbers(20, data[index].len());
            for (value, direction) in data[index].iter_mut().zip(direction) {
                *value += by * direction;
            }
            dot(&self.naive(data.each_ref().map(Vec::as_slice)), total)
        };
        // Of weights the output is a linear function, of the input only where no ReLU switches.
        let step = if index == 0 && self.relu { 1e-7 } else { 1.0 };
        if data[index].is_empty() { 0.0 } else { (moved(step) - moved(-step)) / (2.0 * step) }
    }

    #[allow(clippy::too_many_arguments)]
    fn check_single(
        &self,
        name: &str,
        slices: [&[f64]; 5],
        out: &[f64],
        filter: &[f64],
        matrix: &[f64],
        of_input: &[f64],
        upstream: Upstream<'_, f64>,
    ) {
        let data = slices.map(single);
        let data = data.each_ref().map(Vec::as_slice);
        if f32::level(&[self.input[2], self.unit(data).output()[2]]).is_none() {
            return;
        }
        let (found, _) = self.forward(data, 2);
        let double = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
        close(&format!("{name}: single output"), &double(&found), out, 1e-5);
        let (gradient, value) = (single(upstream.gradient), single(upstream.value));
        let affine = upstream.affine.map(|all| all.map(single));
        let affine = affine.as_ref().map(|all| all.each_ref().map(Vec::as_slice));
        let upstream = Upstream { gradient: &gradient, affine, value: &value };
        let unit = self.unit(data);
        let mut to = vec![0.0; data[0].len()];
        let weights = unit.backward(2, IMAGES, data[0], upstream, true, Some((&mut to, false))).unwrap();
        close(&format!("{name}: single filter"), &double(&weights.filter), filter, 1e-5);
        close(&format!("{name}: single matrix"), &double(&weights.matrix), matrix, 1e-5);
        close(&format!("{name}: single gradient"), &double(&to), of_input, 1e-5);
        let mut again = vec![0.0; data[0].len()];
        let weights_again = unit.backward(2, IMAGES, data[0], upstream, true, Some((&mut again, false))).unwrap();
        assert_eq!((weights.filter, weights.matrix, to), (weights_again.filter, weights_again.matrix, again), "{name}");
    }
}

#[test]
fn units_compute_their_definition_and_its_gradients() {
    for kernel in [3, 5, 7] {
        for (dilation, stride) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            for (input, out_channels) in [([9, 13, 16], Some(24)), ([8, 8, 32], Some(16)), ([7, 6, 8], None)] {
                let reading = Reading::Depthwise(Window { kernel, dilation, stride });
                let name = format!("{kernel}x{kernel}, dilation {dilation}, stride {stride}, {input:?}");
                Case { input, reading, out_channels, affine: kernel != 5, relu: true }.check(&name);
            }
        }
    }
    for (stride, offset, out_channels) in [(1, 0, Some(16)), (2, 0, Some(16)), (2, 1, Some(8)), (2, 1, None)] {
        for (affine, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let reading = Reading::Pixels { stride, offset };
            let name = format!("pixels {stride} apart from {offset}, affine {affine}, relu {relu}");
            Case { input: [8, 6, 16], reading, out_channels, affine, relu }.check(&name);
        }
    }
}

#[test]
fn poolings_compute_their_definition_and_its_gradient() {
    for kind in [Kind::Max, Kind::Mean] {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let pool = Pool { kind, input: [7, 9, 3], kernel, stride, padding: kernel / 2 };
            let [out_height, out_width, channels] = pool.output();
            let x = numbers(1, IMAGES * 7 * 9 * channels);
            let naive = |x: &[f64]| -> Vec<f64> {
                let mut out = Vec::new();
                for i in 0..IMAGES * out_height * out_width * channels {
                    let (c, place) = (i % channels, i / channels);
                    let (w, h) = (place % out_width * stride, place / out_width % out_height * stride);
                    let image = place / out_width / out_height;
                    let near = |center: usize, n: usize| (0..n).filter(move |&p| p.abs_diff(center) <= kernel / 2);
                    let window: Vec<f64> = near(h, 7)
                        .flat_map(|h| near(w, 9).map(move |w| (h, w)))
                        .map(|(h, w)| x[((image * 7 + h) * 9 + w) * channels + c])
                        .collect();
                    out.push(match kind {
                        Kind::Max => window.iter().fold(f64::MIN, |a, &b| a.max(b)),
                        Kind::Mean => window.iter().sum::<f64>() / window.len() as f64,
                    });
                }
                out
            };
            let mut out = vec![0.0; IMAGES * out_height * out_width * channels];
            pool.forward(2, IMAGES, &x, &mut out).unwrap();
            close("pool", &out, &naive(&x), 1e-12);
            let gradient = numbers(2, out.len());
            let mut to = vec![0.0; x.len()];
            pool.backward(2, IMAGES, [&x, &out, &gradient], &mut to, false).unwrap();
            let direction = numbers(3, x.len());
            let moved = |by: f64| {
                let x: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + by * d).collect();
                dot(&naive(&x), &gradient)
            };
            let expected = (moved(1e-7) - moved(-1e-7)) / 2e-7;
            close("gradient of a pool", &[dot(&to, &direction)], &[expected], 1e-6);
        }
    }
}

#[test]
fn the_first_of_equal_values_gets_the_gradient() {
    let pool = Pool { kind: Kind::Max, input: [2, 2, 1], kernel: 3, stride: 2, padding: 1 };
    let mut to = [0.0; 4];
    pool.backward(1, 1, [&[5.0f64, 5.0, 5.0, 5.0], &[5.0], &[2.0]], &mut to, false).unwrap();
    assert_eq!(to, [2.0, 0.0, 0.0, 0.0]);
}

#[test]
fn sums_are_their_definition_for_any_number_of_threads() {
    let (channels, pixels) = (8, 1001);
    let maps: Vec<Vec<f64>> = (0..5).map(|seed| numbers(seed, channels * pixels)).collect();
    let scales: Vec<Vec<f64>> = (10..15).map(|seed| numbers(seed, channels)).collect();
    let constant = numbers(20, channels);
    let (gradient, before) = (numbers(21, channels * pixels), numbers(22, channels * pixels));
    let terms: Vec<Term<'_, f64>> = maps.iter().zip(&scales).map(|(values, scale)| Term { values, scale }).collect();
    for threads in [1, 2, 3] {
        let mut out = before.clone();
        weighted_sum(threads, &terms, &constant, &mut out, channels, true).unwrap();
        let expected: Vec<f64> = (0..out.len())
            .map(|i| {
                before[i]
                    + constant[i % channels]
                    + terms.iter().map(|t| t.values[i] * t.scale[i % channels]).sum::<f64>()
            })
            .collect();
        close("weighted sum", &out, &expected, 1e-12);
        let sums = gradient_sums(threads, &gradient, &terms, channels).unwrap();
        for c in 0..channels {
            let of = |values: &[f64]| values.iter().skip(c).step_by(channels).copied().collect::<Vec<f64>>();
            let g = of(&gradient);
            close("sum of the gradient", &[sums[0][c]], &[g.iter().sum()], 1e-12);
            for (term, sums) in terms.iter().zip(&sums[1..]) {
                let centered: Vec<f64> = of(term.values).iter().map(|v| v - term.scale[c]).collect();
                close("sum with a map", &[sums[c]], &[dot(&g, &centered)], 1e-12);
            }
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let unit = Unit {
        input: [4, 4, 8],
        prologue: Prologue { affine: None, relu: false },
        reading: Reading::Depthwise(Window { kernel: 3, dilation: 1, stride: 1 }),
        filter: &[0.0f64; 71],
        matrix: &[],
    };
    let error = unit.forward(1, 1, &[0.0; 128], &mut [0.0; 128], false).unwrap_err();
    assert_eq!(error.to_string(), "filter: 71 instead of 72");
    let unit = Unit { filter: &[0.0; 72], ..unit };
    assert!(unit.forward(1, 1, &[0.0; 127], &mut [0.0; 128], false).is_err());
    assert!(unit.forward(1, 1, &[0.0; 128], &mut [0.0; 129], false).is_err());
    assert!(weighted_sum(1, &[Term { values: &[0.0f64; 8], scale: &[1.0; 7] }], &[], &mut [0.0; 8], 8, false).is_err());
}
