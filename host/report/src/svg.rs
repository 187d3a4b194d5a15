//! A small writer of SVG elements for drawings. Plots have plotters' own.
//!
//! Elements are written in the order of the calls, numbers with at most two decimals; a number that is not
//! finite becomes 0, so that the document stays valid whatever was computed.

use std::fmt::Write;

use crate::text::{FAMILY, SUBSCRIPT, Weight, clean, escape, subscript};

/// Where a text's position is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

/// A document being written.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    body: String,
}

/// At most two decimals, without trailing zeros.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

impl Canvas {
    /// An element without content; `attributes` are values by name.
    pub(crate) fn element(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let _ = write!(self.body, "<{name}");
        for (key, value) in attributes {
            let _ = write!(self.body, " {key}=\"{}\"", escape(&clean(value)));
        }
        self.body.push_str("/>\n");
    }

    /// Opens a group with a tooltip.
    pub(crate) fn open_group(&mut self, class: &str, tooltip: &str) {
        let _ = writeln!(self.body, "<g class=\"{}\"><title>{}</title>", escape(class), escape(&clean(tooltip)));
    }

    /// Closes the group opened last.
    pub(crate) fn close_group(&mut self) {
        self.body.push_str("</g>\n");
    }

    /// One line of text; `y` is its base line.
    pub(crate) fn text(&mut self, at: (f64, f64), size: f64, weight: Weight, anchor: Anchor, fill: &str, text: &str) {
        self.line(at, size, weight, anchor, fill, &escape(&clean(text)));
    }

    /// The same, with `c_{k-1}` written as in the papers.
    pub(crate) fn subscript_text(
        &mut self,
        at: (f64, f64),
        size: f64,
        weight: Weight,
        anchor: Anchor,
        fill: &str,
        text: &str,
    ) {
        let text = clean(text);
        let (base, low) = subscript(&text);
        let mut content = escape(base);
        if !low.is_empty() {
            let (small, down) = (number(size * SUBSCRIPT), number(size * 0.22));
            let low = escape(&low.replace('-', "−"));
            let _ = write!(content, "<tspan font-size=\"{small}\" dy=\"{down}\">{low}</tspan>");
        }
        self.line(at, size, weight, anchor, fill, &content);
    }

    fn line(&mut self, (x, y): (f64, f64), size: f64, weight: Weight, anchor: Anchor, fill: &str, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if weight == Weight::Medium { 500 } else { 400 };
        let (x, y, size) = (number(x), number(y), number(size));
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"{weight}\" \
             text-anchor=\"{anchor}\" fill=\"{fill}\">{content}</text>",
        );
    }

    /// The whole document on white, of a size in CSS pixels.
    pub(crate) fn finish(self, width: f64, height: f64, title: &str) -> String {
        document(width, height, 1.0, title, &self.body)
    }
}

/// A document on white around elements whose unit is a pixel divided by `scale`.
pub(crate) fn document(width: f64, height: f64, scale: f64, title: &str, body: &str) -> String {
    let (w, h) = (number(width), number(height));
    let (inner_w, inner_h) = (number(width * scale), number(height * scale));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {inner_w} {inner_h}\" \
         font-family=\"{FAMILY}\" stroke-linejoin=\"round\" stroke-linecap=\"round\">\n<title>{}</title>\n\
         <rect width=\"{inner_w}\" height=\"{inner_h}\" fill=\"#ffffff\"/>\n{body}</svg>\n",
        escape(&clean(title))
    )
}
