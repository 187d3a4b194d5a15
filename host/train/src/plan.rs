//! What is computed of a graph for one selection, in which order, and what is not.
//!
//! Planning walks the graph once per forward (microseconds) and decides:
//! - only what the outputs need is computed; a choice passes its option on, a mixture needs those it lists;
//! - zeros (`none`) are neither computed nor added; they have no gradient, their mixture weights get 0;
//! - equal parameterless operations on one value (the ReLUs and poolings of a cell's state) are computed once;
//! - a mixture weight goes into the scale and shift of the batch-norm that ends an option, which saves a pass over
//!   the feature map in each direction;
//! - a value is dropped after its last reader.
//!
//! It does not fuse convolutions: that needs kernels of our own, and is a pass over this plan (`fused`).

use std::collections::BTreeSet;

use nasd_network::{Graph, Primitive};

use crate::error::{Result, TrainError};
use crate::selection::{Choice, Selection};

/// A mixture weight: option number `position` in the list of `decision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficient {
    /// Index of the decision.
    pub decision: u32,
    /// Position in its mixture's list.
    pub position: usize,
}

/// A term of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The node whose value it is.
    pub value: usize,
    /// Its weight, unless it is 1 or already in the value.
    pub coefficient: Option<Coefficient>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The node's own primitive.
    Primitive {
        /// Multiplies the result (batch-norm only).
        coefficient: Option<Coefficient>,
    },
    /// The sum of these, never empty.
    Sum(Vec<Term>),
    /// Zeros of the node's shape.
    Zeros,
    /// A concatenation of these nodes' values, or of zeros of their shapes where the flag is off.
    Concat(Vec<(usize, bool)>),
}

/// One node's computation.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node.
    pub node: usize,
    /// What is done.
    pub action: Action,
    /// Nodes whose values are read.
    pub reads: Vec<usize>,
    /// Of those, the ones nobody reads afterwards.
    pub last_reads: Vec<usize>,
}

/// All steps.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// The node with the class scores' value.
    pub logits: usize,
    /// The node with the auxiliary head's value, where it is computed.
    pub auxiliary: Option<usize>,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// Whether the auxiliary head is computed.
    pub auxiliary: bool,
    /// Whether drop-path has an effect.
    pub drop_path: bool,
    /// Whether dropout has an effect.
    pub dropout: bool,
}

impl Plan {
    /// Plan for a selection.
    pub fn new(graph: &Graph, selection: &Selection, purpose: Purpose) -> Result<Self> {
        let mut plan = Self::unfolded(graph, selection, purpose)?;
        plan.fold_coefficients(graph);
        Ok(plan)
    }

    /// Likewise, with all mixture weights left at their terms.
    pub fn unfolded(graph: &Graph, selection: &Selection, purpose: Purpose) -> Result<Self> {
        let needs = needs(graph, selection, purpose)?;
        let mut planner = Planner {
            graph,
            stands_for: Vec::new(),
            zero: Vec::new(),
            steps: Vec::new(),
            sharers: vec![Vec::new(); graph.nodes.len()],
        };
        for (node, reads) in needs.iter().enumerate() {
            planner.node(node, reads.as_deref(), &needs, selection, purpose)?;
        }
        let logits = planner.value_of(graph.logits as usize);
        let auxiliary = graph.auxiliary.filter(|_| purpose.auxiliary).map(|node| planner.value_of(node as usize));
        let mut plan = Self { steps: planner.steps, logits, auxiliary };
        plan.drop_unread_zeros();
        plan.find_last_reads(graph.nodes.len());
        Ok(plan)
    }

    fn outputs(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.logits).chain(self.auxiliary)
    }

    /// Sums leave zeros out, so most of them have no reader.
    fn drop_unread_zeros(&mut self) {
        let read: BTreeSet<usize> =
            self.steps.iter().flat_map(|step| step.reads.iter().copied()).chain(self.outputs()).collect();
        self.steps.retain(|step| step.action != Action::Zeros || read.contains(&step.node));
    }

    /// Put a term's coefficient into the batch-norm it comes from, if nobody else reads that.
    fn fold_coefficients(&mut self, graph: &Graph) {
        let mut readers = vec![0u32; graph.nodes.len()];
        for value in self.steps.iter().flat_map(|step| step.reads.iter().copied()).chain(self.outputs()) {
            if let Some(count) = readers.get_mut(value) {
                *count += 1;
            }
        }
        let mut folded: Vec<Option<Coefficient>> = vec![None; graph.nodes.len()];
        for step in &mut self.steps {
            let Action::Sum(terms) = &mut step.action else { continue };
            for term in terms {
                let is_norm = matches!(
                    graph.nodes.get(term.value).map(|node| &node.primitive),
                    Some(Primitive::BatchNorm { .. })
                );
                if is_norm
                    && readers.get(term.value) == Some(&1)
                    && let Some(place) = folded.get_mut(term.value)
                {
                    *place = term.coefficient.take();
                }
            }
        }
        for step in &mut self.steps {
            if let Action::Primitive { coefficient } = &mut step.action {
                *coefficient = folded.get(step.node).copied().flatten();
            }
        }
    }

    fn find_last_reads(&mut self, n_nodes: usize) {
        let mut read_later = vec![false; n_nodes];
        for output in self.outputs().collect::<Vec<_>>() {
            if let Some(mark) = read_later.get_mut(output) {
                *mark = true;
            }
        }
        for step in self.steps.iter_mut().rev() {
            for &value in &step.reads {
                if let Some(mark) = read_later.get_mut(value)
                    && !std::mem::replace(mark, true)
                {
                    step.last_reads.push(value);
                }
            }
        }
    }
}

/// The inputs each node needs; `None` for nodes that nothing needs.
fn needs(graph: &Graph, selection: &Selection, purpose: Purpose) -> Result<Vec<Option<Vec<usize>>>> {
    let mut needs: Vec<Option<Vec<usize>>> = vec![None; graph.nodes.len()];
    let outputs = std::iter::once(graph.logits).chain(graph.auxiliary.filter(|_| purpose.auxiliary));
    for output in outputs {
        if let Some(place) = needs.get_mut(output as usize) {
            *place = Some(Vec::new());
        }
    }
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if needs.get(index).is_none_or(Option::is_none) {
            continue;
        }
        let reads: Vec<usize> = match &node.primitive {
            Primitive::Zero { .. } => Vec::new(),
            Primitive::Switch { decision } => {
                let input = |option: u32| {
                    node.inputs.get(option as usize).map(|&input| input as usize).ok_or_else(|| {
                        TrainError::Architecture {
                            decision: *decision,
                            reason: format!("option {option} of {} at \"{}\"", node.inputs.len(), node.id),
                        }
                    })
                };
                match selection.choice(*decision)? {
                    Choice::One(option) => vec![input(*option)?],
                    Choice::Mixture(options) => {
                        for weighted in options {
                            input(weighted.option)?;
                        }
                        options
                            .iter()
                            .filter(|weighted| weighted.value != 0.0 || selection.with_gradient())
                            .map(|weighted| input(weighted.option))
                            .collect::<Result<_>>()?
                    }
                    Choice::Nothing => {
                        return Err(TrainError::Architecture {
                            decision: *decision,
                            reason: format!("\"{}\" needs a choice or a mixture", node.id),
                        });
                    }
                }
            }
            _ => node.inputs.iter().map(|&input| input as usize).collect(),
        };
        for &read in &reads {
            if let Some(place) = needs.get_mut(read) {
                place.get_or_insert_default();
            }
        }
        if let Some(place) = needs.get_mut(index) {
            *place = Some(reads);
        }
    }
    Ok(needs)
}

struct Planner<'a> {
    graph: &'a Graph,
    /// For each node so far, the node whose value it has.
    stands_for: Vec<usize>,
    /// For each node so far, whether its value is zeros.
    zero: Vec<bool>,
    steps: Vec<Step>,
    /// For each value, the nodes with parameterless operations that read it alone.
    sharers: Vec<Vec<usize>>,
}

impl Planner<'_> {
    fn value_of(&self, node: usize) -> usize {
        self.stands_for.get(node).copied().unwrap_or(node)
    }

    fn is_zero(&self, node: usize) -> bool {
        self.zero.get(node).copied().unwrap_or(false)
    }

    fn alias(&mut self, of: usize) {
        self.stands_for.push(self.value_of(of));
        self.zero.push(self.is_zero(of));
    }

    fn step(&mut self, node: usize, action: Action, reads: Vec<usize>) {
        self.zero.push(action == Action::Zeros);
        self.stands_for.push(node);
        self.steps.push(Step { node, action, reads, last_reads: Vec::new() });
    }

    fn node(
        &mut self,
        index: usize,
        reads: Option<&[usize]>,
        needs: &[Option<Vec<usize>>],
        selection: &Selection,
        purpose: Purpose,
    ) -> Result<()> {
        let (Some(reads), Some(node)) = (reads, self.graph.nodes.get(index)) else {
            self.stands_for.push(index);
            self.zero.push(false);
            return Ok(());
        };
        let first = reads.first().copied().unwrap_or(index);
        match &node.primitive {
            Primitive::Identity => self.alias(first),
            Primitive::DropPath if !purpose.drop_path => self.alias(first),
            Primitive::Dropout { .. } if !purpose.dropout => self.alias(first),
            Primitive::Zero { .. } => self.step(index, Action::Zeros, Vec::new()),
            Primitive::Switch { decision } if matches!(selection.choice(*decision)?, Choice::Mixture(_)) => {
                let terms = selection
                    .mixture(*decision)
                    .iter()
                    .enumerate()
                    .filter(|(_, weighted)| weighted.value != 0.0 || selection.with_gradient())
                    .zip(reads)
                    .map(|((position, weighted), &read)| {
                        // A mask's options and a path's only one are taken as they are.
                        let is_scaled = weighted.value != 1.0 || selection.with_gradient();
                        (read, is_scaled.then_some(Coefficient { decision: *decision, position }))
                    })
                    .collect();
                self.sum(index, terms);
            }
            Primitive::Switch { .. } => self.alias(first),
            Primitive::Add => self.sum(index, reads.iter().map(|&read| (read, None)).collect()),
            Primitive::ConcatLooseEnds => {
                let is_read = |value: usize| {
                    needs.iter().enumerate().any(|(reader, reads)| {
                        reader != index && reads.as_ref().is_some_and(|reads| reads.contains(&value))
                    })
                };
                let is_template = self.graph.nodes.iter().any(|n| matches!(n.primitive, Primitive::Switch { .. }));
                let parts: Vec<(usize, bool)> = reads
                    .iter()
                    .filter_map(|&read| match is_read(read) {
                        false => Some((self.value_of(read), true)),
                        true if is_template => Some((self.value_of(read), false)),
                        true => None,
                    })
                    .collect();
                let reads = parts.iter().filter(|(_, used)| *used).map(|(value, _)| *value).collect();
                self.step(index, Action::Concat(parts), reads);
            }
            primitive => {
                let values: Vec<usize> = reads.iter().map(|&read| self.value_of(read)).collect();
                if is_shareable(primitive)
                    && let [value] = *values.as_slice()
                {
                    let same = self.sharers.get(value).and_then(|nodes| {
                        nodes.iter().copied().find(|&other| {
                            self.graph.nodes.get(other).is_some_and(|other| other.primitive == *primitive)
                        })
                    });
                    if let Some(same) = same {
                        self.alias(same);
                        return Ok(());
                    }
                    if let Some(nodes) = self.sharers.get_mut(value) {
                        nodes.push(index);
                    }
                }
                self.step(index, Action::Primitive { coefficient: None }, values);
            }
        }
        Ok(())
    }

    fn sum(&mut self, index: usize, terms: Vec<(usize, Option<Coefficient>)>) {
        let terms: Vec<Term> = terms
            .into_iter()
            .filter(|(read, _)| !self.is_zero(*read))
            .map(|(read, coefficient)| Term { value: self.value_of(read), coefficient })
            .collect();
        match terms.as_slice() {
            [] => self.step(index, Action::Zeros, Vec::new()),
            [Term { value, coefficient: None }] => {
                self.stands_for.push(*value);
                self.zero.push(false);
            }
            _ => {
                let reads = terms.iter().map(|term| term.value).collect();
                self.step(index, Action::Sum(terms), reads);
            }
        }
    }
}

/// Whether two such operations on one value are the same value.
fn is_shareable(primitive: &Primitive) -> bool {
    matches!(
        primitive,
        Primitive::Relu
            | Primitive::Relu6
            | Primitive::Sigmoid
            | Primitive::Tanh
            | Primitive::MaxPool { .. }
            | Primitive::AveragePool { .. }
            | Primitive::GlobalAveragePool
            | Primitive::Crop { .. }
    )
}
