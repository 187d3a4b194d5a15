//! SVG to PNG, with the shipped fonts and nothing of the machine's.
//!
//! The same SVG gives the same picture everywhere: no fonts of the system, no files, no network. Characters
//! the shipped fonts lack stay empty.

use std::sync::Arc;

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use crate::text::{MEDIUM, REGULAR};

/// Pixels of a PNG for each CSS pixel of the SVG.
const SCALE: f64 = 2.0;
/// A PNG has no more pixels than this (64 MB of memory while it is drawn); a larger picture is drawn at a smaller scale.
const MOST_PIXELS: f64 = 16e6;

/// Why an SVG did not become a PNG.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// Not an SVG document.
    #[error("the picture is no valid SVG; make it with nasd-report's plots and drawings")]
    Svg(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Neither width nor height may be zero, or too large for any scale.
    #[error("a picture of {width} x {height} pixels cannot be drawn; make the SVG smaller")]
    Size {
        /// Of the SVG, in CSS pixels.
        width: f32,
        /// Of the SVG, in CSS pixels.
        height: f32,
    },
    /// The encoder failed.
    #[error("the picture cannot be encoded as PNG")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The bytes of a PNG file at twice the SVG's size, on the SVG's own background.
pub fn png(svg: &str) -> Result<Vec<u8>, PngError> {
    let mut fonts = Database::new();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(MEDIUM.to_vec());
    fonts.set_sans_serif_family("Roboto");
    let options = Options { fontdb: Arc::new(fonts), font_family: "Roboto".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| PngError::Svg(error.into()))?;
    let size = tree.size();
    let (width, height) = (f64::from(size.width()), f64::from(size.height()));
    let scale = SCALE.min((MOST_PIXELS / (width * height)).sqrt());
    let pixels = |length: f64| ((length * scale).round() as u32).max(1);
    let mut pixmap = Pixmap::new(pixels(width), pixels(height))
        .ok_or(PngError::Size { width: size.width(), height: size.height() })?;
    resvg::render(&tree, Transform::from_scale(scale as f32, scale as f32), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| PngError::Encode(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\x89PNG\r\n\x1a\n";

    fn size(png: &[u8]) -> (u32, u32) {
        let at = |start: usize| u32::from_be_bytes(png[start..start + 4].try_into().unwrap());
        (at(16), at(20))
    }

    #[test]
    fn a_picture_has_twice_the_pixels_of_its_svg() {
        let svg =
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="9" height="9"/></svg>"#;
        let png = png(svg).unwrap();
        assert_eq!(&png[..8], HEADER);
        assert_eq!(size(&png), (60, 40));
    }

    #[test]
    fn a_huge_picture_is_drawn_smaller() {
        let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="40000" height="10000"/>"#;
        let (width, height) = size(&png(svg).unwrap());
        assert_eq!(width, height * 4);
        assert!(f64::from(width) * f64::from(height) <= MOST_PIXELS * 1.01, "{width} x {height}");
    }

    #[test]
    fn text_is_drawn_with_the_shipped_font() {
        let with = |text: &str| {
            let svg = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="80" height="20"><text x="2" y="15" font-family="Nowhere, sans-serif">{text}</text></svg>"#
            );
            png(&svg).unwrap()
        };
        assert_ne!(with("found"), with(" "));
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        assert!(matches!(png("<svg"), Err(PngError::Svg(_))));
    }
}
