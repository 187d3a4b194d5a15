//! Where nodes, boxes and lines of a cell lie.
//!
//! Columns alternate: nodes of one level, then the boxes that feed the next. In every column that a line only
//! passes it holds a place, so it crosses no box. Orders come from barycentre sweeps, the best one kept;
//! heights from least squares to the neighbours under the order (pool adjacent violators), swept until calm.

use std::collections::BTreeSet;

use super::Graph;
use crate::text::{Weight, fit, subscript_width, width};

/// Size of labels, in CSS pixels.
pub(super) const TEXT: f64 = 13.0;
/// Height of a row of a box, in CSS pixels.
pub(super) const ROW: f64 = 20.0;
/// Free space above and below the rows of a box, in CSS pixels.
pub(super) const BOX_PADDING: f64 = 4.0;
const NODE_HEIGHT: f64 = 32.0;
const LABEL_ROOM: f64 = 190.0;
const PERCENT_ROOM: f64 = 52.0;
/// Between columns: at least this for the curves of the lines, more where they are steep, up to the second.
const GAP: (f64, f64) = (46.0, 110.0);
const APART: f64 = 16.0;
const SWEEPS: usize = 24;
const CALM_AFTER: usize = 60;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The node of this index.
    Node(usize),
    /// The box of the bundle of this index.
    Box(usize),
    /// A line on its way.
    Pass,
}

/// A thing with its place: the middle of its left end, and its size, in CSS pixels.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) column: usize,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line from an item to one in the next column; `source` is the item the line started from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) source: usize,
}

/// A cell with all places.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) graph: Graph,
    pub(super) items: Vec<Item>,
    pub(super) segments: Vec<Segment>,
    pub(super) size: (f64, f64),
    /// Left and right end of each column.
    pub(super) columns: Vec<(f64, f64)>,
}

/// Lays out a cell; its upper left corner is the origin.
pub(super) fn lay_out(graph: &Graph) -> Layout {
    let mut layout = Layout { graph: graph.clone(), ..Layout::default() };
    layout.place_items();
    layout.draw_segments();
    let order = layout.order();
    layout.set_heights(&order);
    layout.set_columns();
    layout
}

/// Label of a node or row, cut to its room.
pub(super) fn label(text: &str) -> String {
    fit(text, TEXT, Weight::Regular, LABEL_ROOM)
}

impl Layout {
    fn place_items(&mut self) {
        let item = |what, column, width, height| Item { what, column, x: 0.0, y: 0.0, width, height };
        for (index, (text, level)) in self.graph.nodes.iter().enumerate() {
            let wide = (subscript_width(&label(text), TEXT, Weight::Medium) + 24.0).max(40.0);
            self.items.push(item(What::Node(index), 2 * level, wide, NODE_HEIGHT));
        }
        for (index, bundle) in self.graph.bundles.iter().enumerate().filter(|(_, bundle)| !bundle.rows.is_empty()) {
            let level = self.graph.nodes.get(bundle.to).map_or(0, |(_, level)| *level);
            let texts = bundle.rows.iter().map(|row| width(&label(&row.label), TEXT, Weight::Regular));
            let percent = if bundle.rows.iter().any(|row| row.weight.is_some()) { PERCENT_ROOM } else { 0.0 };
            let wide = texts.fold(0.0, f64::max) + 24.0 + percent;
            let high = bundle.rows.len() as f64 * ROW + 2.0 * BOX_PADDING;
            self.items.push(item(What::Box(index), (2 * level).saturating_sub(1), wide, high));
        }
        // Columns without a node or box are none.
        let used: BTreeSet<usize> = self.items.iter().map(|item| item.column).collect();
        for item in &mut self.items {
            item.column = used.range(..item.column).count();
        }
    }

    fn find(&self, what: What) -> Option<usize> {
        self.items.iter().position(|item| item.what == what)
    }

    /// A trunk for each source, with a branch to each target.
    fn draw_segments(&mut self) {
        let mut targets: Vec<(usize, usize)> = Vec::new();
        for (index, bundle) in self.graph.bundles.iter().enumerate() {
            let (from, to) = (self.find(What::Node(bundle.from)), self.find(What::Node(bundle.to)));
            let (Some(from), Some(to)) = (from, to) else { continue };
            match self.find(What::Box(index)) {
                Some(middle) => targets.extend([(from, middle), (middle, to)]),
                None => targets.push((from, to)),
            }
        }
        targets.sort_by_key(|(from, to)| (*from, self.items.get(*to).map_or(0, |item| item.column)));
        let mut end: Option<Segment> = None;
        for (source, target) in targets {
            let column = self.items.get(target).map_or(0, |item| item.column);
            let mut tip = end.filter(|end| end.source == source).map_or(source, |end| end.to);
            while let Some(item) = self.items.get(tip).filter(|item| item.column + 1 < column) {
                let next = Item { what: What::Pass, column: item.column + 1, width: 0.0, height: 0.0, ..item.clone() };
                self.items.push(next);
                let segment = Segment { from: tip, to: self.items.len() - 1, source };
                self.segments.push(segment);
                tip = segment.to;
            }
            end = Some(Segment { from: tip, to: tip, source });
            self.segments.push(Segment { from: tip, to: target, source });
        }
    }

    fn neighbours(&self) -> Vec<Vec<(usize, f64)>> {
        let mut neighbours = vec![Vec::new(); self.items.len()];
        for segment in &self.segments {
            let is_pass = |index: usize| self.items.get(index).is_some_and(|item| item.what == What::Pass);
            let pull = match (is_pass(segment.from), is_pass(segment.to)) {
                (true, true) => 6.0,
                (false, false) => 1.0,
                _ => 2.0,
            };
            for (one, other) in [(segment.from, segment.to), (segment.to, segment.from)] {
                neighbours.get_mut(one).into_iter().for_each(|list: &mut Vec<_>| list.push((other, pull)));
            }
        }
        neighbours
    }

    /// Items of each column from top to bottom.
    fn order(&self) -> Vec<Vec<usize>> {
        let columns = self.items.iter().map(|item| item.column + 1).max().unwrap_or(0);
        let column = |index: usize| self.items.get(index).map_or(0, |item| item.column);
        let mut order: Vec<Vec<usize>> =
            (0..columns).map(|at| (0..self.items.len()).filter(|index| column(*index) == at).collect()).collect();
        let neighbours = self.neighbours();
        let mut best = (self.crossings(&order), order.clone());
        for sweep in 0..SWEEPS {
            let rightwards = sweep % 2 == 0;
            let visited: Vec<usize> =
                if rightwards { (1..columns).collect() } else { (0..columns).rev().skip(1).collect() };
            for at in visited {
                let place = self.places(&order);
                let beside = |index: &usize| {
                    let wanted = if rightwards { column(*index).checked_sub(1) } else { Some(column(*index) + 1) };
                    let near = neighbours.get(*index).into_iter().flatten().filter(|(n, _)| Some(column(*n)) == wanted);
                    let places: Vec<f64> = near.filter_map(|(n, _)| place.get(*n)).copied().collect();
                    let own = place.get(*index).copied().unwrap_or(0.0);
                    if places.is_empty() { own } else { places.iter().sum::<f64>() / places.len() as f64 }
                };
                if let Some(items) = order.get_mut(at) {
                    items.sort_by(|a, b| beside(a).total_cmp(&beside(b)));
                }
            }
            let crossings = self.crossings(&order);
            if crossings < best.0 {
                best = (crossings, order.clone());
            }
        }
        best.1
    }

    /// Place of each item in its column, from 0 to 1.
    fn places(&self, order: &[Vec<usize>]) -> Vec<f64> {
        let mut places = vec![0.0; self.items.len()];
        for items in order {
            for (index, item) in items.iter().enumerate() {
                let part = (index as f64 + 0.5) / items.len() as f64;
                places.get_mut(*item).into_iter().for_each(|place| *place = part);
            }
        }
        places
    }

    fn crossings(&self, order: &[Vec<usize>]) -> usize {
        let places = self.places(order);
        let place = |index: usize| places.get(index).copied().unwrap_or(0.0);
        let column = |segment: &Segment| self.items.get(segment.from).map_or(0, |item| item.column);
        let mut segments: Vec<_> = self.segments.iter().map(|s| (column(s), place(s.from), place(s.to))).collect();
        segments.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let crossed = |one: &(usize, f64, f64), other: &(usize, f64, f64)| one.1 < other.1 && one.2 > other.2;
        let behind = |index: usize| segments.iter().skip(index + 1);
        let count = |(index, one): (usize, &(usize, f64, f64))| {
            behind(index).take_while(|other| other.0 == one.0).filter(|other| crossed(one, other)).count()
        };
        segments.iter().enumerate().map(count).sum()
    }

    fn set_heights(&mut self, order: &[Vec<usize>]) {
        let neighbours = self.neighbours();
        for sweep in 0..CALM_AFTER {
            let columns: Vec<&Vec<usize>> =
                if sweep % 2 == 0 { order.iter().collect() } else { order.iter().rev().collect() };
            for items in columns {
                let wished = items.iter().map(|index| {
                    let near: Vec<_> = neighbours.get(*index).into_iter().flatten().collect();
                    let pull: f64 = near.iter().map(|(_, pull)| pull).sum();
                    let sum: f64 = near.iter().map(|(n, pull)| self.items.get(*n).map_or(0.0, |i| i.y) * pull).sum();
                    let own = self.items.get(*index).map_or(0.0, |item| item.y);
                    if pull > 0.0 { (sum / pull, pull) } else { (own, 0.5) }
                });
                let places = apart(&wished.collect::<Vec<_>>(), &self.distances(items));
                for (index, y) in items.iter().zip(places) {
                    self.items.get_mut(*index).into_iter().for_each(|item| item.y = y);
                }
            }
        }
        let top = self.items.iter().map(|item| item.y - item.height / 2.0).fold(f64::INFINITY, f64::min);
        let bottom = self.items.iter().map(|item| item.y + item.height / 2.0).fold(f64::NEG_INFINITY, f64::max);
        if top.is_finite() {
            self.items.iter_mut().for_each(|item| item.y -= top);
            self.size.1 = bottom - top;
        }
    }

    /// Distances between the middles of neighbours in a column.
    fn distances(&self, items: &[usize]) -> Vec<f64> {
        let half = |index: &usize| self.items.get(*index).map_or(0.0, |item| item.height / 2.0);
        items.iter().zip(items.iter().skip(1)).map(|(one, other)| half(one) + half(other) + APART).collect()
    }

    fn set_columns(&mut self) {
        let columns = self.items.iter().map(|item| item.column + 1).max().unwrap_or(0);
        let mut x: f64 = 0.0;
        for column in 0..columns {
            let widths = self.items.iter().filter(|item| item.column == column).map(|item| item.width);
            let wide = widths.fold(0.0, f64::max);
            for item in self.items.iter_mut().filter(|item| item.column == column) {
                // Boxes of a column are as wide as the widest; nodes stand in its middle.
                match item.what {
                    What::Node(_) => item.x = x + (wide - item.width) / 2.0,
                    What::Box(_) | What::Pass => (item.x, item.width) = (x, wide),
                }
            }
            self.columns.push((x, x + wide));
            self.size.0 = x + wide;
            x += wide + self.gap(column);
        }
    }
}

impl Layout {
    /// Behind a column.
    fn gap(&self, column: usize) -> f64 {
        let ends = self.segments.iter().filter_map(|s| Some((self.items.get(s.from)?, self.items.get(s.to)?)));
        let steep = ends.filter(|(from, _)| from.column == column).map(|(from, to)| (from.y - to.y).abs());
        (GAP.0 + 0.12 * (steep.fold(0.0, f64::max) - 120.0).max(0.0)).min(GAP.1)
    }
}

/// Places closest to the wished ones (place, weight) in least squares, in the same order and no closer than the distances.
fn apart(wished: &[(f64, f64)], distances: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let offsets: Vec<f64> = std::iter::once(0.0)
        .chain(distances.iter().map(|distance| {
            offset += distance;
            offset
        }))
        .collect();
    // Blocks of (mean, weight, members): neighbours in the wrong order are merged.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for ((place, weight), offset) in wished.iter().zip(&offsets) {
        let mut block = (place - offset, *weight, 1);
        while let Some(last) = blocks.pop_if(|last| last.0 > block.0) {
            let weight = last.1 + block.1;
            block = ((last.0 * last.1 + block.0 * block.1) / weight, weight, last.2 + block.2);
        }
        blocks.push(block);
    }
    let places = blocks.into_iter().flat_map(|(mean, _, members)| std::iter::repeat_n(mean, members));
    places.zip(offsets).map(|(place, offset)| place + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn places_keep_order_and_distance_and_stay_close_to_the_wishes() {
        let places = apart(&[(5.0, 1.0), (5.0, 1.0), (40.0, 1.0)], &[10.0, 10.0]);
        assert_eq!(places, [0.0, 10.0, 40.0]);
        let places = apart(&[(9.0, 1.0), (0.0, 3.0)], &[1.0]);
        assert_eq!(places, [1.5, 2.5]);
        assert!(apart(&[], &[]).is_empty());
    }
}
