//! The frame of every plot: title, legend, axes, grid; the series are drawn into it.

use plotters::{
    coord::{Shift, cartesian::Cartesian2d},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    Axis, COLOURS, PlotError,
    scale::{Extent, LABEL_SIZE, Padding, Scale},
};
use crate::{
    svg::document,
    text::{FAMILY, Weight, clean, fit, width},
};

/// plotters' units in a CSS pixel: its backend knows whole units only.
const SUB: f64 = 10.0;
/// A plot's size in CSS pixels.
const SIZE: (f64, f64) = (880.0, 500.0);
const MARGIN: f64 = 20.0;
const TITLE_SIZE: f64 = 17.0;
const TEXT_SIZE: f64 = 13.0;
const LEGEND_ROW: f64 = 22.0;
const LEGEND_ROWS: usize = 3;
/// A legend's entry has no more text than this, in CSS pixels.
const LEGEND_TEXT: f64 = 340.0;

const INK: RGBColor = RGBColor(34, 39, 46);
const SOFT: RGBColor = RGBColor(92, 100, 110);
const GRID: RGBColor = RGBColor(230, 233, 237);
const AXIS: RGBColor = RGBColor(150, 157, 166);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What plotters says when it refuses.
pub(super) type Refused = Box<dyn std::error::Error>;

/// How a legend shows an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mark {
    /// A line.
    Line,
    /// A line with a dot at its end.
    Ended,
    /// A dot.
    Dot,
}

/// An entry of the legend.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) colour: RGBAColor,
    pub(super) mark: Mark,
    /// Of its line, in CSS pixels.
    pub(super) stroke: f64,
}

/// All of a plot but its series.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a Axis,
    pub(super) y: &'a Axis,
    pub(super) extent: (Extent, Extent),
    pub(super) padding: (Padding, Padding),
    pub(super) legend: Vec<Entry>,
}

/// CSS pixels in plotters' units.
fn px(length: f64) -> i32 {
    (length * SUB).round() as i32
}

/// A stroke of a width in CSS pixels.
fn stroke(colour: RGBAColor, width: f64) -> ShapeStyle {
    colour.stroke_width(px(width).unsigned_abs())
}

/// The colour of the n-th series; they repeat.
pub(super) fn colour(index: usize) -> RGBAColor {
    let (red, green, blue) = COLOURS.get(index % COLOURS.len()).copied().unwrap_or_default();
    RGBColor(red, green, blue).to_rgba()
}

fn style(size: f64, colour: RGBColor, weight: Weight) -> TextStyle<'static> {
    // The backend writes the size divided by 1.24.
    let font = FontDesc::new(FontFamily::Name(FAMILY), size * SUB * 1.24, FontStyle::Normal);
    let font = if weight == Weight::Medium { font.style(FontStyle::Bold) } else { font };
    font.color(&colour)
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (f64, f64),
    style: &TextStyle<'_>,
    anchor: (HPos, VPos),
) -> Result<(), Refused> {
    if text.is_empty() {
        return Ok(());
    }
    let style = style.pos(Pos::new(anchor.0, anchor.1));
    area.draw(&Text::new(text.to_owned(), (px(at.0), px(at.1)), style))?;
    Ok(())
}

/// The axes of a plot, to draw series into. Widths and sizes are CSS pixels.
pub(super) struct Axes<'a> {
    root: Area<'a>,
    plane: DrawingArea<SVGBackend<'a>, Cartesian2d<Scale, Scale>>,
    scales: (Scale, Scale),
    corner: (f64, f64),
    /// Width and height.
    pub(super) size: (f64, f64),
}

impl Axes<'_> {
    /// Straight lines from point to point.
    pub(super) fn line(&self, points: Vec<(f64, f64)>, colour: RGBAColor, width: f64) -> Result<(), Refused> {
        Ok(self.plane.draw(&PathElement::new(points, stroke(colour, width)))?)
    }

    /// A filled circle.
    pub(super) fn dot(&self, at: (f64, f64), radius: f64, colour: RGBAColor) -> Result<(), Refused> {
        Ok(self.plane.draw(&Circle::new(at, px(radius), colour.filled()))?)
    }

    /// A filled polygon.
    pub(super) fn fill(&self, outline: Vec<(f64, f64)>, colour: RGBAColor) -> Result<(), Refused> {
        Ok(self.plane.draw(&Polygon::new(outline, colour.filled()))?)
    }

    /// Where a point lies, in CSS pixels from the upper left corner of the axes.
    pub(super) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.scales.0.part(x) * self.size.0, (1.0 - self.scales.1.part(y)) * self.size.1)
    }

    /// A small text in the axes, its middle line at a place (see [`Axes::place`]); `right`: it ends there.
    pub(super) fn label(&self, text: &str, (x, y): (f64, f64), right: bool) -> Result<(), Refused> {
        let anchor = if right { HPos::Right } else { HPos::Left };
        let at = (self.corner.0 + x, self.corner.1 + y);
        write(&self.root, text, at, &style(LABEL_SIZE, SOFT, Weight::Regular), (anchor, VPos::Center))
    }
}

/// Draws a plot; `series` draws into its axes.
pub(super) fn draw<F>(frame: &Frame<'_>, series: F) -> Result<String, PlotError>
where
    F: FnOnce(&Axes<'_>) -> Result<(), Refused>,
{
    let mut body = String::new();
    let result = try_draw(frame, &mut body, series);
    result.map_err(|error| PlotError::Drawing { title: frame.title.to_owned(), reason: error.to_string() })?;
    // The document is the crate's own: plotters' has no title, fonts or round joins.
    let inner = body.split_once('\n').map_or("", |(_, rest)| rest);
    let inner = inner.trim_end().strip_suffix("</svg>").unwrap_or(inner);
    Ok(document(SIZE.0, SIZE.1, SUB, frame.title, inner))
}

fn try_draw<F>(frame: &Frame<'_>, body: &mut String, series: F) -> Result<(), Refused>
where
    F: FnOnce(&Axes<'_>) -> Result<(), Refused>,
{
    let area =
        SVGBackend::with_string(body, (px(SIZE.0).unsigned_abs(), px(SIZE.1).unsigned_abs())).into_drawing_area();
    let rows = legend_rows(&frame.legend, SIZE.0 - 2.0 * MARGIN);
    let top = MARGIN + 26.0 + rows.len() as f64 * LEGEND_ROW + 8.0;
    let bottom = SIZE.1 - MARGIN - 44.0;
    let y = Scale::new(frame.y, frame.extent.1, frame.padding.1, bottom - top, false);
    let left = MARGIN + 26.0 + y.widest_label() + 8.0;
    let right = SIZE.0 - MARGIN - 8.0;
    let x = Scale::new(frame.x, frame.extent.0, frame.padding.0, right - left, true);

    let room = SIZE.0 - 2.0 * MARGIN;
    let title = fit(frame.title, TITLE_SIZE, Weight::Medium, room);
    write(&area, &title, (MARGIN, MARGIN), &style(TITLE_SIZE, INK, Weight::Medium), (HPos::Left, VPos::Top))?;
    draw_legend(&area, &rows)?;
    let soft = style(LABEL_SIZE, SOFT, Weight::Regular);
    let name = fit(&frame.x.title(), TEXT_SIZE, Weight::Regular, right - left);
    let named = style(TEXT_SIZE, INK, Weight::Regular);
    write(&area, &name, ((left + right) / 2.0, SIZE.1 - MARGIN), &named, (HPos::Center, VPos::Bottom))?;
    let name = fit(&frame.y.title(), TEXT_SIZE, Weight::Regular, bottom - top);
    let turned = named.transform(FontTransform::Rotate270);
    write(&area, &name, (MARGIN, (top + bottom) / 2.0), &turned, (HPos::Center, VPos::Top))?;

    let inside = area.clone().shrink((px(left), px(top)), (px(right - left), px(bottom - top)));
    for &tick in y.ticks() {
        let at = bottom - y.part(tick) * (bottom - top);
        write(&area, &y.label(tick), (left - 8.0, at), &soft, (HPos::Right, VPos::Center))?;
    }
    for &tick in x.ticks() {
        let at = left + x.part(tick) * (right - left);
        write(&area, &x.label(tick), (at, bottom + 8.0), &soft, (HPos::Center, VPos::Top))?;
    }
    let mut chart = ChartBuilder::on(&inside).build_cartesian_2d(x.clone(), y.clone())?;
    chart.configure_mesh().light_line_style(TRANSPARENT).bold_line_style(stroke(GRID.to_rgba(), 1.0)).draw()?;
    let corner = [(left, top), (left, bottom), (right, bottom)].map(|(x, y)| (px(x), px(y)));
    area.draw(&PathElement::new(corner.to_vec(), stroke(AXIS.to_rgba(), 1.0)))?;
    if frame.extent.0.is_empty() || frame.extent.1.is_empty() {
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        write(&area, "nothing to show yet", middle, &named.color(&SOFT), (HPos::Center, VPos::Center))?;
    } else {
        series(&Axes {
            root: area.clone(),
            plane: chart.plotting_area().clone(),
            scales: (x, y),
            corner: (left, top),
            size: (right - left, bottom - top),
        })?;
    }
    area.present()?;
    Ok(())
}

/// Entries by row, each with its left end, in CSS pixels; what has no room in the rows is counted at the end.
fn legend_rows(entries: &[Entry], room: f64) -> Vec<Vec<(f64, Entry)>> {
    let place = |entries: &[Entry]| {
        let mut rows: Vec<Vec<(f64, Entry)>> = Vec::new();
        let mut x = f64::INFINITY;
        for entry in entries {
            let text = fit(&entry.text, TEXT_SIZE, Weight::Regular, LEGEND_TEXT);
            let wide = 32.0 + width(&text, TEXT_SIZE, Weight::Regular) + 22.0;
            if x + wide > room {
                rows.push(Vec::new());
                x = 0.0;
            }
            rows.last_mut().into_iter().for_each(|row| row.push((x, Entry { text: text.clone(), ..entry.clone() })));
            x += wide;
        }
        rows
    };
    // No more entries than this fit, even short ones.
    let most = entries.len().min(LEGEND_ROWS * 16);
    let shortened = |kept: usize| {
        let (text, hidden) = (format!("and {} more", entries.len() - kept), TRANSPARENT);
        let note = Entry { text, colour: hidden, mark: Mark::Line, stroke: 1.0 };
        let kept = entries.iter().take(kept).cloned();
        place(&if most < entries.len() || kept.len() < entries.len() {
            kept.chain([note]).collect()
        } else {
            kept.collect::<Vec<_>>()
        })
    };
    (0..=most).rev().map(shortened).find(|rows| rows.len() <= LEGEND_ROWS).unwrap_or_default()
}

fn draw_legend(area: &Area<'_>, rows: &[Vec<(f64, Entry)>]) -> Result<(), Refused> {
    let text = style(TEXT_SIZE, INK, Weight::Regular);
    for (index, row) in rows.iter().enumerate() {
        let y = MARGIN + 26.0 + (index as f64 + 0.5) * LEGEND_ROW;
        for (left, entry) in row {
            let x = MARGIN + left;
            let line = vec![(px(x), px(y)), (px(x + 22.0), px(y))];
            if matches!(entry.mark, Mark::Line | Mark::Ended) {
                area.draw(&PathElement::new(line, stroke(entry.colour, entry.stroke)))?;
            }
            let dot = match entry.mark {
                Mark::Line => None,
                Mark::Ended => Some((x + 22.0, 3.0)),
                Mark::Dot => Some((x + 11.0, 4.5)),
            };
            if let Some((x, radius)) = dot {
                area.draw(&Circle::new((px(x), px(y)), px(radius), entry.colour.filled()))?;
            }
            write(area, &clean(&entry.text), (x + 32.0, y), &text, (HPos::Left, VPos::Center))?;
        }
    }
    Ok(())
}
