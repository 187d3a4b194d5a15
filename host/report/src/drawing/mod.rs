//! Cells as graphs, as SVG: nodes from left to right, operations as boxes on the edges.
//!
//! A mixture (several weighted operations on one edge) is one box with a row and a bar for each. The layout is
//! layered (Sugiyama et al., 1981) and the crate's own, because lines must pass around boxes: a node's line to
//! distant targets is one trunk with branches, and has a place of its own in every column it passes.

mod layout;
mod paint;

use crate::text::clean;

/// A cell, as it is drawn.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CellDrawing {
    /// Above the drawing, such as `normal cell`.
    pub name: String,
    /// Their labels, inputs first.
    pub nodes: Vec<String>,
    /// In any order.
    pub edges: Vec<DrawnEdge>,
}

/// An operation from one node to another. Edges between the same two nodes share a box.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DrawnEdge {
    /// Index of the node it reads.
    pub from: usize,
    /// Index of the node it feeds.
    pub to: usize,
    /// Its operation; empty for a plain line.
    pub label: String,
    /// Its share of a mixture, from 0 to 1.
    pub weight: Option<f32>,
}

/// Why a cell cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrawingError {
    /// An edge's end is no node.
    #[error(
        "cell `{cell}`: edge {edge} goes from node {from} to node {to}, but there are {nodes} nodes; \
         count nodes from 0, inputs first"
    )]
    NoSuchNode {
        /// Its name.
        cell: String,
        /// Its index.
        edge: usize,
        /// As given.
        from: usize,
        /// As given.
        to: usize,
        /// How many there are.
        nodes: usize,
    },
    /// The edges form a circle.
    #[error("cell `{cell}`: its edges form a circle through node {node}; a cell is drawn from inputs to outputs")]
    Circle {
        /// Its name.
        cell: String,
        /// On the circle or behind it.
        node: usize,
    },
}

/// Cells below each other on one sheet, as an SVG document. `title` may be empty.
pub fn sheet(title: &str, cells: &[CellDrawing]) -> Result<String, DrawingError> {
    let laid_out = cells.iter().map(|cell| Ok((cell, layout::lay_out(&graph(cell)?))));
    Ok(paint::sheet(title, &laid_out.collect::<Result<Vec<_>, DrawingError>>()?))
}

/// One row of a box.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    label: String,
    weight: Option<f64>,
}

/// What is between two nodes: a box, or without rows a plain line.
#[derive(Clone, Debug, PartialEq)]
struct Bundle {
    from: usize,
    to: usize,
    /// Strongest first.
    rows: Vec<Row>,
}

/// A cell in the layout's terms.
#[derive(Clone, Debug, Default)]
struct Graph {
    /// Labels and levels: longest path from an input.
    nodes: Vec<(String, usize)>,
    bundles: Vec<Bundle>,
}

/// Rows of a box; weaker ones are summed up in the last.
const MOST_ROWS: usize = 8;

fn graph(cell: &CellDrawing) -> Result<Graph, DrawingError> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for (index, edge) in cell.edges.iter().enumerate() {
        let (from, to, nodes) = (edge.from, edge.to, cell.nodes.len());
        if from >= nodes || to >= nodes {
            return Err(DrawingError::NoSuchNode { cell: cell.name.clone(), edge: index, from, to, nodes });
        }
        let label = clean(&edge.label);
        let row = Row { label, weight: edge.weight.map(f64::from) };
        let is_plain = row.label.is_empty() && row.weight.is_none();
        let rows = if is_plain { Vec::new() } else { vec![row] };
        match bundles.iter_mut().find(|b| (b.from, b.to) == (from, to) && b.rows.is_empty() == is_plain) {
            Some(bundle) => bundle.rows.extend(rows),
            None => bundles.push(Bundle { from, to, rows }),
        }
    }
    for bundle in &mut bundles {
        let weight = |row: &Row| row.weight.filter(|weight| weight.is_finite()).unwrap_or(f64::NEG_INFINITY);
        bundle.rows.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        if bundle.rows.len() > MOST_ROWS {
            let rest = bundle.rows.split_off(MOST_ROWS - 1);
            let sum = rest.iter().filter_map(|row| row.weight).reduce(|a, b| a + b);
            bundle.rows.push(Row { label: format!("{} more", rest.len()), weight: sum });
        }
    }
    let levels = levels(cell, &bundles)?;
    Ok(Graph { nodes: cell.nodes.iter().map(|label| clean(label)).zip(levels).collect(), bundles })
}

/// Longest path to each node from a node without incoming edges (Kahn's order).
fn levels(cell: &CellDrawing, bundles: &[Bundle]) -> Result<Vec<usize>, DrawingError> {
    let mut missing: Vec<usize> = vec![0; cell.nodes.len()];
    for bundle in bundles {
        missing.get_mut(bundle.to).into_iter().for_each(|count| *count += 1);
    }
    let mut levels = vec![0; cell.nodes.len()];
    let mut ready: Vec<usize> = (0..missing.len()).filter(|node| missing.get(*node) == Some(&0)).collect();
    let mut placed = vec![false; missing.len()];
    while let Some(node) = ready.pop() {
        placed.get_mut(node).into_iter().for_each(|done| *done = true);
        let level = levels.get(node).copied().unwrap_or(0);
        for bundle in bundles.iter().filter(|bundle| bundle.from == node) {
            if let (Some(below), Some(count)) = (levels.get_mut(bundle.to), missing.get_mut(bundle.to)) {
                *below = (level + 1).max(*below);
                *count -= 1;
                if *count == 0 {
                    ready.push(bundle.to);
                }
            }
        }
    }
    match placed.iter().position(|done| !done) {
        Some(node) => Err(DrawingError::Circle { cell: cell.name.clone(), node }),
        None => Ok(levels),
    }
}

#[cfg(test)]
mod tests;
