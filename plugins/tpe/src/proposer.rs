//! One proposal: candidates drawn where good trials are dense, and of them the one for which the rest are least dense in
//! comparison (Bergstra et al. 2011, section 4: the largest ratio of the densities has the largest expected improvement).

use nas_strategy_sdk::{Architecture, Condition, Decision, Gene, SearchSpace, StrategyError, space};

use crate::axis::Axis;
use crate::joint::Joint;
use crate::mixture::{self, Numbers, Options, PRIOR_MEAN};
use crate::model::{Model, Sides};
use crate::stream::Stream;
use crate::trials::Trials;

/// What never changes during a search.
#[derive(Debug)]
pub struct Ground {
    /// The decisions.
    pub decisions: Vec<Decision>,
    /// Their axes.
    pub axes: Vec<Axis>,
    /// Whether some rule of the space counts or forbids options of the decision.
    pub is_ruled: Vec<bool>,
    /// Decisions that are always active and have more than one value.
    pub always: Vec<usize>,
    /// Candidates of each choice.
    pub candidates: usize,
    /// The prior's weight; an observation's is at most 1.
    pub prior: f64,
    /// Whether decisions that are always active are estimated together.
    pub multivariate: bool,
}

impl Ground {
    /// Of a space.
    pub fn new(space: SearchSpace, candidates: usize, prior: f64, multivariate: bool) -> Self {
        let axes: Vec<Axis> = space.decisions.iter().map(Axis::of).collect();
        let mut is_ruled = vec![false; axes.len()];
        let counted = space.counts.iter().flat_map(|rule| rule.decisions.iter().copied());
        let forbidden = space.forbidden.iter().flatten().map(|condition: &Condition| condition.decision);
        for decision in counted.chain(forbidden) {
            if let Some(is_ruled) = is_ruled.get_mut(decision as usize) {
                *is_ruled = true;
            }
        }
        let always = |(idx, (decision, axis)): (usize, (&Decision, &Axis))| {
            (decision.active_when.is_empty() && !matches!(axis, Axis::Fixed(_))).then_some(idx)
        };
        let always = space.decisions.iter().zip(&axes).enumerate().filter_map(always).collect();
        Self { decisions: space.decisions, axes, is_ruled, always, candidates, prior, multivariate }
    }

    /// Whether an architecture can be learnt from.
    pub fn accepts(&self, genes: &[Gene]) -> bool {
        let fits = |((gene, axis), decision): ((&Gene, &Axis), &Decision)| match gene {
            Gene::Inactive => !decision.active_when.is_empty(),
            gene => axis.accepts(gene),
        };
        genes.len() == self.axes.len() && genes.iter().zip(&self.axes).zip(&self.decisions).all(fits)
    }
}

/// Makes proposals from what is known now.
pub struct Proposer<'a> {
    ground: &'a Ground,
    trials: &'a Trials,
    model: &'a Model,
    stream: &'a mut Stream,
    weights: Vec<f64>,
    good: Numbers,
    rest: Numbers,
}

impl<'a> Proposer<'a> {
    /// From the trials and the model made of them.
    pub fn new(ground: &'a Ground, trials: &'a Trials, model: &'a Model, stream: &'a mut Stream) -> Self {
        let weights = model.weights();
        Self { ground, trials, model, stream, weights, good: Numbers::default(), rest: Numbers::default() }
    }

    /// An architecture that fulfils the conditions; of the space's rules those that masks can keep.
    pub fn propose(&mut self) -> Result<Architecture, StrategyError> {
        let ground = self.ground;
        let mut wishes: Vec<Option<Gene>> = vec![None; ground.axes.len()];
        if ground.multivariate && ground.always.len() > 1 {
            let joint = Joint::new(ground, self.trials, self.model, &self.weights);
            for (idx, gene) in ground.always.iter().zip(joint.choose(self.stream)) {
                if let Some(wish) = wishes.get_mut(*idx) {
                    *wish = Some(gene);
                }
            }
        }
        let mut genes = Architecture::with_capacity(ground.axes.len());
        for (idx, (decision, axis)) in ground.decisions.iter().zip(&ground.axes).enumerate() {
            if !space::is_active(decision, &genes) {
                genes.push(Gene::Inactive);
                continue;
            }
            let open = match ground.is_ruled.get(idx) {
                Some(true) => Some(space::open_options(&genes)?),
                _ => None,
            };
            let is_open = |gene: &Gene| match (&open, gene) {
                (Some(open), Gene::Choice(option)) => open.contains(option),
                _ => true,
            };
            let wish = wishes.get_mut(idx).and_then(Option::take).filter(is_open);
            genes.push(match wish {
                Some(gene) => gene,
                None => self.choose(idx, axis, open.as_deref()),
            });
        }
        Ok(genes)
    }

    /// The value of one decision by itself.
    fn choose(&mut self, idx: usize, axis: &Axis, open: Option<&[u32]>) -> Gene {
        match (axis, self.model.sides(idx)) {
            (Axis::Fixed(gene), _) => gene.clone(),
            (Axis::Options(n_options), _) => Gene::Choice(self.option(idx, *n_options, open)),
            (axis, Some(sides)) => self.number(axis, sides, open),
            (axis, None) => axis.gene(self.stream.uniform()),
        }
    }

    fn option(&mut self, idx: usize, n_options: usize, open: Option<&[u32]>) -> u32 {
        let (mut good, rest) = self.shares(idx, n_options);
        if let Some(open) = open {
            for (option, share) in (0u32..).zip(&mut good) {
                if !open.contains(&option) {
                    *share = 0.0;
                }
            }
        }
        let mut best: Option<(u32, f64)> = None;
        for _ in 0..self.ground.candidates {
            let option = self.stream.option(&good);
            let share = |shares: &[f64]| shares.get(option as usize).copied().unwrap_or(0.0);
            let ratio = share(&good) / share(&rest);
            if best.is_none_or(|(_, largest)| ratio > largest) {
                best = Some((option, ratio));
            }
        }
        best.map_or(0, |(option, _)| option)
    }

    /// Shares of options among the good trials and among the rest.
    fn shares(&self, idx: usize, n_options: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut good, mut rest) = (Options::new(n_options), Options::new(n_options));
        let column = self.trials.columns().get(idx).map_or(&[][..], |column| column.options());
        for ((option, weight), is_good) in column.iter().zip(&self.weights).zip(self.model.good_ones()) {
            if let Some(option) = option {
                if *is_good { &mut good } else { &mut rest }.add(*option, *weight);
            }
        }
        for (genes, weight) in self.model.in_flight().iter().zip(self.weights.iter().skip(self.trials.len())) {
            if let Some(Gene::Choice(option)) = genes.get(idx) {
                rest.add(*option, *weight);
            }
        }
        (good.shares(self.ground.prior), rest.shares(self.ground.prior))
    }

    fn number(&mut self, axis: &Axis, sides: &Sides, open: Option<&[u32]>) -> Gene {
        let (prior, cells) = (self.ground.prior, !matches!(axis, Axis::Real(_)));
        self.good.fill(&sides.good, &self.weights, prior, cells);
        self.rest.fill(&sides.rest, &self.weights, prior, cells);
        let is_open = |gene: &Gene| match (open, gene) {
            (Some(open), Gene::Choice(option)) => open.contains(option),
            _ => true,
        };
        let mut best: Option<(Gene, f64)> = None;
        let mut seen: Vec<Gene> = Vec::new();
        for _ in 0..self.ground.candidates {
            let unit = match mixture::pick(&sides.good, &self.weights, prior, self.stream.uniform()) {
                Some(at) => {
                    let kernel = (sides.good.means.get(at), sides.good.deviations.get(at));
                    let (Some(mean), Some(deviation)) = kernel else { continue };
                    self.stream.within_unit(*mean, *deviation)
                }
                None => self.stream.within_unit(PRIOR_MEAN, 1.0),
            };
            let gene = axis.gene(unit);
            if cells {
                if seen.contains(&gene) || !is_open(&gene) {
                    continue;
                }
                seen.push(gene.clone());
            }
            let ratio = self.ratio(axis, &gene, unit);
            if best.as_ref().is_none_or(|(_, largest)| ratio > *largest) {
                best = Some((gene, ratio));
            }
        }
        if best.is_none() {
            // No candidate is open: all that are compete.
            for level in open.unwrap_or_default() {
                let gene = Gene::Choice(*level);
                let ratio = self.ratio(axis, &gene, 0.5);
                if best.as_ref().is_none_or(|(_, largest)| ratio > *largest) {
                    best = Some((gene, ratio));
                }
            }
        }
        best.map_or_else(|| axis.gene(self.stream.uniform()), |(gene, _)| gene)
    }

    fn ratio(&self, axis: &Axis, gene: &Gene, unit: f64) -> f64 {
        match axis.cell(gene) {
            Some((low, high)) => self.good.cell(low, high) / self.rest.cell(low, high),
            None => self.good.density(unit) / self.rest.density(unit),
        }
    }
}
