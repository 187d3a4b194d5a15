//! Architectures as text: genotypes, NAS-Bench-201's strings, choice blocks, lists of option indices.
//!
//! Which one is read follows from the first character. Which one is written follows from the space: a genotype
//! where each node keeps so many terms, choice blocks as `|0 1~conv_1x1 skip_connect|+...`, the string where every edge has its operation, the list otherwise.

use nasd_space::Gene;

use super::file::Style;
use super::genotype;
use super::wiring::{ON, Term, WiredNode, Wiring};
use crate::error::NetworkError;
use crate::list;

/// Read an architecture.
pub(crate) fn parse(wiring: &Wiring, per_node: Option<u32>, text: &str) -> Result<Vec<Gene>, NetworkError> {
    let genes = match text.trim().chars().next() {
        Some('{') => genotype::parse(wiring, per_node, text),
        Some('|') if wiring.has_choice_blocks() => parse_choice_blocks(wiring, text),
        Some('|') => parse_edges(wiring, text),
        _ => parse_list(wiring, text),
    };
    genes.map_err(|problem| NetworkError::notation(text, problem))
}

/// Write an architecture. What has no better form (mixtures) is a list.
pub(crate) fn write(wiring: &Wiring, per_node: Option<u32>, style: Style, genes: &[Gene]) -> String {
    let written = match style {
        _ if wiring.has_choice_blocks() => write_choice_blocks(wiring, genes),
        Style::NasBench201 => write_edges(wiring, genes),
        Style::Darts | Style::Enas | Style::EnasSearch | Style::OneShot => genotype::write(wiring, per_node, genes),
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

/// `|0 1~sep_conv_3x3 skip_connect|+|2~avg_pool_3x3|`: the inputs and operations that are on, node after node.
fn parse_choice_blocks(wiring: &Wiring, text: &str) -> Result<Vec<Gene>, String> {
    let mut genes = vec![Gene::Choice(0); wiring.n_decisions as usize];
    for (node, group) in groups(wiring, text)? {
        let inner = inner(group)?;
        let (inputs, operations) =
            inner.split_once('~').ok_or_else(|| format!("`{group}` is not |inputs~operations|"))?;
        let mut turn_on = |decision: u32| {
            if let Some(gene) = genes.get_mut(decision as usize) {
                *gene = Gene::Choice(ON);
            }
        };
        for source in inputs.split_whitespace() {
            let decision = node.terms.iter().find_map(|term| match term {
                Term::Source { from, decision } if source.parse() == Ok(*from) => Some(*decision),
                _ => None,
            });
            turn_on(decision.ok_or_else(|| format!("node {} cannot read `{source}`", node.number))?);
        }
        for name in operations.split_whitespace() {
            let option = operation(wiring, name)?;
            node.switches.get(option as usize).copied().map(&mut turn_on);
        }
    }
    Ok(genes)
}

fn write_choice_blocks(wiring: &Wiring, genes: &[Gene]) -> Option<String> {
    let mut groups = Vec::new();
    for node in wiring.named().flat_map(|(_, _, nodes)| nodes) {
        let mut inputs = Vec::new();
        for term in &node.terms {
            let Term::Source { from, decision } = term else { return None };
            if choice(genes, *decision)? == ON {
                inputs.push(from.to_string());
            }
        }
        let mut operations = Vec::new();
        for (name, decision) in wiring.operations.iter().zip(&node.switches) {
            if choice(genes, *decision)? == ON {
                operations.push(name.as_str());
            }
        }
        groups.push(format!("|{}~{}|", inputs.join(" "), operations.join(" ")));
    }
    Some(groups.join("+"))
}

/// Nodes with what stands for each: `|...|`, joined by `+`.
fn groups<'w, 't>(wiring: &'w Wiring, text: &'t str) -> Result<Vec<(&'w WiredNode, &'t str)>, String> {
    let nodes: Vec<_> = wiring.named().flat_map(|(_, _, nodes)| nodes).collect();
    let groups: Vec<&str> = text.trim().split('+').map(str::trim).collect();
    if groups.len() != nodes.len() {
        return Err(format!("{} nodes joined by `+`, the space has {}", groups.len(), nodes.len()));
    }
    Ok(nodes.into_iter().zip(groups).collect())
}

fn inner(group: &str) -> Result<&str, String> {
    let inner = group.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner.ok_or_else(|| format!("`{group}` must begin and end with `|`"))
}

fn parse_edges(wiring: &Wiring, text: &str) -> Result<Vec<Gene>, String> {
    let mut genes = Vec::with_capacity(wiring.n_decisions as usize);
    for (node, group) in groups(wiring, text)? {
        let edges: Vec<&str> = inner(group)?.split('|').collect();
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
