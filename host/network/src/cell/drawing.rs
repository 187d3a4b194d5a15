//! Cells for drawings.

use nasd_space::Gene;

use super::file::Combination;
use super::genotype::concatenated;
use super::notation::choice;
use super::wiring::{ON, Term, WiredNode, Wiring};
use crate::outline::{CellOutline, OutlineEdge, OutlineKind, OutlineNode};

/// Every kind of cell, as these genes wire it.
pub(crate) fn outline(wiring: &Wiring, genes: &[Gene]) -> Vec<CellOutline> {
    wiring.named().map(|(_, name, nodes)| cell(wiring, name, nodes, genes)).collect()
}

fn cell(wiring: &Wiring, name: &str, nodes: &[WiredNode], genes: &[Gene]) -> CellOutline {
    let mut labels: Vec<OutlineNode> = (0..wiring.n_inputs)
        .map(|number| OutlineNode { label: wiring.source_name(number), kind: OutlineKind::Input })
        .collect();
    for node in nodes {
        let mut label = wiring.source_name(node.number);
        if let Some(option) = node.combination.and_then(|decision| choice(genes, decision))
            && wiring.combinations.get(option as usize) == Some(&Combination::Concat)
        {
            label.push_str(" (concat)");
        }
        labels.push(OutlineNode { label, kind: OutlineKind::Inner });
    }
    labels.push(OutlineNode { label: "output".to_owned(), kind: OutlineKind::Output });
    let mut edges = Vec::new();
    for node in nodes.iter().filter(|node| !node.switches.is_empty()) {
        choice_block(wiring, node, genes, &mut labels, &mut edges);
    }
    for node in nodes.iter().filter(|node| node.switches.is_empty()) {
        for term in &node.terms {
            for (from, option, weight) in routes(term, genes) {
                let operation = wiring.operations.get(option as usize).cloned().unwrap_or_default();
                // In a mixture its weight is part of the whole.
                if operation != "none" || weight.is_some() {
                    edges.push(OutlineEdge { from: from as usize, to: node.number as usize, operation, weight });
                }
            }
        }
    }
    let output = wiring.n_inputs as usize + nodes.len();
    for from in concatenated(wiring, nodes, genes) {
        edges.push(OutlineEdge { from: from as usize, to: output, operation: String::new(), weight: None });
    }
    CellOutline { name: format!("{name} cell"), nodes: labels, edges }
}

/// A choice block: the inputs that are on come together in a node of their own where there are several, and the
/// operations that are on lead from there to the block's value.
fn choice_block(
    wiring: &Wiring,
    node: &WiredNode,
    genes: &[Gene],
    labels: &mut Vec<OutlineNode>,
    edges: &mut Vec<OutlineEdge>,
) {
    let on = |decision: u32| listed(genes, decision).into_iter().find(|(option, _)| *option == ON);
    let inputs = node.terms.iter().filter_map(|term| match term {
        Term::Source { from, decision } => on(*decision).map(|(_, weight)| (*from as usize, weight)),
        Term::Edge { .. } | Term::Pair { .. } => None,
    });
    let inputs: Vec<(usize, Option<f32>)> = inputs.collect();
    let from = match inputs.as_slice() {
        [(from, None)] => *from,
        _ => {
            let label = format!("inputs of {}", wiring.source_name(node.number));
            labels.push(OutlineNode { label, kind: OutlineKind::Inner });
            let to = labels.len() - 1;
            edges.extend(inputs.into_iter().map(|(from, weight)| OutlineEdge {
                from,
                to,
                operation: String::new(),
                weight,
            }));
            to
        }
    };
    for (name, decision) in wiring.operations.iter().zip(&node.switches) {
        if let Some((_, weight)) = on(*decision) {
            edges.push(OutlineEdge { from, to: node.number as usize, operation: name.clone(), weight });
        }
    }
}

/// Source, operation and weight of all a term adds.
fn routes(term: &Term, genes: &[Gene]) -> Vec<(u32, u32, Option<f32>)> {
    match term {
        Term::Edge { from, decision } => {
            listed(genes, *decision).into_iter().map(|(option, weight)| (*from, option, weight)).collect()
        }
        Term::Pair { input, operation, .. } => {
            let mut routes = Vec::new();
            for (from, outer) in listed(genes, *input) {
                for (option, inner) in listed(genes, *operation) {
                    let weight = match (outer, inner) {
                        (None, None) => None,
                        _ => Some(outer.unwrap_or(1.0) * inner.unwrap_or(1.0)),
                    };
                    routes.push((from, option, weight));
                }
            }
            routes
        }
        Term::Source { .. } => Vec::new(),
    }
}

fn listed(genes: &[Gene], decision: u32) -> Vec<(u32, Option<f32>)> {
    match genes.get(decision as usize) {
        Some(Gene::Choice(option)) => vec![(*option, None)],
        Some(Gene::Mixture(options)) => options.iter().map(|option| (option.index, Some(option.weight))).collect(),
        _ => Vec::new(),
    }
}
