//! The usual genotype: `{"normal": [["sep_conv_3x3", 0], ...], "normal_concat": [2, 3, 4, 5], "reduce": ...}`, so many
//! `[operation, input]` pairs a node, in the order of nodes.

use nasd_space::Gene;
use serde_json::{Map, Value};

use super::file::{Combination, Output};
use super::notation::{choice, operation};
use super::wiring::{Term, WiredNode, Wiring};

/// Read a genotype.
pub(crate) fn parse(wiring: &Wiring, per_node: Option<u32>, text: &str) -> Result<Vec<Gene>, String> {
    let document: Map<String, Value> = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let known = |key: &str| wiring.kinds.iter().any(|kind| key == *kind || key.strip_suffix("_concat") == Some(kind));
    if let Some(key) = document.keys().find(|key| !known(key)) {
        return Err(format!("unknown key `{key}`; cells are {}", wiring.kinds.join(", ")));
    }
    let mut genes = vec![Gene::Inactive; wiring.n_decisions as usize];
    for (_, kind, nodes) in wiring.named() {
        let pairs = document.get(kind).ok_or_else(|| format!("`{kind}` is missing"))?;
        let pairs: Vec<(String, u32)> = serde_json::from_value(pairs.clone())
            .map_err(|_| format!("`{kind}` must be a list of [\"operation\", input] pairs"))?;
        let counts: Vec<usize> =
            nodes.iter().map(|node| per_node.map_or(node.terms.len(), |count| count as usize)).collect();
        let expected: usize = counts.iter().sum();
        if pairs.len() != expected {
            return Err(format!("`{kind}` has {} pairs, {} nodes take {expected}", pairs.len(), nodes.len()));
        }
        let mut rest = pairs.as_slice();
        for (node, count) in nodes.iter().zip(counts) {
            let (own, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = later;
            read_node(wiring, kind, node, own, &mut genes)?;
        }
        if let Some(given) = document.get(&format!("{kind}_concat")) {
            let expected = concatenated(wiring, nodes, &genes);
            let given: Option<Vec<u32>> = serde_json::from_value(given.clone()).ok();
            if given.as_ref() != Some(&expected) {
                return Err(format!("`{kind}_concat` must be {expected:?} in this space"));
            }
        }
    }
    Ok(genes)
}

fn read_node(
    wiring: &Wiring,
    kind: &str,
    node: &WiredNode,
    pairs: &[(String, u32)],
    genes: &mut [Gene],
) -> Result<(), String> {
    let mut set = |decision: u32, option: u32| {
        if let Some(gene) = genes.get_mut(decision as usize) {
            *gene = Gene::Choice(option);
        }
    };
    let number = node.number;
    if let Some((name, from)) = pairs.iter().find(|(_, from)| *from >= number) {
        return Err(format!(
            "`{kind}`: [{name:?}, {from}] goes into node {number}, which can read 0 to {}",
            number - 1
        ));
    }
    if let Some(decision) = node.combination {
        let add = (0..).zip(&wiring.combinations).find(|(_, combination)| **combination == Combination::Add);
        let (option, _) = add.ok_or("a genotype adds its pairs, this space only concatenates them")?;
        set(decision, option);
    }
    let mut ordered = pairs.iter();
    for term in &node.terms {
        match term {
            Term::Pair { input, operation: decision, .. } => {
                let (name, from) = ordered.next().ok_or_else(|| format!("`{kind}`: node {number} lacks a pair"))?;
                set(*input, *from);
                set(*decision, operation(wiring, name)?);
            }
            Term::Source { .. } => return Err("this space's nodes have no pairs; write `|0 1~operation|+...`".into()),
            Term::Edge { from, decision } => {
                let mut here = pairs.iter().filter(|(_, source)| source == from);
                let name = here.next().map_or("none", |(name, _)| name.as_str());
                if here.next().is_some() {
                    return Err(format!("`{kind}`: node {number} reads {from} twice, an edge has one operation"));
                }
                set(*decision, operation(wiring, name)?);
            }
        }
    }
    Ok(())
}

/// Write a genotype; `None` if the genes are no stand-alone architecture of such a space.
pub(crate) fn write(wiring: &Wiring, per_node: Option<u32>, genes: &[Gene]) -> Option<String> {
    let mut parts = Vec::new();
    for (_, kind, nodes) in wiring.named() {
        let mut pairs = Vec::new();
        for node in nodes {
            let first = pairs.len();
            if let Some(decision) = node.combination {
                let option = choice(genes, decision)? as usize;
                wiring.combinations.get(option).filter(|combination| **combination == Combination::Add)?;
            }
            for term in &node.terms {
                let (from, option) = match term {
                    Term::Edge { from, decision } => (*from, choice(genes, *decision)?),
                    Term::Pair { input, operation, .. } => (choice(genes, *input)?, choice(genes, *operation)?),
                    Term::Source { .. } => return None,
                };
                let name = wiring.operations.get(option as usize)?;
                if name != "none" || matches!(term, Term::Pair { .. }) {
                    pairs.push(format!("[\"{name}\", {from}]"));
                }
            }
            let expected = per_node.map_or(node.terms.len(), |count| count as usize);
            if pairs.len() - first != expected {
                return None;
            }
        }
        parts.push(format!("\"{kind}\": [{}]", pairs.join(", ")));
        parts.push(format!("\"{kind}_concat\": {:?}", concatenated(wiring, nodes, genes)));
    }
    Some(format!("{{{}}}", parts.join(", ")))
}

/// Numbers of the nodes that a cell's output is made of.
pub(crate) fn concatenated(wiring: &Wiring, nodes: &[WiredNode], genes: &[Gene]) -> Vec<u32> {
    let all = nodes.iter().map(|node| node.number);
    match wiring.output {
        Output::All => all.collect(),
        Output::Last => all.rev().take(1).collect(),
        Output::LooseEnds => {
            let read: Vec<u32> = nodes
                .iter()
                .flat_map(|node| &node.terms)
                .flat_map(|term| match term {
                    Term::Pair { input, .. } => sources(genes, *input),
                    Term::Edge { from, .. } | Term::Source { from, .. } => vec![*from],
                })
                .collect();
            all.filter(|number| !read.contains(number)).collect()
        }
    }
}

/// Options that a gene lists.
fn sources(genes: &[Gene], decision: u32) -> Vec<u32> {
    match genes.get(decision as usize) {
        Some(Gene::Choice(option)) => vec![*option],
        Some(Gene::Mixture(options)) => options.iter().map(|option| option.index).collect(),
        _ => Vec::new(),
    }
}
