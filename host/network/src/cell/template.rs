//! One cell as a part of a template.

use super::file::{Combination, Output};
use super::wiring::{Term, WiredNode, Wiring};
use crate::builder::{GraphBuilder, Window};
use crate::error::NetworkError;

use crate::graph::{NodeIdx, Primitive};
use crate::operations::{OperationSettings, Site, conv, operation};

/// Where and how a cell is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellSite<'a> {
    /// Ids begin with it: `cell3`.
    pub path: &'a str,
    /// What it reads, all of one shape.
    pub inputs: &'a [NodeIdx],
    /// Channels of each of its nodes.
    pub channels: u32,
    /// Whether what reads the cell's inputs strides.
    pub reduction: bool,
    pub settings: OperationSettings,
    pub drop_path: bool,
}

/// Put a cell into a graph; gives its output.
pub(crate) fn cell(
    graph: &mut GraphBuilder,
    wiring: &Wiring,
    nodes: &[WiredNode],
    site: &CellSite<'_>,
) -> Result<NodeIdx, NetworkError> {
    let mut values = site.inputs.to_vec();
    for node in nodes {
        let path = format!("{}/node{}", site.path, node.number);
        let mut terms = Vec::with_capacity(node.terms.len());
        for term in &node.terms {
            terms.push(match term {
                Term::Edge { from, decision } => {
                    let edge = format!("{path}/edge{from}");
                    options(graph, wiring, &values, *from, *decision, &edge, site)?
                }
                Term::Pair { pair, input, operation } => {
                    let path = format!("{path}/pair{pair}");
                    let mut sources = Vec::with_capacity(values.len());
                    for from in 0..node.number {
                        let edge = format!("{path}/input{from}");
                        sources.push(options(graph, wiring, &values, from, *operation, &edge, site)?);
                    }
                    graph.node(&path, Primitive::Switch { decision: *input }, &sources)?
                }
                Term::Source { from, decision } => {
                    let path = format!("{path}/input{from}");
                    let at = placed(&values, *from, &path, site)?;
                    let on = format!("{path}/on");
                    let on = conv(graph, &Site { path: &on, ..at }, 1)?;
                    switched(graph, *decision, on, &at)?
                }
            });
        }
        let value = joined(graph, wiring, node, &path, &terms, site)?;
        values.push(acted(graph, wiring, node, &path, value, site)?);
    }
    let made = values.get(site.inputs.len()..).unwrap_or_default();
    let path = format!("{}/output", site.path);
    match (wiring.output, made.last()) {
        (Output::Last, Some(&last)) => Ok(last),
        (Output::LooseEnds, _) => graph.node(path, Primitive::ConcatLooseEnds, made),
        _ => graph.node(path, Primitive::Concat, made),
    }
}

/// A node's value of its terms.
fn joined(
    graph: &mut GraphBuilder,
    wiring: &Wiring,
    node: &WiredNode,
    path: &str,
    terms: &[NodeIdx],
    site: &CellSite<'_>,
) -> Result<NodeIdx, NetworkError> {
    let Some(decision) = node.combination else {
        return match node.switches.is_empty() {
            true => graph.node(path, Primitive::Add, terms),
            false => graph.node(format!("{path}/inputs"), Primitive::Add, terms),
        };
    };
    let mut options = Vec::with_capacity(wiring.combinations.len());
    for combination in &wiring.combinations {
        let path = format!("{path}/{}", combination.name());
        options.push(match combination {
            Combination::Add => graph.node(path, Primitive::Add, terms)?,
            Combination::Concat => {
                let all = graph.node(format!("{path}/all"), Primitive::Concat, terms)?;
                graph.relu_conv_bn(&path, all, site.channels, Window::same(1, 1), site.settings.affine)?
            }
        });
    }
    graph.node(path, Primitive::Switch { decision }, &options)
}

/// All operations on one value, and the switch between them.
fn options(
    graph: &mut GraphBuilder,
    wiring: &Wiring,
    values: &[NodeIdx],
    from: u32,
    decision: u32,
    path: &str,
    site: &CellSite<'_>,
) -> Result<NodeIdx, NetworkError> {
    let at = placed(values, from, path, site)?;
    let mut branches = Vec::with_capacity(wiring.operations.len());
    for name in &wiring.operations {
        let path = format!("{path}/{name}");
        branches.push(dropped(graph, name, &Site { path: &path, ..at }, site)?);
    }
    graph.node(path, Primitive::Switch { decision }, &branches)
}

/// Where what reads node `from` of a cell is put.
fn placed<'p>(values: &[NodeIdx], from: u32, path: &'p str, site: &CellSite<'_>) -> Result<Site<'p>, NetworkError> {
    let missing = || NetworkError::node(path, format!("reads node {from} of its cell, which is not before it"));
    let input = *values.get(from as usize).ok_or_else(missing)?;
    let stride = if site.reduction && (from as usize) < site.inputs.len() { 2 } else { 1 };
    Ok(Site { path, input, channels: site.channels, stride, settings: site.settings })
}

/// An operation whose paths are dropped in training where the stack wants it; nothing drops an identity.
fn dropped(graph: &mut GraphBuilder, name: &str, at: &Site<'_>, site: &CellSite<'_>) -> Result<NodeIdx, NetworkError> {
    let value = operation(graph, name, at)?;
    let is_identity = match graph.primitive(value) {
        Some(Primitive::Identity | Primitive::Zero { .. }) => true,
        _ => name == "skip_connect" && site.settings.bare_identity,
    };
    if site.drop_path && !is_identity {
        return graph.node(format!("{}/drop_path", at.path), Primitive::DropPath, &[value]);
    }
    Ok(value)
}

/// A value of a choice block, or zeros in its place: `<path>/off`, and the switch `<path>`.
fn switched(graph: &mut GraphBuilder, decision: u32, on: NodeIdx, at: &Site<'_>) -> Result<NodeIdx, NetworkError> {
    let zero = Primitive::Zero { out_channels: at.channels, stride: at.stride };
    let off = graph.node(format!("{}/off", at.path), zero, &[at.input])?;
    graph.node(at.path, Primitive::Switch { decision }, &[off, on])
}

/// What a choice block's operations make of its value, added up; any other node's value as it is.
fn acted(
    graph: &mut GraphBuilder,
    wiring: &Wiring,
    node: &WiredNode,
    path: &str,
    input: NodeIdx,
    site: &CellSite<'_>,
) -> Result<NodeIdx, NetworkError> {
    if node.switches.is_empty() {
        return Ok(input);
    }
    let mut terms = Vec::with_capacity(node.switches.len());
    for (name, decision) in wiring.operations.iter().zip(&node.switches) {
        let path = format!("{path}/{name}");
        let at = Site { path: &path, input, channels: site.channels, stride: 1, settings: site.settings };
        let on = dropped(graph, name, &Site { path: &format!("{path}/on"), ..at }, site)?;
        terms.push(switched(graph, *decision, on, &at)?);
    }
    graph.node(path, Primitive::Add, &terms)
}
