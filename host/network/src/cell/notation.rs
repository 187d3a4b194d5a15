//! Architectures as text: genotypes, NAS-Bench-201's strings, lists of option indices.
//!
//! Which one is read follows from the first character. Which one is written follows from the space: a genotype
//! where each node keeps so many terms, the string where every edge has its operation, the list otherwise.

use nasd_space::Gene;

use super::file::Style;
use super::genotype;
use super::wiring::{Term, Wiring};
use crate::error::NetworkError;
use crate::list;

/// Read an architecture.
pub(crate) fn parse(wiring: &Wiring, per_node: Option<u32>, text: &str) -> Result<Vec<Gene>, NetworkError> {
    let genes = match text.trim().chars().next() {
        Some('{') => genotype::parse(wiring, per_node, text),
        Some('|') => parse_edges(wiring, text),
        _ => parse_list(wiring, text),
    };
    genes.map_err(|problem| NetworkError::notation(text, problem))
}

/// Write an architecture. What has no better form (mixtures) is a list.
pub(crate) fn write(wiring: &Wiring, per_node: Option<u32>, style: Style, genes: &[Gene]) -> String {
    let written = match style {
        Style::NasBench201 => write_edges(wiring, genes),
        Style::Darts => genotype::write(wiring, per_node, genes),
    };
    written.unwrap_or_else(|| list::write(genes))
}

/// Option of a decision, if it is a choice.
pub(crate) fn choice(genes: &[Gene], decision: u32) -> Option<u32> {
    match genes.get(decision as usize) {
        Some(Gene::Choice(option)) => Some(*option),
        _ => None,
    }
}

/// Index of an operation's name.
pub(crate) fn operation(wiring: &Wiring, name: &str) -> Result<u32, String> {
    let found = (0..).zip(&wiring.operations).find(|(_, known)| *known == name);
    found
        .map(|(option, _)| option)
        .ok_or_else(|| format!("the space has no operation `{name}`; it has {}", wiring.operations.join(", ")))
}

fn parse_list(wiring: &Wiring, text: &str) -> Result<Vec<Gene>, String> {
    let forms = "write a genotype's JSON, `|op~0|+|op~0|op~1|`, option indices with commas or `decision=option, ...`";
    list::parse(wiring.n_decisions as usize, text, forms)
}

fn parse_edges(wiring: &Wiring, text: &str) -> Result<Vec<Gene>, String> {
    let nodes: Vec<_> = wiring.named().flat_map(|(_, _, nodes)| nodes).collect();
    let groups: Vec<&str> = text.trim().split('+').map(str::trim).collect();
    if groups.len() != nodes.len() {
        return Err(format!("{} nodes joined by `+`, the space has {}", groups.len(), nodes.len()));
    }
    let mut genes = Vec::with_capacity(wiring.n_decisions as usize);
    for (node, group) in nodes.iter().zip(groups) {
        let inner = group.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
        let inner = inner.ok_or_else(|| format!("`{group}` must begin and end with `|`"))?;
        let edges: Vec<&str> = inner.split('|').collect();
        if edges.len() != node.terms.len() {
            return Err(format!("`{group}` has {} edges, node {} has {}", edges.len(), node.number, node.terms.len()));
        }
        for (term, edge) in node.terms.iter().zip(edges) {
            let Term::Edge { from, .. } = term else {
                return Err("this space decides on inputs; write a genotype's JSON or option indices".into());
            };
            let (name, source) = edge.split_once('~').ok_or_else(|| format!("`{edge}` is not operation~node"))?;
            if source.parse() != Ok(*from) {
                return Err(format!("`{edge}` must come from node {from}: `{name}~{from}`"));
            }
            genes.push(Gene::Choice(operation(wiring, name)?));
        }
    }
    Ok(genes)
}

fn write_edges(wiring: &Wiring, genes: &[Gene]) -> Option<String> {
    let mut groups = Vec::new();
    for node in wiring.named().flat_map(|(_, _, nodes)| nodes) {
        let mut group = String::from("|");
        for term in &node.terms {
            let Term::Edge { from, decision } = term else { return None };
            let name = wiring.operations.get(choice(genes, *decision)? as usize)?;
            group.push_str(&format!("{name}~{from}|"));
        }
        groups.push(group);
    }
    Some(groups.join("+"))
}
