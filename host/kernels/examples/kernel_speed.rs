//! What each kernel reaches: milliseconds and multiply-adds a second of DARTS's units (16 channels, 32x32, 16 images),
//! one thread. `cargo run -p nasd-kernels --example kernel_speed`

use std::time::Instant;

use nasd_kernels::{Mismatch, Prologue, Reading, Unit, Upstream, Window};

const IMAGES: usize = 16;

fn main() -> Result<(), Mismatch> {
    for (side, channels) in [(32, 16), (16, 32), (8, 64)] {
        for (kernel, dilation) in [(3, 1), (5, 1), (3, 2), (5, 2), (7, 1)] {
            let window = Window { kernel, dilation, stride: 1 };
            measure(side, channels, Reading::Depthwise(window), true)?;
            if kernel == 5 && dilation == 1 {
                measure(side, channels, Reading::Depthwise(window), false)?;
            }
        }
        measure(side, channels, Reading::Pixels { stride: 1, offset: 0 }, true)?;
    }
    Ok(())
}

/// Median of the times of 15 calls, in milliseconds.
fn median(mut call: impl FnMut() -> Result<(), Mismatch>) -> Result<f64, Mismatch> {
    let mut times = Vec::new();
    for _ in 0..15 {
        let begun = Instant::now();
        call()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(7).copied().unwrap_or(f64::NAN))
}

fn measure(side: usize, channels: usize, reading: Reading, with_matrix: bool) -> Result<(), Mismatch> {
    let taps = match reading {
        Reading::Depthwise(window) => window.kernel * window.kernel,
        Reading::Pixels { .. } => 0,
    };
    let elements = IMAGES * side * side * channels;
    let numbers = |n: usize| (0..n).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect::<Vec<f32>>();
    let (x, gradient) = (numbers(elements), numbers(elements));
    let (filter, matrix) = (numbers(taps * channels), numbers(if with_matrix { channels * channels } else { 0 }));
    let prologue = Prologue { affine: None, relu: true };
    let unit = Unit { input: [side, side, channels], prologue, reading, filter: &filter, matrix: &matrix };
    let mut out = vec![0.0f32; elements];
    let mut to = vec![0.0f32; elements];
    let forward = median(|| unit.forward(1, IMAGES, &x, &mut out, true).map(|_| ()))?;
    let per_channel = numbers(channels);
    let affine = Some([per_channel.as_slice(); 3]);
    let upstream = Upstream { gradient: &gradient, affine, value: &out };
    let of_input = median(|| unit.backward(1, IMAGES, &x, upstream, false, Some((&mut to, true))).map(|_| ()))?;
    let backward = median(|| unit.backward(1, IMAGES, &x, upstream, true, Some((&mut to, true))).map(|_| ()))?;
    let once =
        |times: usize, columns: usize| (elements * (taps * times + columns * matrix.len() / channels)) as f64 / 1e6;
    println!(
        "{side}x{side}x{channels} {reading:?} 1x1 {with_matrix}: forward {forward:.3} ms, {:.1} GMAC/s; input's gradient \
         {of_input:.3} ms, {:.1}; all gradients {backward:.3} ms, {:.1}",
        once(1, 1) / forward,
        once(1, 1) / of_input,
        once(3, 2) / backward,
    );
    Ok(())
}
