//! Everything that draws or looks ahead, on a space whose rules have been indexed once.
//!
//! # Distributions
//! [`Prepared::sample`] decides in order, each active decision uniformly over the options that leave a valid
//! completion. Without count rules and forbidden combinations that is uniform over architectures of equal
//! activity; with them it is *not* uniform over architectures: early decisions are drawn as if nothing followed
//! (a DARTS node with five edges and two kept draws its first edge uniformly over all options). Ranges are
//! uniform on their scale, whole numbers on a logarithmic one by the width of `value - 1/2 .. value + 1/2`.
//! A decision with a single open option draws nothing, every other one calls `below` or `next_f64` once.
//!
//! # Repair
//! `mutate`, `crossover` and `repair` first fix what must be, then keep as many of the wished-for values as
//! fit: all where they fit together, otherwise one by one in random order within each component, so that no
//! edge is favoured for its place. What does not fit, and what becomes active, is drawn as in `sample`.

use std::borrow::Borrow;

use crate::{
    check,
    draw::{draw_range, pick},
    error::SpaceError,
    model::{Architecture, Domain, Gene, SearchSpace},
    random::RandomSource,
    tables::Tables,
    trial::{FREE, INACTIVE, Trial},
};

/// A search space with its rules indexed: for `&SearchSpace`, `Arc<SearchSpace>` or `SearchSpace` itself.
/// Make one per search; the methods of the same names on [`SearchSpace`] index anew at every call.
#[derive(Clone, Debug)]
pub struct Prepared<S: Borrow<SearchSpace>> {
    space: S,
    tables: Tables,
}

impl<S: Borrow<SearchSpace>> Prepared<S> {
    /// Index a space. An error if its rules name what is not there; [`SearchSpace::validate`] looks closer.
    pub fn new(space: S) -> Result<Self, SpaceError> {
        let tables = Tables::new(space.borrow())?;
        Ok(Self { space, tables })
    }

    /// The space.
    pub fn space(&self) -> &SearchSpace {
        self.space.borrow()
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn trial(&self) -> Trial<'_> {
        Trial::new(self.space(), &self.tables)
    }

    pub(crate) fn domain(&self, decision: usize) -> &Domain {
        &self.space().decisions[decision].domain
    }

    /// A random valid architecture: every active decision uniform over what is open to it, in order. Draws at
    /// most once a decision (but for the rare rejections of [`RandomSource::below`]).
    pub fn sample(&self, random: &mut dyn RandomSource) -> Result<Architecture, SpaceError> {
        let mut trial = self.trial();
        for component in self.tables.components.iter().filter(|component| component.is_ruled()) {
            if !trial.completes(component, 0)? {
                let decisions = self.space().names(self.tables.members(component).iter().copied());
                return Err(SpaceError::NoArchitecture { decisions });
            }
        }
        self.decide(&mut trial, &[], &mut Some(random))
    }

    /// Legal options of the decision after `prefix` (one gene for each decision before it) which leave at least
    /// one valid completion, ascending. Empty: that decision is inactive, or has a range.
    pub fn open_options(&self, prefix: &[Gene]) -> Result<Vec<u32>, SpaceError> {
        let space = self.space();
        let decision = prefix.len();
        let Some(next) = space.decisions.get(decision) else {
            return Err(SpaceError::Length { expected: space.decisions.len().saturating_sub(1), found: decision });
        };
        space.check_genes(prefix)?;
        let mut trial = self.trial();
        for (idx, gene) in prefix.iter().enumerate() {
            trial.assign(idx, value_of(gene));
        }
        for component in self.tables.components.iter().filter(|component| component.is_ruled()) {
            let members = self.tables.members(component);
            let from = members.partition_point(|member| (*member as usize) < decision);
            if !trial.completes(component, from)? {
                return Err(SpaceError::DeadEnd { length: decision });
            }
        }
        if !trial.is_active(decision) || next.domain.n_options().is_none() {
            return Ok(Vec::new());
        }
        let classes = self.open_classes(&mut trial, decision)?;
        let class_of = self.tables.class_of(decision).iter().zip(0..);
        Ok(class_of.filter(|(class, _)| classes[**class as usize]).map(|(_, option)| option).collect())
    }

    /// Which classes of the next decision leave a completion.
    fn open_classes(&self, trial: &mut Trial<'_>, decision: usize) -> Result<Vec<bool>, SpaceError> {
        let representatives = self.tables.representatives(decision);
        if representatives.len() == 1 || !self.tables.component(decision).is_ruled() {
            return Ok(vec![true; representatives.len()]);
        }
        representatives.iter().map(|option| trial.may_take(decision, *option)).collect()
    }

    /// Decide what is left in order: pinned values, wished-for values of ranges, and draws; without a source
    /// the first open option or the low end. The trial must have a completion.
    pub(crate) fn decide(
        &self,
        trial: &mut Trial<'_>,
        wishes: &[Gene],
        random: &mut Option<&mut dyn RandomSource>,
    ) -> Result<Architecture, SpaceError> {
        let n = self.tables.n_decisions();
        let mut genes = Vec::with_capacity(n);
        for decision in 0..n {
            let (value, gene) = if !trial.is_active(decision) {
                (INACTIVE, Gene::Inactive)
            } else if let Some(n_options) = self.domain(decision).n_options() {
                let option = match trial.pin(decision) {
                    FREE => self.draw_option(trial, decision, n_options as u32, random)?,
                    pin => pin,
                };
                (option, Gene::Choice(option))
            } else {
                let wish = wishes.get(decision).filter(|wish| check::is_legal(self.domain(decision), wish));
                (0, wish.cloned().unwrap_or_else(|| draw_range(self.domain(decision), random)))
            };
            trial.assign(decision, value);
            genes.push(gene);
        }
        Ok(genes)
    }

    fn draw_option(
        &self,
        trial: &mut Trial<'_>,
        decision: usize,
        n_options: u32,
        random: &mut Option<&mut dyn RandomSource>,
    ) -> Result<u32, SpaceError> {
        let one_class = self.tables.representatives(decision).len() == 1;
        if one_class || (!self.tables.component(decision).is_ruled() && !trial.has_required()) {
            return Ok(pick(n_options, random));
        }
        let representatives = self.tables.representatives(decision);
        let class_of = self.tables.class_of(decision);
        // Two classes are the rule (an edge is kept or not): a small set without allocation.
        let mut few = 0u64;
        let mut many = Vec::new();
        for (class, option) in representatives.iter().enumerate() {
            let open = trial.may_take(decision, *option)?;
            if class < 64 {
                few |= u64::from(open) << class;
            } else {
                many.push(open);
            }
        }
        let is_open = |class: u32| {
            if class < 64 { few >> class & 1 == 1 } else { many.get(class as usize - 64).copied().unwrap_or(false) }
        };
        let n_open = class_of.iter().filter(|class| is_open(**class)).count() as u32;
        let rank = pick(n_open, random) as usize;
        let open = class_of.iter().zip(0..).filter(|(class, _)| is_open(**class)).nth(rank);
        open.map(|(_, option)| option).ok_or(SpaceError::DeadEnd { length: decision })
    }

    pub(crate) fn expect_length(&self, architecture: &Architecture) -> Result<(), SpaceError> {
        let (expected, found) = (self.tables.n_decisions(), architecture.len());
        if expected == found { Ok(()) } else { Err(SpaceError::Length { expected, found }) }
    }

    /// The decisions meant by a list of them: ascending, none twice; all where it is empty.
    pub(crate) fn among(&self, among: &[u32]) -> Result<Vec<u32>, SpaceError> {
        let decisions = self.tables.n_decisions();
        if among.is_empty() {
            return Ok((0..decisions as u32).collect());
        }
        if let Some(decision) = among.iter().find(|decision| **decision as usize >= decisions) {
            return Err(SpaceError::NoSuchDecision { decision: *decision, decisions });
        }
        let mut list = among.to_vec();
        list.sort_unstable();
        list.dedup();
        Ok(list)
    }
}

/// A gene as a value of a trial; ranges have one value as far as rules go.
pub(crate) fn value_of(gene: &Gene) -> u32 {
    match gene {
        Gene::Choice(option) => *option,
        Gene::Integer(_) | Gene::Real(_) => 0,
        Gene::Inactive | Gene::Mixture(_) => INACTIVE,
    }
}
