//! An axis laid out: its range, its ticks and their labels.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::Axis;
use crate::{
    table::short,
    text::{Weight, width},
};

/// Numbers beyond this are left out like infinity: differences of kept ones stay finite.
const LARGEST: f64 = 1e100;
/// Smallest range, relative to its numbers: many ulps, so that ticks differ.
const NARROWEST: f64 = 1e-9;
/// Space between the labels of ticks, in CSS pixels.
const LABEL_GAP: f64 = 14.0;
/// Size of ticks' labels, in CSS pixels.
pub(super) const LABEL_SIZE: f64 = 12.0;

/// Smallest and largest of the numbers an axis must show.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent(Option<(f64, f64)>);

impl Extent {
    /// Of numbers; what the axis cannot show is left out.
    pub(super) fn of(axis: &Axis, values: impl IntoIterator<Item = f64>) -> Self {
        let shown = values.into_iter().filter(|value| can_show(axis, *value));
        Self(shown.fold(None, |extent, value| {
            let (low, high) = extent.unwrap_or((value, value));
            Some((f64::min(low, value), f64::max(high, value)))
        }))
    }

    /// Shows both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some((a, b)), Some((c, d))) => Self(Some((a.min(c), b.max(d)))),
            (one, other) => Self(one.or(other)),
        }
    }

    /// Nothing to show.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_none()
    }

    /// Whether the number lies in it.
    pub(super) fn holds(self, value: f64) -> bool {
        self.0.is_some_and(|(low, high)| low <= value && value <= high)
    }
}

/// Whether an axis has a place for the number.
pub(super) fn can_show(axis: &Axis, value: f64) -> bool {
    value.abs() <= LARGEST && (!axis.log || value > 1.0 / LARGEST)
}

/// How much of an axis is left free beyond its numbers, as a part of the range at each end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padding(pub(super) f64, pub(super) f64);

/// An axis laid out over a length.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    log: bool,
    percent: bool,
    decimals: usize,
    notation: Notation,
}

/// How an axis writes its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Notation {
    /// Divided by the first, followed by the second.
    Divided(f64, &'static str),
    /// With a power of ten.
    Exponent,
}

impl Notation {
    fn of(largest: f64) -> Self {
        match largest {
            0.0 | 1e-4..1e4 => Self::Divided(1.0, ""),
            1e4..1e6 => Self::Divided(1e3, "k"),
            1e6..1e9 => Self::Divided(1e6, "M"),
            1e9..1e12 => Self::Divided(1e9, "G"),
            1e12..1e15 => Self::Divided(1e12, "T"),
            _ => Self::Exponent,
        }
    }
}

impl Scale {
    /// `length` is in CSS pixels; ticks are dropped until their labels fit (`along` the axis, or across it).
    pub(super) fn new(axis: &Axis, extent: Extent, padding: Padding, length: f64, along: bool) -> Self {
        let (low, high) = extent.0.unwrap_or(if axis.log { (1.0, 10.0) } else { (0.0, 1.0) });
        let (low, high) = if axis.log { padded_log(low, high, padding) } else { padded(axis, low, high, padding) };
        let most = (length / if along { 60.0 } else { 42.0 }).floor().max(2.0) as usize;
        let notation = Notation::Exponent;
        let mut scale =
            Self { low, high, ticks: Vec::new(), log: axis.log, percent: axis.percent, decimals: 0, notation };
        for count in (2..=most).rev() {
            scale.place_ticks(axis, count);
            if !along || scale.labels_fit(length) {
                break;
            }
        }
        scale
    }

    fn place_ticks(&mut self, axis: &Axis, count: usize) {
        let factor = if self.percent { 100.0 } else { 1.0 };
        self.ticks = if self.log { log_ticks(self.low, self.high, count) } else { Vec::new() };
        if self.ticks.len() < 2 {
            self.ticks = linear_ticks(self.low * factor, self.high * factor, count, axis.whole)
                .into_iter()
                .map(|tick| tick / factor)
                .collect();
        }
        let inside = |tick: &f64| (-1e-6..=1.0 + 1e-6).contains(&self.part(*tick));
        self.ticks = self.ticks.iter().copied().filter(inside).collect();
        let largest = self.ticks.iter().fold(0.0, |most: f64, tick| most.max((tick * factor).abs()));
        self.notation = Notation::of(largest);
        let divisor = if let Notation::Divided(unit, _) = self.notation { unit } else { 1.0 };
        let exact = |decimals: &usize| {
            let power = 10f64.powi(i32::try_from(*decimals).unwrap_or(0)) * factor / divisor;
            self.ticks.iter().all(|tick| (tick * power - (tick * power).round()).abs() < 1e-3)
        };
        self.decimals = (0..9).find(exact).unwrap_or(9);
    }

    fn labels_fit(&self, length: f64) -> bool {
        let place = |value: f64| self.part(value) * length;
        let boxes: Vec<_> = self
            .ticks
            .iter()
            .map(|tick| {
                let half = width(&self.label(*tick), LABEL_SIZE, Weight::Regular) / 2.0;
                (place(*tick) - half, place(*tick) + half)
            })
            .collect();
        boxes.iter().zip(boxes.iter().skip(1)).all(|(left, right)| left.1 + LABEL_GAP < right.0)
    }

    /// Where a number lies between the axis's ends, from 0 to 1 inside.
    pub(super) fn part(&self, value: f64) -> f64 {
        let part = if self.log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if part.is_finite() { part } else { 0.0 }
    }

    /// The label of a tick.
    pub(super) fn label(&self, tick: f64) -> String {
        let value = if self.percent { tick * 100.0 } else { tick };
        if value == 0.0 {
            return "0".to_owned();
        }
        match self.notation {
            _ if self.log => short(value),
            Notation::Divided(unit, suffix) => format!("{:.*}{suffix}", self.decimals, value / unit).replace('-', "−"),
            Notation::Exponent => format!("{value:.2e}").replace('-', "−"),
        }
    }

    /// Where labels and lines of the grid are.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// Width of the widest label, in CSS pixels.
    pub(super) fn widest_label(&self) -> f64 {
        let widths = self.ticks.iter().map(|tick| width(&self.label(*tick), LABEL_SIZE, Weight::Regular));
        widths.fold(0.0, f64::max)
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (start, end) = (f64::from(limit.0), f64::from(limit.1));
        (start + (end - start) * self.part(*value).clamp(-1.0, 2.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

fn padded(axis: &Axis, low: f64, high: f64, padding: Padding) -> (f64, f64) {
    let least = NARROWEST * low.abs().max(high.abs());
    let (low, high, range) = if high - low > least {
        (low, high, high - low)
    } else {
        // One number alone: half of it on both sides, and for a count a step.
        let step = if axis.whole || low == 0.0 { 1.0 } else { low.abs() * if axis.percent { 0.02 } else { 0.1 } };
        (low - step, high + step, 0.0)
    };
    // No axis of positive numbers goes below zero, and none of fractions beyond one.
    let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let ceiling = if axis.percent && high <= 1.0 { 1.0 } else { f64::INFINITY };
    ((low - range * padding.0).max(floor), (high + range * padding.1).min(ceiling))
}

fn padded_log(low: f64, high: f64, padding: Padding) -> (f64, f64) {
    let (low, high) = if high > low * 1.01 { (low, high) } else { (low / 2.0, high * 2.0) };
    let range = (high / low).ln();
    (low * (-range * padding.0).exp(), high * (range * padding.1).exp())
}

/// Multiples of 1, 2 or 5 times a power of ten, at most `count` of them.
fn linear_ticks(low: f64, high: f64, count: usize, whole: bool) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(power * 10.0);
    // Where no whole number lies in the range, others must do.
    let step = if whole && low.ceil() <= high { step.max(1.0) } else { step };
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    if !(first.is_finite() && last.is_finite() && step > 0.0) {
        return vec![low, high];
    }
    let number = (last - first).clamp(0.0, 1000.0) as u32;
    (0..=number).map(|index| (first + f64::from(index)) * step).collect()
}

/// The finest of these that fits: multiples of powers of ten, or powers of ten alone; none where fewer than two are inside.
fn log_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |tick: &f64| low * 0.999_999 <= *tick && *tick <= high * 1.000_001;
    let multiples = |digits: &[f64]| -> Vec<f64> {
        let of = |power: i32| digits.iter().map(move |digit| digit * 10f64.powi(power));
        (first..=last).flat_map(of).filter(inside).collect()
    };
    let coarse = multiples(&[1.0, 2.0, 5.0]);
    // Three a decade read best; a narrow axis needs more.
    let fine = if coarse.len() < 4 { multiples(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]) } else { Vec::new() };
    let narrow = [fine, coarse].into_iter().find(|ticks| (2..=count).contains(&ticks.len()));
    narrow.unwrap_or_else(|| {
        let decades = multiples(&[1.0]);
        let every = decades.len().div_ceil(count).max(1);
        decades.into_iter().step_by(every).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, low: f64, high: f64) -> Vec<String> {
        let scale = Scale::new(axis, Extent::of(axis, [low, high]), Padding(0.0, 0.0), 500.0, true);
        scale.ticks().iter().map(|tick| scale.label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_few_characters() {
        let plain = Axis::new("x");
        assert_eq!(labels(&plain, 0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&plain, -1.0, 1.0), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&plain, 0.0, 3e6), ["0", "0.5M", "1.0M", "1.5M", "2.0M", "2.5M", "3.0M"]);
        assert_eq!(labels(&Axis::new("x").percent(), 0.95, 1.0), ["95", "96", "97", "98", "99", "100"]);
        assert_eq!(labels(&Axis::new("x").whole(), 1.0, 4.0), ["1", "2", "3", "4"]);
        assert_eq!(labels(&Axis::new("x").log(), 1e-4, 1.0), ["1e−4", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&Axis::new("x").log(), 7e4, 4e5), ["70k", "100k", "150k", "200k", "300k", "400k"]);
    }

    #[test]
    fn one_number_alone_gets_a_range_around_it() {
        assert_eq!(labels(&Axis::new("x").whole(), 1.0, 1.0), ["0", "1", "2"]);
        assert_eq!(labels(&Axis::new("x"), 1e12, 1e12 + 1e-3).len(), 5);
    }
}
