//! Text in pictures: what may be written, how wide it is, and how it is cut.
//!
//! Widths come from the fonts the crate ships, so that layout does not depend on the machine and needs no
//! font system. A viewer without these fonts shows its own sans-serif font; boxes leave room for that.

use skrifa::{
    FontRef, MetadataProvider,
    instance::{LocationRef, Size},
};

/// The shipped font, normal weight. Licence in `assets/Roboto-LICENSE.txt`.
pub(crate) const REGULAR: &[u8] = include_bytes!("../assets/Roboto-Regular.ttf");
/// The shipped font, medium weight, for titles.
pub(crate) const MEDIUM: &[u8] = include_bytes!("../assets/Roboto-Medium.ttf");
/// Fonts a viewer may take, best first.
pub(crate) const FAMILY: &str = "Roboto, 'Helvetica Neue', Arial, sans-serif";

/// How heavy a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Everything that is read closely.
    Regular,
    /// Titles and names.
    Medium,
}

/// Width of a line, in the unit of `size`. A character the font lacks counts as wide as the font is high.
pub(crate) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let guess = || text.chars().count() as f64 * size * 0.6;
    let bytes = if weight == Weight::Medium { MEDIUM } else { REGULAR };
    let Ok(font) = FontRef::new(bytes) else { return guess() };
    let metrics = font.glyph_metrics(Size::new(size as f32), LocationRef::default());
    let charmap = font.charmap();
    let advance = |character| charmap.map(character).and_then(|glyph| metrics.advance_width(glyph)).map(f64::from);
    text.chars().map(|character| advance(character).unwrap_or(size)).sum()
}

/// Size of a subscript's characters beside the others'.
pub(crate) const SUBSCRIPT: f64 = 0.76;

/// `c_{k-1}` as its base and subscript; other texts have none.
pub(crate) fn subscript(text: &str) -> (&str, &str) {
    let parts = text.split_once("_{").and_then(|(base, rest)| Some((base, rest.strip_suffix('}')?)));
    parts.filter(|(base, low)| !base.is_empty() && !low.contains(['{', '}'])).unwrap_or((text, ""))
}

/// Width of a line with a subscript, as it is drawn.
pub(crate) fn subscript_width(text: &str, size: f64, weight: Weight) -> f64 {
    let (base, low) = subscript(text);
    width(base, size, weight) + width(low, size * SUBSCRIPT, weight)
}

/// The text on one line, with only characters that XML allows and none that turns its direction; runs of white
/// space become one space.
pub(crate) fn clean(text: &str) -> String {
    let turning =
        |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let visible = |c: char| !c.is_control() && !turning(c) && !matches!(c, '\u{fffe}' | '\u{ffff}');
    let spaced: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| visible(*c)).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text cleaned and, where it is wider than `room`, cut in the middle: both ends of a name tell it apart.
pub(crate) fn fit(text: &str, size: f64, weight: Weight, room: f64) -> String {
    /// No label has more characters than this, whatever the room: measuring stays cheap.
    const MOST: usize = 400;
    let text = clean(text);
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= MOST && width(&text, size, weight) <= room {
        return text;
    }
    let cut = |kept: usize| {
        let head = kept.div_ceil(2);
        let start: String = characters.iter().take(head).collect();
        let end: String = characters.iter().skip(characters.len() - (kept - head)).collect();
        format!("{}…{}", start.trim_end(), end.trim_start())
    };
    let (mut fits, mut wide) = (0, characters.len().min(MOST));
    while fits + 1 < wide {
        let middle = usize::midpoint(fits, wide);
        if width(&cut(middle), size, weight) <= room { fits = middle } else { wide = middle }
    }
    cut(fits)
}

/// With the five characters of XML's own escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_come_from_the_font() {
        let (narrow, wide) = (width("iii", 10.0, Weight::Regular), width("WWW", 10.0, Weight::Regular));
        assert!(narrow > 5.0 && narrow * 2.5 < wide && wide < 30.0, "{narrow} {wide}");
        assert!(width("sep", 10.0, Weight::Medium) > width("sep", 10.0, Weight::Regular));
    }

    #[test]
    fn long_names_keep_both_ends_and_fit() {
        let name = "regularized-evolution-on-the-nas-bench-201-space-seed-17";
        let cut = fit(name, 12.0, Weight::Regular, 120.0);
        assert!(cut.starts_with("regular") && cut.ends_with("17") && cut.contains('…'), "{cut}");
        assert!(width(&cut, 12.0, Weight::Regular) <= 120.0);
        assert_eq!(fit("short", 12.0, Weight::Regular, 120.0), "short");
    }

    #[test]
    fn subscripts_are_written_as_in_the_papers() {
        assert_eq!(subscript("c_{k-1}"), ("c", "k-1"));
        for plain in ["sep_conv_3x3", "c_{k", "_{k}", "a_{b_{c}}"] {
            assert_eq!(subscript(plain), (plain, ""));
        }
    }

    #[test]
    fn characters_that_xml_forbids_are_left_out() {
        assert_eq!(clean("a\u{0}\u{202e}b\u{b}\tc\n d\u{ffff}"), "ab c d");
        assert_eq!(escape("<a & 'b'>"), "&lt;a &amp; &apos;b&apos;&gt;");
    }
}
