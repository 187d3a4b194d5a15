//! Two measures against each other, and which points no other beats in both: the Pareto front.

use plotters::prelude::*;

use super::{
    Axis, PlotError,
    chart::{Entry, Frame, Mark, colour, draw},
    scale::{Extent, LABEL_SIZE, Padding, can_show},
};
use crate::{
    Goal,
    text::{Weight, fit, width},
};

/// One architecture, job or published result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScatterPoint {
    /// Across.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// Written beside a point of the front where there is room; may be empty.
    pub label: String,
    /// Index into [`Scatter::groups`]: its colour.
    pub group: usize,
}

/// Two measures, such as parameters and accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// Above the plot.
    pub title: String,
    /// Across, and which way is better.
    pub x: (Axis, Goal),
    /// Upwards, and which way is better.
    pub y: (Axis, Goal),
    /// Names of the groups, in the legend.
    pub groups: Vec<String>,
    /// In any order.
    pub points: Vec<ScatterPoint>,
    /// Whether the front is marked; where the two measures are meant to agree it says nothing.
    pub has_front: bool,
}

/// Widest label beside a point, in CSS pixels.
const LABEL_ROOM: f64 = 150.0;

impl Scatter {
    /// Indices of the points that no other beats: as good in both measures and better in one. From the left;
    /// of equal points the first stands for all.
    pub fn front(&self) -> Vec<usize> {
        let signed = |goal: Goal, value: f64| if goal == Goal::Minimize { value } else { -value };
        let mut order: Vec<_> = self.drawn().collect();
        order.sort_by(|(_, a), (_, b)| {
            let key = |point: &ScatterPoint| (signed(self.x.1, point.x), signed(self.y.1, point.y));
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let mut best = f64::INFINITY;
        let mut front: Vec<usize> = Vec::new();
        for (index, point) in order {
            let value = signed(self.y.1, point.y);
            if value < best {
                best = value;
                front.push(index);
            }
        }
        if self.x.1 == Goal::Maximize {
            front.reverse();
        }
        front
    }

    fn drawn(&self) -> impl Iterator<Item = (usize, &ScatterPoint)> {
        let can = |point: &ScatterPoint| can_show(&self.x.0, point.x) && can_show(&self.y.0, point.y);
        self.points.iter().enumerate().filter(move |(_, point)| can(point))
    }

    /// What can be had at each place of the first measure, as corners from the left.
    fn staircase(&self, front: &[&ScatterPoint]) -> Vec<(f64, f64)> {
        let corner = |from: &ScatterPoint, to: &ScatterPoint| match self.x.1 {
            Goal::Minimize => (to.x, from.y),
            Goal::Maximize => (from.x, to.y),
        };
        let steps = front.iter().zip(front.iter().skip(1));
        let steps = steps.flat_map(|(from, to)| [(from.x, from.y), corner(from, to)]);
        steps.chain(front.last().map(|last| (last.x, last.y))).collect()
    }

    /// As an SVG document.
    pub fn svg(&self) -> Result<String, PlotError> {
        let front = if self.has_front { self.front() } else { Vec::new() };
        let on_front: Vec<_> = front.iter().filter_map(|index| self.points.get(*index)).collect();
        let groups = self.groups.iter().enumerate();
        let mut legend: Vec<_> = groups
            .map(|(index, name)| Entry { text: name.clone(), colour: colour(index), mark: Mark::Dot, stroke: 1.0 })
            .collect();
        if on_front.len() > 1 {
            let text = "Pareto front".to_owned();
            legend.push(Entry { text, colour: BLACK.mix(0.55), mark: Mark::Line, stroke: 1.4 });
        }
        let frame = Frame {
            title: &self.title,
            x: &self.x.0,
            y: &self.y.0,
            extent: (
                Extent::of(&self.x.0, self.drawn().map(|(_, point)| point.x)),
                Extent::of(&self.y.0, self.drawn().map(|(_, point)| point.y)),
            ),
            padding: (Padding(0.04, 0.06), Padding(0.06, 0.08)),
            legend,
        };
        draw(&frame, |axes| {
            let line = self.staircase(&on_front);
            axes.line(line.clone(), BLACK.mix(0.5), 1.3)?;
            for (index, point) in self.drawn() {
                let at = (point.x, point.y);
                if front.contains(&index) {
                    axes.dot(at, 6.0, WHITE.to_rgba())?;
                    axes.dot(at, 4.6, colour(point.group))?;
                } else {
                    axes.dot(at, 3.6, colour(point.group).mix(0.4))?;
                }
            }
            let place = |point: &ScatterPoint| axes.place((point.x, point.y));
            let points: Vec<_> = self.drawn().map(|(_, point)| place(point)).collect();
            let mut taken: Vec<[f64; 4]> = points.iter().map(|(x, y)| [x - 5.0, y - 5.0, x + 5.0, y + 5.0]).collect();
            let ends = line.iter().zip(line.iter().skip(1)).map(|(from, to)| (axes.place(*from), axes.place(*to)));
            taken.extend(ends.map(|((a, b), (c, d))| [a.min(c) - 1.0, b.min(d) - 1.0, a.max(c) + 1.0, b.max(d) + 1.0]));
            for point in &on_front {
                let label = fit(&point.label, LABEL_SIZE, Weight::Regular, LABEL_ROOM);
                let (x, y) = place(point);
                let long = width(&label, LABEL_SIZE, Weight::Regular);
                let free = [(-7.0, -12.0), (-10.0, 0.0), (7.0, 12.0), (10.0, 0.0), (7.0, -12.0), (-7.0, 12.0)];
                let spot = free.into_iter().find_map(|(right, down)| {
                    let left = if right > 0.0 { x + right } else { x + right - long };
                    let spot = [left - 2.0, y + down - 7.0, left + long + 2.0, y + down + 7.0];
                    let inside = spot[0] > 0.0 && spot[1] > 0.0 && spot[2] < axes.size.0 && spot[3] < axes.size.1;
                    (inside && !taken.iter().any(|other| overlap(&spot, other))).then_some(((right, down), spot))
                });
                if let (Some((offset, spot)), false) = (spot, label.is_empty()) {
                    taken.push(spot);
                    axes.label(&label, (x + offset.0, y + offset.1), offset.0 < 0.0)?;
                }
            }
            Ok(())
        })
    }
}

fn overlap(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}
