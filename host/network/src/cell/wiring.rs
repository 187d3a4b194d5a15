//! A cell's choices: which decisions there are, and where in the cell each sits.

use nasd_space::{CountRule, Decision, Domain, Place, Role, SearchSpace};

use super::file::{CellFile, Combination, Encoding, Output};

/// The option of a choice block's decision that computes something; 0 is the other one.
pub(crate) const ON: u32 = 1;

/// What a choice block decides on each input and operation.
fn off_or_on() -> Domain {
    Domain::Choice(vec!["off".to_owned(), "on".to_owned()])
}

/// What a node adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// From a fixed earlier node; the decision picks the operation.
    Edge { from: u32, decision: u32 },
    /// From a node and by an operation, both decided.
    Pair { pair: u32, input: u32, operation: u32 },
    /// A fixed earlier node; the decision is whether it is read.
    Source { from: u32, decision: u32 },
}

/// A node with its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WiredNode {
    /// Number within the cell; inputs come first.
    pub number: u32,
    pub terms: Vec<Term>,
    /// The decision how terms are joined; without one they are added.
    pub combination: Option<u32>,
    /// Of a choice block, the decision on each of the space's operations, whether it acts on the sum of the terms.
    pub switches: Vec<u32>,
}

/// All cells searched.
#[derive(Clone, Debug)]
pub(crate) struct Wiring {
    pub n_inputs: u32,
    pub operations: Vec<String>,
    pub combinations: Vec<Combination>,
    pub output: Output,
    pub kinds: &'static [&'static str],
    /// A list of nodes a kind of cell.
    pub cells: Vec<Vec<WiredNode>>,
    pub n_decisions: u32,
}

impl Wiring {
    pub fn new(file: &CellFile) -> Self {
        let n_inputs = file.n_inputs();
        let mut next = 0..;
        let mut fresh = || next.next().unwrap_or(u32::MAX);
        let mut cells = Vec::new();
        for _ in file.kinds() {
            let mut nodes = Vec::new();
            for number in n_inputs..n_inputs + file.cell.nodes {
                let terms = match file.cell.encoding {
                    Encoding::Edges => (0..number).map(|from| Term::Edge { from, decision: fresh() }).collect(),
                    Encoding::ChosenInputs => (0..file.cell.pairs.unwrap_or(1))
                        .map(|pair| Term::Pair { pair, input: fresh(), operation: fresh() })
                        .collect(),
                    Encoding::ChoiceBlocks => {
                        (0..number).map(|from| Term::Source { from, decision: fresh() }).collect()
                    }
                };
                let combination = file.cell.combinations.as_ref().map(|_| fresh());
                let switches = match file.cell.encoding {
                    Encoding::ChoiceBlocks => file.cell.operations.iter().map(|_| fresh()).collect(),
                    Encoding::Edges | Encoding::ChosenInputs => Vec::new(),
                };
                nodes.push(WiredNode { number, terms, combination, switches });
            }
            cells.push(nodes);
        }
        let n_decisions = fresh();
        let (operations, output, kinds) = (file.cell.operations.clone(), file.cell.output, file.kinds());
        let combinations = file.cell.combinations.clone().unwrap_or_default();
        Self { n_inputs, operations, combinations, output, kinds, cells, n_decisions }
    }

    /// Kinds of cells by number and name, with their nodes.
    pub fn named(&self) -> impl Iterator<Item = (u32, &'static str, &[WiredNode])> {
        (0..).zip(self.kinds).zip(&self.cells).map(|((number, name), nodes)| (number, *name, nodes.as_slice()))
    }

    /// The search space.
    pub fn space(&self, file: &CellFile) -> SearchSpace {
        let mut decisions = Vec::with_capacity(self.n_decisions as usize);
        let mut counts = Vec::new();
        let operations = || Domain::Choice(self.operations.clone());
        let counted: Vec<u32> =
            (0..).zip(&self.operations).filter(|(_, name)| *name != "none").map(|(option, _)| option).collect();
        for (cell, kind, nodes) in self.named() {
            for node in nodes {
                let place = Place { cell, node: node.number };
                let decision = |name: String, role, domain, sources| Decision {
                    name: format!("{kind}/node{}/{name}", node.number),
                    role,
                    domain,
                    place,
                    sources,
                    active_when: Vec::new(),
                };
                for term in &node.terms {
                    match term {
                        Term::Edge { from, .. } => {
                            decisions.push(decision(format!("edge{from}"), Role::Operation, operations(), vec![*from]))
                        }
                        Term::Pair { pair, .. } => {
                            let sources: Vec<u32> = (0..node.number).collect();
                            let names = sources.iter().map(|&source| self.source_name(source)).collect();
                            let input = decision(format!("input{pair}"), Role::Input, Domain::Choice(names), sources);
                            decisions.push(input);
                            let name = format!("operation{pair}");
                            decisions.push(decision(name, Role::Operation, operations(), Vec::new()));
                        }
                        Term::Source { from, .. } => {
                            decisions.push(decision(format!("input{from}"), Role::Skip, off_or_on(), vec![*from]))
                        }
                    }
                }
                for (name, _) in self.operations.iter().zip(&node.switches) {
                    decisions.push(decision(name.clone(), Role::Operation, off_or_on(), Vec::new()));
                }
                let sources = node.terms.iter().filter_map(|term| match term {
                    Term::Source { decision, .. } => Some(*decision),
                    Term::Edge { .. } | Term::Pair { .. } => None,
                });
                let limits = [
                    (sources.collect::<Vec<u32>>(), file.cell.inputs_per_node),
                    (node.switches.clone(), file.cell.operations_per_node),
                ];
                for (decisions, limits) in limits {
                    if let (Some([at_least, at_most]), false) = (limits, decisions.is_empty()) {
                        counts.push(CountRule { decisions, options: vec![ON], at_least, at_most });
                    }
                }
                if node.combination.is_some() {
                    let names = self.combinations.iter().map(|combination| combination.name().to_owned()).collect();
                    let domain = Domain::Choice(names);
                    decisions.push(decision("combination".to_owned(), Role::Combination, domain, Vec::new()));
                }
                if let Some(count) = file.cell.edges_per_node {
                    let edges = node.terms.iter().filter_map(|term| match term {
                        Term::Edge { decision, .. } => Some(*decision),
                        Term::Pair { .. } | Term::Source { .. } => None,
                    });
                    counts.push(CountRule {
                        decisions: edges.collect(),
                        options: counted.clone(),
                        at_least: count,
                        at_most: count,
                    });
                }
            }
        }
        SearchSpace { name: file.name.clone(), decisions, counts, forbidden: Vec::new() }
    }

    /// Whether nodes are choice blocks.
    pub fn has_choice_blocks(&self) -> bool {
        self.cells.iter().flatten().any(|node| !node.switches.is_empty())
    }

    /// How people call a node of a cell.
    pub fn source_name(&self, number: u32) -> String {
        if number < self.n_inputs { format!("input{number}") } else { format!("node{number}") }
    }
}
