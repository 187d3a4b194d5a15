//! Whatever the numbers and names are, a picture is a valid document and drawing it does not fail.

#![allow(clippy::panic)]

use std::sync::OnceLock;

use nasd_report::{
    Goal,
    drawing::{CellDrawing, DrawingError, DrawnEdge, sheet},
    plot::{Axis, Curve, LearningCurves, LinePlot, Scatter, ScatterPoint, Series},
    png,
    table::{Table, short, significant},
};
use proptest::{collection::vec, prelude::*};
use resvg::usvg::{self, roxmltree};

/// Numbers with all that goes wrong in runs: none, equal, tiny differences, huge ones.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..1.0,
        2 => prop::num::f64::ANY,
        1 => Just(f64::NAN),
        1 => Just(0.5),
        1 => prop::sample::select(vec![1.0, 1.0 + f64::EPSILON, 1e308, -1e308, 1e-308, f64::INFINITY, 0.0, -0.0]),
    ]
}

/// Names with markup, control characters, other scripts, and none at all.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_0-9]{0,12}",
        "\\PC{0,40}",
        any::<Vec<char>>().prop_map(|characters| characters.into_iter().collect()),
        Just("<svg>&'\"]]>".to_owned()),
        Just("wide_".repeat(300)),
        Just("c_{k-1}".to_owned()),
    ]
}

fn points() -> impl Strategy<Value = Vec<(f64, f64)>> {
    vec((number(), number()), 0..20)
}

fn axis() -> impl Strategy<Value = Axis> {
    (name(), any::<[bool; 4]>()).prop_map(|(label, [unit, percent, whole, log])| {
        let axis = Axis::new(label);
        let axis = if unit { axis.unit("epochs") } else { axis };
        let axis = if percent { axis.percent() } else { axis };
        let axis = if whole { axis.whole() } else { axis };
        if log { axis.log() } else { axis }
    })
}

/// Valid XML, no coordinate that is not a number, readable as SVG, and nothing beyond the page: no text is cut.
fn check(svg: &str) {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}:\n{svg}"));
    for node in document.descendants() {
        for attribute in node.attributes() {
            let broken = ["NaN", "inf"].iter().any(|word| attribute.value().contains(word));
            assert!(!broken, "{}={}", attribute.name(), attribute.value());
        }
    }
    let tree = usvg::Tree::from_str(svg, options()).unwrap_or_else(|error| panic!("{error}:\n{svg}"));
    let page = tree.size();
    let check_box = |drawn: usvg::Rect| {
        let inside = drawn.left() > -1.0 && drawn.top() > -1.0;
        let inside = inside && drawn.right() < page.width() + 1.0 && drawn.bottom() < page.height() + 1.0;
        assert!(inside, "{drawn:?} is larger than {page:?}:\n{svg}");
    };
    each_box(tree.root(), &check_box);
}

/// Boxes of all that is drawn; a text of nothing but characters the fonts lack is not.
fn each_box(group: &usvg::Group, check: &impl Fn(usvg::Rect)) {
    for node in group.children() {
        match node {
            usvg::Node::Group(group) => each_box(group, check),
            usvg::Node::Text(text) if text.flattened().children().is_empty() => {}
            drawn => check(drawn.abs_stroke_bounding_box()),
        }
    }
}

/// With the shipped fonts.
fn options() -> &'static usvg::Options<'static> {
    static OPTIONS: OnceLock<usvg::Options<'static>> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let mut options = usvg::Options { font_family: "Roboto".to_owned(), ..usvg::Options::default() };
        let fonts = options.fontdb_mut();
        fonts.load_font_data(include_bytes!("../assets/Roboto-Regular.ttf").to_vec());
        fonts.load_font_data(include_bytes!("../assets/Roboto-Medium.ttf").to_vec());
        options
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_lines_can_be_drawn(
        (title, x, y) in (name(), axis(), axis()),
        series in vec((name(), points(), vec((number(), number(), number()), 0..8), points(), any::<bool>()), 0..12),
    ) {
        let series = series.into_iter();
        let series = series.map(|(name, points, band, marks, steps)| Series { name, points, band, marks, steps });
        check(&LinePlot { title, x, y, series: series.collect() }.svg().unwrap());
    }

    #[test]
    fn any_curves_can_be_drawn(
        (title, x, y) in (name(), axis(), axis()),
        curves in vec((name(), points(), any::<bool>()), 0..30),
        best in prop::option::of(0usize..40),
    ) {
        let curves = curves.into_iter().map(|(name, points, stopped)| Curve { name, points, stopped }).collect();
        check(&LearningCurves { title, x, y, curves, best }.svg().unwrap());
    }

    #[test]
    fn any_scatter_can_be_drawn_and_nothing_beats_its_front(
        (title, x, y) in (name(), axis(), axis()),
        goals in any::<[bool; 2]>(),
        points in vec((number(), number(), name(), 0usize..20), 0..30),
    ) {
        let goal = |maximize| if maximize { Goal::Maximize } else { Goal::Minimize };
        let points = points.into_iter().map(|(x, y, label, group)| ScatterPoint { x, y, label, group }).collect();
        let groups = vec!["ours".to_owned(), "published".to_owned()];
        let scatter = Scatter { title, x: (x, goal(goals[0])), y: (y, goal(goals[1])), groups, points, has_front: true };
        check(&scatter.svg().unwrap());
        for one in scatter.front() {
            for other in scatter.front() {
                let (one, other) = (&scatter.points[one], &scatter.points[other]);
                let beats = scatter.x.1.better(other.x, one.x) && scatter.y.1.better(other.y, one.y);
                prop_assert!(!beats, "{other:?} beats {one:?}");
            }
        }
    }

    #[test]
    fn the_front_is_what_comparing_every_pair_finds(
        goals in any::<[bool; 2]>(),
        points in vec((0u8..6, 0u8..6), 0..25),
    ) {
        let goal = |maximize| if maximize { Goal::Maximize } else { Goal::Minimize };
        let (x, y) = ((Axis::new("x"), goal(goals[0])), (Axis::new("y"), goal(goals[1])));
        let at = |(x, y): &(u8, u8)| (f64::from(*x), f64::from(*y));
        let beats = |one: &(u8, u8), other: &(u8, u8)| {
            let ((a, b), (c, d)) = (at(one), at(other));
            let worse = x.1.better(c, a) || y.1.better(d, b);
            !worse && one != other
        };
        let mut expected: Vec<_> = points.iter().filter(|one| !points.iter().any(|other| beats(other, one))).collect();
        expected.sort();
        expected.dedup();
        let drawn = points.iter().map(|point| ScatterPoint { x: at(point).0, y: at(point).1, ..ScatterPoint::default() });
        let drawn = drawn.collect();
        let scatter = Scatter { title: String::new(), x: x.clone(), y: y.clone(), groups: vec![], points: drawn, has_front: true };
        let front: Vec<_> = scatter.front().into_iter().map(|index| &points[index]).collect();
        prop_assert_eq!(front, expected, "from the left");
    }

    #[test]
    fn any_cell_is_drawn_or_refused_by_name(
        names in vec(name(), 0..9),
        edges in vec((0usize..10, 0usize..10, name(), prop::option::of(any::<f32>())), 0..30),
    ) {
        let edges = edges.into_iter().map(|(from, to, label, weight)| DrawnEdge { from, to, label, weight });
        let cell = CellDrawing { name: "a cell".into(), nodes: names, edges: edges.collect() };
        match sheet("", &[cell.clone(), CellDrawing::default()]) {
            Ok(svg) => check(&svg),
            Err(DrawingError::NoSuchNode { edge, .. }) => {
                prop_assert!(cell.edges[edge].from.max(cell.edges[edge].to) >= cell.nodes.len());
            }
            Err(DrawingError::Circle { node, .. }) => prop_assert!(node < cell.nodes.len()),
        }
    }

    #[test]
    fn cells_from_inputs_to_outputs_are_always_drawn(
        names in vec(name(), 2..9),
        edges in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), name(), prop::option::of(0f32..1.0)), 0..30),
    ) {
        let edges = edges.into_iter().map(|(from, to, label, weight)| {
            let to = 1 + to.index(names.len() - 1);
            DrawnEdge { from: from.index(to), to, label, weight }
        });
        let edges = edges.collect();
        let svg = sheet("a sheet", &[CellDrawing { name: "cell".into(), nodes: names, edges }]).unwrap();
        check(&svg);
    }

    #[test]
    fn any_table_is_aligned(rows in vec(vec(name(), 0..4), 0..6), width in 0usize..200) {
        let mut table = Table::new().text("a").number("b").code("c");
        rows.into_iter().for_each(|row| table.row(row));
        let _ = table.terminal(width);
        let bars = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        prop_assert!(table.markdown().lines().all(|line| bars(line) == 4), "{}", table.markdown());
    }

    #[test]
    fn any_number_is_short(value in number(), digits in 0usize..8) {
        prop_assert!(short(value).chars().count() <= 10, "{}", short(value));
        let _ = significant(value, digits);
    }
}

#[test]
fn what_a_plot_says_stands_in_it() {
    let series = Series { name: "random".into(), points: vec![(1.0, 0.5), (2.0, 0.75)], ..Series::default() };
    let x = Axis::new("jobs").whole();
    let y = Axis::new("accuracy").percent();
    let svg = LinePlot { title: "A & B".into(), x, y, series: vec![series] }.svg().unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let texts: Vec<_> =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|n| n.text()).collect();
    let texts: Vec<_> = texts.iter().map(|text| text.trim()).collect();
    for expected in ["A & B", "random", "jobs", "accuracy (%)", "1", "2", "50", "75"] {
        assert!(texts.contains(&expected), "{expected} is missing in {texts:?}");
    }
    let lines = document.descendants().filter(|node| node.has_tag_name("polyline")).count();
    assert_eq!(lines, 3, "the axes, the legend's line and the series");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let plot = || {
        let points = (0..50).map(|index| (f64::from(index), f64::from(index).sin())).collect();
        let curve = Curve { name: "job 1".into(), points, stopped: false };
        let (x, y) = (Axis::new("training").unit("epochs"), Axis::new("loss"));
        LearningCurves { title: String::new(), x, y, curves: vec![curve], best: Some(0) }.svg().unwrap()
    };
    assert_eq!(plot(), plot());
    assert_eq!(png(&plot()).unwrap(), png(&plot()).unwrap());
}
