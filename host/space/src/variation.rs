//! Architectures made from others: mutation, crossover, repair. How they keep to the rules stands with
//! [`Prepared`].

use std::borrow::Borrow;

use crate::{
    check,
    draw::{pick, redraw_range},
    error::SpaceError,
    model::{Architecture, Gene, SearchSpace},
    prepared::{Prepared, value_of},
    random::RandomSource,
    trial::{FREE, Trial},
};

impl<S: Borrow<SearchSpace>> Prepared<S> {
    /// A child with `changes` active decisions of `parent` among `among` (empty: all) redrawn to other values,
    /// uniformly over those that a valid architecture can have beside the others redrawn, then repaired. The
    /// redrawn values stay; where rules demand it (DARTS: two kept edges a node) other decisions follow, as few
    /// as fit. Decisions with nothing else open are passed over; an error if fewer than `changes` can change.
    pub fn mutate(
        &self,
        random: &mut dyn RandomSource,
        parent: &Architecture,
        changes: u32,
        among: &[u32],
    ) -> Result<Architecture, SpaceError> {
        self.space().check(parent)?;
        let mut candidates: Vec<u32> =
            self.among(among)?.into_iter().filter(|decision| parent[*decision as usize] != Gene::Inactive).collect();
        let mut trial = self.trial();
        let mut wishes = parent.clone();
        let mut made = 0;
        while made < changes {
            if candidates.is_empty() {
                return Err(SpaceError::TooFewToChange { asked: changes, possible: made });
            }
            let drawn = pick(candidates.len() as u32, &mut Some(&mut *random));
            let decision = candidates.swap_remove(drawn as usize) as usize;
            if let Some(gene) = self.redraw(&mut trial, random, decision, &wishes[decision])? {
                trial.set_pin(decision, value_of(&gene), true);
                wishes[decision] = gene;
                made += 1;
            }
        }
        self.settle(trial, random, &wishes)
    }

    /// Another value for a decision that can stand beside what is pinned, if there is one.
    fn redraw(
        &self,
        trial: &mut Trial<'_>,
        random: &mut dyn RandomSource,
        decision: usize,
        old: &Gene,
    ) -> Result<Option<Gene>, SpaceError> {
        let mut fits = |option: u32| -> Result<bool, SpaceError> {
            trial.set_pin(decision, option, true);
            let fits = trial.completes(self.tables().component(decision), 0);
            trial.set_pin(decision, FREE, false);
            fits
        };
        if self.domain(decision).n_options().is_none() {
            return Ok(if fits(0)? { redraw_range(self.domain(decision), old, random) } else { None });
        }
        let representatives = self.tables().representatives(decision);
        let open = representatives.iter().map(|option| fits(*option)).collect::<Result<Vec<_>, _>>()?;
        let class_of = self.tables().class_of(decision);
        let others = || {
            class_of
                .iter()
                .zip(0..)
                .filter(|(class, option)| open[**class as usize] && Some(*option) != old.option())
                .map(|(_, option)| option)
        };
        let n_others = others().count() as u32;
        if n_others == 0 {
            return Ok(None);
        }
        let rank = pick(n_others, &mut Some(random));
        Ok(others().nth(rank as usize).map(Gene::Choice))
    }

    /// Every gene from one of the two (a coin for each decision in which they differ and both are active),
    /// then repaired.
    pub fn crossover(
        &self,
        random: &mut dyn RandomSource,
        first: &Architecture,
        second: &Architecture,
    ) -> Result<Architecture, SpaceError> {
        self.expect_length(first)?;
        self.expect_length(second)?;
        let wishes: Vec<Gene> = first
            .iter()
            .zip(second)
            .map(|(first, second)| match (first, second) {
                (Gene::Inactive, gene) | (gene, Gene::Inactive) => gene.clone(),
                (first, second) if first == second => first.clone(),
                (first, second) => if random.below(2) == 0 { first } else { second }.clone(),
            })
            .collect();
        self.settle(self.trial(), random, &wishes)
    }

    /// A valid architecture with as much of the given one as fits: genes of inactive decisions cleared, missing
    /// (the list may be short) or illegal ones drawn. A valid architecture comes back as it is, without a draw.
    pub fn repair(
        &self,
        random: &mut dyn RandomSource,
        architecture: &Architecture,
    ) -> Result<Architecture, SpaceError> {
        if architecture.len() > self.tables().n_decisions() {
            self.expect_length(architecture)?;
        }
        self.settle(self.trial(), random, architecture)
    }

    /// Keep what fits of the wishes beside what is pinned, and decide the rest.
    fn settle(
        &self,
        mut trial: Trial<'_>,
        random: &mut dyn RandomSource,
        wishes: &[Gene],
    ) -> Result<Architecture, SpaceError> {
        let space = self.space();
        let mut order: Vec<(usize, u32)> = Vec::new();
        for component in &self.tables().components {
            order.clear();
            for member in self.tables().members(component) {
                let decision = *member as usize;
                let Some(gene) = wishes.get(decision) else { continue };
                if trial.pin(decision) == FREE && check::is_legal(&space.decisions[decision].domain, gene) {
                    let value = value_of(gene);
                    trial.set_pin(decision, value, false);
                    order.push((decision, value));
                }
            }
            if trial.completes(component, 0)? {
                continue;
            }
            for (decision, _) in &order {
                trial.set_pin(*decision, FREE, false);
            }
            if !trial.completes(component, 0)? {
                let decisions = space.names(self.tables().members(component).iter().copied());
                return Err(SpaceError::NoArchitecture { decisions });
            }
            while !order.is_empty() {
                let drawn = pick(order.len() as u32, &mut Some(&mut *random));
                let (decision, value) = order.swap_remove(drawn as usize);
                trial.set_pin(decision, value, false);
                if !trial.completes(component, 0)? {
                    trial.set_pin(decision, FREE, false);
                }
            }
        }
        self.decide(&mut trial, wishes, &mut Some(random))
    }
}
