//! In which order the controller decides, and by which kind of step.
//!
//! The released code decides a node's two inputs before its two operations, and a layer's operation before its
//! skip connections. So it is here where the space has no rules. Where it has some, decisions are made in the
//! space's order, because what is open to one depends on those before it.

use std::collections::BTreeMap;

use nas_strategy_sdk::{Decision, Domain, Role, SearchSpace};

/// How a decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By attention over the nodes that its options read.
    Input,
    /// By attention over one node: whether there is a connection. The second option makes it.
    Skip,
    /// By a softmax of its own for each list of options.
    Options {
        /// Which of the lists.
        head: usize,
    },
}

/// One step of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One decision.
    One(usize),
    /// All skip connections into one node at once.
    Skips(Vec<usize>),
}

/// The decisions of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number in the cell.
    pub node: u32,
    /// In order.
    pub steps: Vec<Step>,
}

/// The nodes of one cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Nodes that are read and not decided: the cell's inputs.
    pub inputs: Vec<u32>,
    /// Those decided.
    pub nodes: Vec<Node>,
}

/// A list of options that one softmax decides on.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Number of options.
    pub n_options: usize,
    /// For operations: which of the options are convolutions.
    pub convolutions: Option<Vec<bool>>,
}

/// The order of decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// By decision.
    pub kinds: Vec<Kind>,
    /// Lists of options.
    pub heads: Vec<Head>,
    /// In the space's order.
    pub cells: Vec<Cell>,
}

impl Plan {
    /// For a space of choices. `is_free`: decisions of a node may be made in another order than the space's.
    pub fn new(space: &SearchSpace, is_free: bool) -> Self {
        let mut heads = Heads::default();
        let kinds: Vec<Kind> = space.decisions.iter().map(|decision| heads.kind(decision)).collect();
        let mut cells: Vec<(u32, Cell)> = Vec::new();
        let mut run: Vec<usize> = Vec::new();
        for (idx, decision) in space.decisions.iter().enumerate() {
            run.push(idx);
            if space.decisions.get(idx + 1).is_none_or(|next| next.place != decision.place) {
                let steps = steps(std::mem::take(&mut run), &kinds, is_free);
                let node = Node { node: decision.place.node, steps };
                match cells.last_mut() {
                    Some((cell, plan)) if *cell == decision.place.cell => plan.nodes.push(node),
                    _ => cells.push((decision.place.cell, Cell { inputs: Vec::new(), nodes: vec![node] })),
                }
            }
        }
        for (cell, plan) in &mut cells {
            plan.inputs = inputs(space, *cell, &plan.nodes);
        }
        Self { kinds, heads: heads.heads, cells: cells.into_iter().map(|(_, cell)| cell).collect() }
    }
}

/// Whether the space writes down no rule: its decisions can be made in any order.
pub fn has_no_rules(space: &SearchSpace) -> bool {
    let is_unconditional = space.decisions.iter().all(|decision| decision.active_when.is_empty());
    is_unconditional && space.counts.is_empty() && space.forbidden.is_empty()
}

fn steps(mut decisions: Vec<usize>, kinds: &[Kind], is_free: bool) -> Vec<Step> {
    let kind = |idx: &usize| kinds.get(*idx).copied();
    if is_free {
        decisions.sort_by_key(|idx| match kind(idx) {
            Some(Kind::Input) => 0,
            Some(Kind::Skip) => 2,
            _ => 1,
        });
    }
    let mut steps: Vec<Step> = Vec::new();
    for idx in decisions {
        match (kind(&idx), steps.last_mut()) {
            (Some(Kind::Skip), Some(Step::Skips(skips))) => skips.push(idx),
            (Some(Kind::Skip), _) => steps.push(Step::Skips(vec![idx])),
            _ => steps.push(Step::One(idx)),
        }
    }
    steps
}

/// Nodes of a cell that are read before anything of theirs is decided, ascending.
fn inputs(space: &SearchSpace, cell: u32, nodes: &[Node]) -> Vec<u32> {
    let within = space.decisions.iter().filter(|decision| decision.place.cell == cell);
    let mut read: Vec<u32> = within.flat_map(|decision| decision.sources.iter().copied()).collect();
    read.sort_unstable();
    read.dedup();
    read.retain(|source| nodes.iter().all(|node| node.node != *source));
    read
}

#[derive(Default)]
struct Heads {
    by_options: BTreeMap<(String, Vec<String>), usize>,
    heads: Vec<Head>,
}

impl Heads {
    fn kind(&mut self, decision: &Decision) -> Kind {
        let names = match &decision.domain {
            Domain::Choice(options) => options.clone(),
            Domain::Levels(levels) => levels.iter().map(f64::to_string).collect(),
            Domain::Integer(_) | Domain::Real(_) => Vec::new(),
        };
        match decision.role {
            Role::Input if decision.sources.len() == names.len() => return Kind::Input,
            Role::Skip if decision.sources.len() == 1 && names.len() == 2 => return Kind::Skip,
            _ => {}
        }
        let is_operation = decision.role == Role::Operation;
        let head = Head {
            n_options: names.len(),
            convolutions: is_operation.then(|| names.iter().map(|name| name.contains("conv")).collect()),
        };
        let next = self.heads.len();
        let known = *self.by_options.entry((format!("{:?}", decision.role), names)).or_insert(next);
        if known == next {
            self.heads.push(head);
        }
        Kind::Options { head: known }
    }
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::testing::{Row, choice_space, edges_cell};

    use super::*;

    fn micro() -> SearchSpace {
        let operations = ["sep_conv_3x3", "max_pool_3x3"];
        let rows: Vec<Row> = vec![
            ("in0", Role::Input, (0, 2), &["0", "1"]),
            ("op0", Role::Operation, (0, 2), &operations),
            ("in1", Role::Input, (0, 2), &["0", "1"]),
            ("op1", Role::Operation, (0, 2), &operations),
            ("in2", Role::Input, (0, 3), &["0", "1", "2"]),
            ("op2", Role::Operation, (0, 3), &operations),
        ];
        let mut space = choice_space(&rows);
        for (decision, sources) in [(0, vec![0, 1]), (2, vec![0, 1]), (4, vec![0, 1, 2])] {
            space.decisions[decision].sources = sources;
        }
        space
    }

    #[test]
    fn a_node_decides_its_inputs_first_where_no_rule_forbids_it() {
        let space = micro();
        let free = Plan::new(&space, has_no_rules(&space));
        assert_eq!(free.cells[0].inputs, [0, 1]);
        assert_eq!(free.cells[0].nodes[0].steps, [0, 2, 1, 3].map(Step::One));
        assert_eq!(free.heads.len(), 1);
        assert_eq!(free.heads[0].convolutions, Some(vec![true, false]));
        assert_eq!(free.kinds[4], Kind::Input);
        let bound = Plan::new(&space, false);
        assert_eq!(bound.cells[0].nodes[0].steps, [0, 1, 2, 3].map(Step::One));
    }

    #[test]
    fn a_layer_decides_all_its_skip_connections_in_one_step_after_its_operation() {
        let rows: Vec<Row> = vec![
            ("op0", Role::Operation, (0, 0), &["conv", "pool"]),
            ("skip1/0", Role::Skip, (0, 1), &["off", "on"]),
            ("op1", Role::Operation, (0, 1), &["conv", "pool"]),
            ("op2", Role::Operation, (0, 2), &["conv", "pool"]),
            ("skip2/0", Role::Skip, (0, 2), &["off", "on"]),
            ("skip2/1", Role::Skip, (0, 2), &["off", "on"]),
        ];
        let mut space = choice_space(&rows);
        for (decision, source) in [(1, 0), (4, 0), (5, 1)] {
            space.decisions[decision].sources = vec![source];
        }
        let plan = Plan::new(&space, true);
        assert!(plan.cells[0].inputs.is_empty());
        let steps: Vec<_> = plan.cells[0].nodes.iter().map(|node| node.steps.clone()).collect();
        assert_eq!(steps[1], [Step::One(2), Step::Skips(vec![1])]);
        assert_eq!(steps[2], [Step::One(3), Step::Skips(vec![4, 5])]);
    }

    #[test]
    fn a_space_of_edges_keeps_its_order_because_of_its_rules() {
        let space = edges_cell(2, 2, &["none", "conv"]);
        assert!(!has_no_rules(&space));
        let plan = Plan::new(&space, false);
        assert_eq!(plan.cells.len(), 2);
        assert_eq!(plan.cells[1].inputs, [0, 1]);
        let decisions: Vec<_> = plan.cells.iter().flat_map(|cell| &cell.nodes).flat_map(|node| &node.steps).collect();
        assert_eq!(decisions.len(), space.decisions.len());
    }
}
