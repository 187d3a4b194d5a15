//! Which steps of a plan become one.
//!
//! - A depthwise convolution that only a 1x1 convolution reads is done with it; so is a crop that only 1x1 convolutions
//!   read.
//! - A sum that only another sum reads becomes part of it, so a node of a cell is one sum over all options of its edges.
//!
//! ReLU and batch normalisation are not fused here: they stay unapplied until something reads them (see `forward`).

use nasd_kernels::{Reading, Window, is_fast_for};
use nasd_network::{Graph, Primitive};

use crate::layout::{Layout, n_groups};
use crate::plan::{Action, Plan, Term};

/// A step after fusion.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The node whose value it computes.
    pub node: usize,
    pub work: Work,
    pub reads: Vec<usize>,
    /// Of those, the ones nobody reads afterwards.
    pub last_reads: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Work {
    /// A depthwise or a 1x1 convolution or both, by the nodes that have their weights.
    Unit { reading: Reading, filter: Option<usize>, matrix: Option<usize> },
    /// A weighted sum.
    Sum(Vec<Term>),
    /// As planned.
    Planned(Action),
}

/// The fused steps, and how many read each node's value.
pub(super) struct Fusion {
    pub steps: Vec<Step>,
    pub readers: Vec<Vec<usize>>,
}

impl Fusion {
    /// Of a plan without folded coefficients.
    pub fn new(graph: &Graph, layout: &Layout, plan: &Plan) -> Self {
        let n = graph.nodes.len();
        let outputs = std::iter::once(plan.logits).chain(plan.auxiliary);
        let fuser = Fuser { graph, layout, plan, readers: readers_of(n, plan), step_of: step_of(n, plan) };
        let mut is_part = vec![false; n];
        for step in &plan.steps {
            if let Some(place) = is_part.get_mut(step.node) {
                *place = fuser.is_part(step.node) && !outputs.clone().any(|output| output == step.node);
            }
        }
        let part = |node: usize| is_part.get(node).copied().unwrap_or(false);
        let mut steps = Vec::new();
        for step in plan.steps.iter().filter(|step| !part(step.node)) {
            let (work, reads) = fuser.work(step.node, &step.action, &step.reads, &part);
            steps.push(Step { node: step.node, work, reads, last_reads: Vec::new() });
        }
        let mut read_later = vec![false; n];
        for output in outputs {
            if let Some(mark) = read_later.get_mut(output) {
                *mark = true;
            }
        }
        let mut readers = vec![Vec::new(); n];
        for step in steps.iter_mut().rev() {
            for &value in &step.reads {
                if let Some(readers) = readers.get_mut(value) {
                    readers.push(step.node);
                }
                if let Some(mark) = read_later.get_mut(value)
                    && !std::mem::replace(mark, true)
                {
                    step.last_reads.push(value);
                }
            }
        }
        Self { steps, readers }
    }
}

fn readers_of(n: usize, plan: &Plan) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); n];
    for step in &plan.steps {
        for &read in &step.reads {
            if let Some(readers) = readers.get_mut(read) {
                readers.push(step.node);
            }
        }
    }
    readers
}

fn step_of(n: usize, plan: &Plan) -> Vec<Option<usize>> {
    let mut step_of = vec![None; n];
    for (index, step) in plan.steps.iter().enumerate() {
        if let Some(place) = step_of.get_mut(step.node) {
            *place = Some(index);
        }
    }
    step_of
}

struct Fuser<'a> {
    graph: &'a Graph,
    layout: &'a Layout,
    plan: &'a Plan,
    readers: Vec<Vec<usize>>,
    step_of: Vec<Option<usize>>,
}

impl Fuser<'_> {
    fn primitive(&self, node: usize) -> Option<&Primitive> {
        self.graph.nodes.get(node).map(|node| &node.primitive)
    }

    fn readers(&self, node: usize) -> &[usize] {
        self.readers.get(node).map_or(&[], Vec::as_slice)
    }

    fn planned(&self, node: usize) -> Option<&crate::plan::Step> {
        let index = self.step_of.get(node).copied().flatten()?;
        self.plan.steps.get(index)
    }

    fn channels(&self, node: usize) -> usize {
        let shape = self.layout.shapes.get(node).map(Vec::as_slice);
        shape.filter(|shape| shape.len() == 3).and_then(<[i64]>::first).map_or(0, |&n| super::memory::count(n))
    }

    fn is_fast(&self, node: usize) -> bool {
        let channels = self.channels(node);
        channels > 0 && is_fast_for(channels)
    }

    /// Whether the readers of a node compute it themselves.
    fn is_part(&self, node: usize) -> bool {
        let Some(step) = self.planned(node) else { return false };
        let readers = self.readers(node);
        match (&step.action, self.primitive(node)) {
            (Action::Sum(_), _) => match readers {
                [reader] => self.planned(*reader).is_some_and(|reader| {
                    matches!(&reader.action, Action::Sum(terms)
                        if terms.iter().any(|term| term.value == node && term.coefficient.is_none()))
                }),
                _ => false,
            },
            (Action::Primitive { .. }, Some(Primitive::Crop { top, left })) => {
                let is_pointwise = |&reader: &usize| self.pointwise_stride(reader).is_some();
                top == left && !readers.is_empty() && readers.iter().all(is_pointwise)
            }
            (Action::Primitive { .. }, Some(_)) if self.window(node).is_some() => {
                matches!(readers, [reader] if self.pointwise_stride(*reader) == Some(1))
            }
            _ => false,
        }
    }

    /// The stride of a node that is a 1x1 convolution for a kernel.
    fn pointwise_stride(&self, node: usize) -> Option<usize> {
        match self.primitive(node)? {
            Primitive::Convolution { kernel: [1, 1], stride: [s, t], padding: [0, 0], groups, bias: false, .. }
                if s == t =>
            {
                let input = *self.planned(node)?.reads.first()?;
                let channels = self.layout.shapes.get(input)?.first().copied()?;
                let fits = n_groups(*groups, channels) == 1 && self.is_fast(node) && self.is_fast(input);
                fits.then_some(*s as usize)
            }
            _ => None,
        }
    }

    /// The filter of a node that is a depthwise convolution for a kernel.
    fn window(&self, node: usize) -> Option<Window> {
        let Primitive::Convolution { kernel, stride, padding, dilation, groups, bias: false, .. } =
            self.primitive(node)?
        else {
            return None;
        };
        let square = [kernel, stride, padding, dilation].map(|[a, b]| (a == b).then_some(*a as usize));
        let [Some(kernel), Some(stride), Some(padding), Some(dilation)] = square else { return None };
        let window = Window { kernel, stride, dilation };
        let input = *self.planned(node)?.reads.first()?;
        let channels = self.layout.shapes.get(input)?.first().copied()?;
        let fits = [3, 5, 7].contains(&kernel)
            && padding == window.border()
            && n_groups(*groups, channels) == channels
            && self.channels(node) == super::memory::count(channels)
            && self.is_fast(node);
        fits.then_some(window)
    }

    fn work(
        &self,
        node: usize,
        action: &Action,
        reads: &[usize],
        is_part: &impl Fn(usize) -> bool,
    ) -> (Work, Vec<usize>) {
        if let Action::Sum(terms) = action {
            let mut flat = Vec::new();
            self.flatten(terms, is_part, &mut flat);
            let reads = flat.iter().map(|term| term.value).collect();
            return (Work::Sum(flat), reads);
        }
        let planned = || (Work::Planned(action.clone()), reads.to_vec());
        let (Action::Primitive { .. }, [input]) = (action, reads) else { return planned() };
        if let Some(stride) = self.pointwise_stride(node) {
            let matrix = Some(node);
            let before = self.planned(*input).filter(|_| is_part(*input));
            let source = before.and_then(|step| step.reads.first().copied());
            return match (source, self.primitive(*input)) {
                (Some(source), Some(Primitive::Crop { top, .. })) => {
                    let reading = Reading::Pixels { stride, offset: *top as usize };
                    (Work::Unit { reading, filter: None, matrix }, vec![source])
                }
                (Some(source), _) => match self.window(*input) {
                    Some(window) => {
                        let reading = Reading::Depthwise(window);
                        (Work::Unit { reading, filter: Some(*input), matrix }, vec![source])
                    }
                    None => planned(),
                },
                _ => {
                    (Work::Unit { reading: Reading::Pixels { stride, offset: 0 }, filter: None, matrix }, vec![*input])
                }
            };
        }
        match self.window(node) {
            Some(window) => {
                let reading = Reading::Depthwise(window);
                (Work::Unit { reading, filter: Some(node), matrix: None }, vec![*input])
            }
            None => planned(),
        }
    }

    fn flatten(&self, terms: &[Term], is_part: &impl Fn(usize) -> bool, flat: &mut Vec<Term>) {
        for term in terms {
            match self.planned(term.value).map(|step| &step.action) {
                Some(Action::Sum(inner)) if is_part(term.value) => self.flatten(inner, is_part, flat),
                _ => flat.push(*term),
            }
        }
    }
}
