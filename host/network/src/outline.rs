//! Cells as people draw them: nodes and named operations, no primitives.

/// A node of a drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineNode {
    /// What is written in it.
    pub label: String,
    /// What it is.
    pub kind: OutlineKind,
}

/// What a node of a drawing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutlineKind {
    /// What the cell reads.
    Input,
    /// Made in the cell.
    Inner,
    /// What the cell gives.
    Output,
}

/// An operation between two nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlineEdge {
    /// Index into [`CellOutline::nodes`].
    pub from: usize,
    /// Index into [`CellOutline::nodes`].
    pub to: usize,
    /// Its name; empty where a value is passed on as it is.
    pub operation: String,
    /// Its weight, if it is one of a mixture.
    pub weight: Option<f32>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellOutline {
    /// For example `normal cell`.
    pub name: String,
    /// Inputs first.
    pub nodes: Vec<OutlineNode>,
    /// Operations that do something, and `none` where it is one of a mixture.
    pub edges: Vec<OutlineEdge>,
}
