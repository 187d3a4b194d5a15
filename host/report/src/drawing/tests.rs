//! Cells as drawn: structure, rows of a box, weights, what is refused.

use super::*;

fn edge(from: usize, to: usize, label: &str, weight: Option<f32>) -> DrawnEdge {
    DrawnEdge { from, to, label: label.into(), weight }
}

fn cell(nodes: usize, edges: Vec<DrawnEdge>) -> CellDrawing {
    CellDrawing { name: "cell".into(), nodes: (0..nodes).map(|n| n.to_string()).collect(), edges }
}

/// A cell of DARTS's form with two operations a node.
fn darts() -> CellDrawing {
    let mut edges = Vec::new();
    for node in 2..6 {
        edges.extend([edge(0, node, "sep_conv_3x3", None), edge(node - 1, node, "skip_connect", None)]);
        edges.push(edge(node, 6, "", None));
    }
    cell(7, edges)
}

fn boxes(layout: &layout::Layout) -> Vec<[f64; 4]> {
    let solid = layout.items.iter().filter(|item| item.what != layout::What::Pass);
    solid.map(|i| [i.x, i.y - i.height / 2.0, i.x + i.width, i.y + i.height / 2.0]).collect()
}

#[test]
fn no_two_boxes_overlap_and_no_line_passes_through_one() {
    let layout = layout::lay_out(&graph(&darts()).unwrap());
    let boxes = boxes(&layout);
    for (index, a) in boxes.iter().enumerate() {
        for b in &boxes[index + 1..] {
            assert!(a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1], "{a:?} {b:?}");
        }
        for pass in layout.items.iter().filter(|item| item.what == layout::What::Pass) {
            let beside = pass.x + pass.width <= a[0] || a[2] <= pass.x;
            assert!(beside || pass.y < a[1] || a[3] < pass.y, "{a:?} {pass:?}");
        }
    }
}

#[test]
fn nodes_stand_right_of_all_they_read() {
    let layout = layout::lay_out(&graph(&darts()).unwrap());
    for segment in &layout.segments {
        let (from, to) = (&layout.items[segment.from], &layout.items[segment.to]);
        assert!(from.x + from.width <= to.x + 1e-9 && from.column + 1 == to.column);
    }
}

#[test]
fn operations_between_the_same_nodes_share_a_box_strongest_first() {
    let edges =
        vec![edge(0, 1, "none", Some(0.1)), edge(0, 1, "max_pool_3x3", Some(0.6)), edge(0, 1, "conv", Some(0.3))];
    let svg = sheet("", &[cell(2, edges)]).unwrap();
    assert_eq!(svg.matches("class=\"operations\"").count(), 1);
    let at = |text: &str| svg.find(text).unwrap_or_else(|| panic!("{text} is missing in {svg}"));
    assert!(at(">60 %<") < at(">30 %<") && at(">30 %<") < at(">10 %<"));
}

#[test]
fn weak_operations_beyond_eight_are_summed_up() {
    let edges = (0..11).map(|index| edge(0, 1, &format!("op{index}"), Some(1.0 / 11.0))).collect();
    let graph = graph(&cell(2, edges)).unwrap();
    let rows = &graph.bundles[0].rows;
    assert_eq!(rows.len(), MOST_ROWS);
    assert_eq!(rows.last().map(|row| row.label.as_str()), Some("4 more"));
}

#[test]
fn edges_that_no_cell_can_have_are_named() {
    let error = sheet("", &[cell(2, vec![edge(0, 5, "conv", None)])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cell `cell`: edge 0 goes from node 0 to node 5, but there are 2 nodes; count nodes from 0, inputs first"
    );
    let error = sheet("", &[cell(3, vec![edge(1, 2, "a", None), edge(2, 1, "b", None)])]).unwrap_err();
    assert_eq!(error, DrawingError::Circle { cell: "cell".into(), node: 1 });
}
