//! A laid-out cell as SVG.

use std::fmt::Write;

use super::{
    CellDrawing, Row,
    layout::{BOX_PADDING, Item, Layout, ROW, Segment, TEXT, What, label},
};
use crate::{
    svg::{Anchor, Canvas, number},
    table::significant,
    text::{Weight, fit},
};

const MARGIN: f64 = 28.0;
const TITLE: f64 = 17.0;
const NAME: f64 = 14.0;
const BETWEEN: f64 = 40.0;
const INK: &str = "#22272e";
const SOFT: &str = "#5c646e";
const LINE: &str = "#7d8794";

/// Fill, outline of an operation's family; families can be told apart without colour by their labels.
fn family(label: &str) -> (&'static str, &'static str) {
    let has = |words: &[&str]| words.iter().any(|word| label.contains(word));
    if is_nothing(label) {
        ("#ffffff", "#aab2bc")
    } else if has(&["skip", "identity"]) {
        ("#eef0f3", "#8a94a1")
    } else if has(&["pool"]) {
        ("#fdf0d9", "#cc8800")
    } else if has(&["dil"]) {
        ("#f6e9f2", "#be5a96")
    } else if has(&["sep", "dw", "depthwise", "mb"]) {
        ("#e3f0f9", "#0072b2")
    } else if has(&["conv"]) {
        ("#e0f3ed", "#009169")
    } else {
        ("#f3f0ea", "#9a8c70")
    }
}

fn is_nothing(label: &str) -> bool {
    matches!(label, "none" | "zero" | "zeroize")
}

/// All cells below each other.
pub(super) fn sheet(title: &str, cells: &[(&CellDrawing, Layout)]) -> String {
    let mut canvas = Canvas::default();
    let widest = cells.iter().map(|(_, layout)| layout.size.0).fold(0.0, f64::max);
    let inner = widest.max(420.0);
    let mut y = MARGIN;
    let title_text = fit(title, TITLE, Weight::Medium, inner);
    if !title_text.is_empty() {
        canvas.text((MARGIN, y + TITLE * 0.8), TITLE, Weight::Medium, Anchor::Start, INK, &title_text);
        y += TITLE + 20.0;
    }
    if cells.is_empty() {
        canvas.text((MARGIN, y + TEXT), TEXT, Weight::Regular, Anchor::Start, SOFT, "no cells");
        y += TEXT + BETWEEN;
    }
    for (cell, layout) in cells {
        let name = fit(&cell.name, NAME, Weight::Medium, inner);
        if !name.is_empty() {
            canvas.text((MARGIN, y + NAME * 0.8), NAME, Weight::Medium, Anchor::Start, SOFT, &name);
            y += NAME + 14.0;
        }
        let painter = Painter { layout, left: MARGIN, top: y };
        canvas.open_group("cell", &cell.name);
        painter.paint(&mut canvas);
        canvas.close_group();
        y += layout.size.1 + BETWEEN;
    }
    canvas.finish(inner + 2.0 * MARGIN, y - BETWEEN + MARGIN, title)
}

struct Painter<'a> {
    layout: &'a Layout,
    left: f64,
    top: f64,
}

/// How a line looks.
struct Look {
    colour: &'static str,
    width: f64,
    opacity: f64,
    dashed: bool,
}

impl Painter<'_> {
    fn paint(&self, canvas: &mut Canvas) {
        let mut segments: Vec<&Segment> = self.layout.segments.iter().collect();
        segments.sort_by_key(|segment| segment.source);
        for segment in &segments {
            self.line(canvas, segment);
        }
        for item in &self.layout.items {
            match item.what {
                What::Node(index) => self.node(canvas, item, index),
                What::Box(index) => self.operations(canvas, item, index),
                What::Pass => {}
            }
        }
    }

    fn item(&self, index: usize) -> Option<&Item> {
        self.layout.items.get(index)
    }

    /// Lines out of a box show its strongest operation; all others are plain.
    fn look(&self, segment: &Segment) -> Look {
        let plain = Look { colour: LINE, width: 1.5, opacity: 1.0, dashed: false };
        let bundle = |item: &Item| match item.what {
            What::Box(index) => self.layout.graph.bundles.get(index),
            _ => None,
        };
        let ends = [segment.from, segment.to].map(|index| self.item(index).and_then(bundle));
        let idle = Look { colour: "#b9c0c9", dashed: true, ..plain };
        let Some(bundle) = ends.into_iter().flatten().next() else {
            return if self.is_idle(segment) { idle } else { plain };
        };
        let share = |row: &Row| row.weight.unwrap_or(1.0);
        let strongest = bundle.rows.iter().filter(|row| !is_nothing(&row.label)).map(share).fold(0.0, f64::max);
        if bundle.rows.iter().all(|row| is_nothing(&row.label)) {
            return idle;
        }
        if bundle.rows.iter().all(|row| row.weight.is_none()) || ends.first().is_some_and(Option::is_none) {
            return plain;
        }
        let strength = strongest.clamp(0.0, 1.0);
        Look { width: 1.0 + 3.5 * strength, opacity: 0.45 + 0.55 * strength, ..plain }
    }

    /// Whether a line leads to boxes that let nothing through.
    fn is_idle(&self, segment: &Segment) -> bool {
        match self.item(segment.to).map(|item| item.what) {
            Some(What::Pass) => {
                let mut onwards = self.layout.segments.iter().filter(|next| next.from == segment.to);
                onwards.all(|next| self.is_idle(next))
            }
            Some(What::Box(index)) => {
                let bundle = self.layout.graph.bundles.get(index);
                bundle.is_some_and(|bundle| bundle.rows.iter().all(|row| is_nothing(&row.label)))
            }
            _ => false,
        }
    }

    fn line(&self, canvas: &mut Canvas, segment: &Segment) {
        let (Some(from), Some(to)) = (self.item(segment.from), self.item(segment.to)) else { return };
        let look = self.look(segment);
        let column = |item: &Item| self.layout.columns.get(item.column).copied().unwrap_or_default();
        let into_node = matches!(to.what, What::Node(_));
        let head = if into_node { 7.0 } else { 0.0 };
        let (start, bend, straight, end) = (from.x + from.width, column(from).1, column(to).0, to.x - head);
        let middle = f64::midpoint(bend, straight);
        let (dx, dy) = (self.left, self.top);
        let mut path = format!("M{} {}", number(start + dx), number(from.y + dy));
        let _ = write!(
            path,
            "H{bx}C{m} {y1} {m} {y2} {sx} {y2}H{ex}",
            bx = number(bend + dx),
            m = number(middle + dx),
            y1 = number(from.y + dy),
            y2 = number(to.y + dy),
            sx = number(straight.min(end) + dx),
            ex = number(if to.what == What::Pass { to.x + to.width } else { end } + dx),
        );
        let (width, opacity) = (number(look.width), number(look.opacity));
        let mut attributes = vec![
            ("d", path.as_str()),
            ("fill", "none"),
            ("stroke", look.colour),
            ("stroke-width", &width),
            ("stroke-opacity", &opacity),
        ];
        if look.dashed {
            attributes.push(("stroke-dasharray", "4 4"));
        }
        canvas.element("path", &attributes);
        if into_node {
            let (x, y) = (to.x + dx, to.y + dy);
            let (long, half) = (7.5 + look.width, 3.4 + look.width * 0.55);
            let mut head = format!("M{} {}", number(x - 0.5), number(y));
            for side in [-half, half] {
                let _ = write!(head, "L{} {}", number(x - long), number(y + side));
            }
            canvas.element("path", &[("d", &format!("{head}Z")), ("fill", look.colour)]);
        }
    }

    fn node(&self, canvas: &mut Canvas, item: &Item, index: usize) {
        let Some((text, _)) = self.layout.graph.nodes.get(index) else { return };
        let bundles = &self.layout.graph.bundles;
        let (fill, outline, ink) = if !bundles.iter().any(|bundle| bundle.to == index) {
            ("#dfe4ea", "#6b7683", INK)
        } else if !bundles.iter().any(|bundle| bundle.from == index) {
            ("#3b4552", "#3b4552", "#ffffff")
        } else {
            ("#ffffff", "#3b4552", INK)
        };
        canvas.open_group("node", text);
        self.rectangle(canvas, item, item.height / 2.0, (fill, outline), false);
        let middle = (self.left + item.x + item.width / 2.0, self.top + item.y + TEXT * 0.36);
        canvas.subscript_text(middle, TEXT, Weight::Medium, Anchor::Middle, ink, &label(text));
        canvas.close_group();
    }

    fn rectangle(&self, canvas: &mut Canvas, item: &Item, round: f64, (fill, outline): (&str, &str), dashed: bool) {
        let (x, y) = (number(self.left + item.x), number(self.top + item.y - item.height / 2.0));
        let (width, height, round) = (number(item.width), number(item.height), number(round));
        let mut attributes = vec![
            ("x", x.as_str()),
            ("y", &y),
            ("width", &width),
            ("height", &height),
            ("rx", &round),
            ("fill", fill),
            ("stroke", outline),
            ("stroke-width", "1.3"),
        ];
        if dashed {
            attributes.push(("stroke-dasharray", "4 3"));
        }
        canvas.element("rect", &attributes);
    }

    fn operations(&self, canvas: &mut Canvas, item: &Item, index: usize) {
        let Some(bundle) = self.layout.graph.bundles.get(index) else { return };
        let labels: Vec<&str> = bundle.rows.iter().map(|row| row.label.as_str()).collect();
        let first = labels.first().copied().unwrap_or_default();
        let is_mixture = bundle.rows.iter().any(|row| row.weight.is_some());
        canvas.open_group("operations", &labels.join(", "));
        let outline = family(first).1;
        let fill = if is_mixture || labels.len() > 1 { "#ffffff" } else { family(first).0 };
        self.rectangle(canvas, item, 6.0, (fill, outline), is_nothing(first) && labels.len() == 1);
        for (at, row) in bundle.rows.iter().enumerate() {
            let top = self.top + item.y - item.height / 2.0 + BOX_PADDING + at as f64 * ROW;
            self.row(canvas, item, row, top);
        }
        canvas.close_group();
    }

    fn row(&self, canvas: &mut Canvas, item: &Item, row: &Row, top: f64) {
        let (left, base) = (self.left + item.x, top + ROW / 2.0 + TEXT * 0.36);
        let text = label(&row.label);
        let Some(weight) = row.weight else {
            let ink = if is_nothing(&row.label) { SOFT } else { INK };
            canvas.text((left + item.width / 2.0, base), TEXT, Weight::Regular, Anchor::Middle, ink, &text);
            return;
        };
        let share = if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 0.0 };
        let (_, outline) = family(&row.label);
        let bar = number((item.width - 8.0) * share);
        let (x, y, height) = (number(left + 4.0), number(top + 1.5), number(ROW - 3.0));
        let bar = [("x", x.as_str()), ("y", &y), ("width", &bar), ("height", &height), ("rx", "2")];
        canvas.element("rect", &[bar.as_slice(), &[("fill", outline), ("fill-opacity", "0.28")]].concat());
        canvas.text((left + 10.0, base), TEXT, Weight::Regular, Anchor::Start, INK, &text);
        canvas.text((left + item.width - 10.0, base), TEXT, Weight::Regular, Anchor::End, SOFT, &percent(weight));
    }
}

/// A share in percent, in few characters.
fn percent(weight: f64) -> String {
    match weight * 100.0 {
        share if !share.is_finite() => "–".to_owned(),
        share if share.abs() < 9.95 => format!("{} %", significant(share, if share.abs() < 0.95 { 1 } else { 2 })),
        share if share.abs() < 1000.0 => format!("{share:.0} %").replace('-', "−"),
        share => if share > 0.0 { ">999 %" } else { "<−999 %" }.to_owned(),
    }
}
