//! All architectures one change away.
//!
//! A change gives one active decision another value. Where the change alone breaks a rule (DARTS: a third kept
//! edge at a node), it is completed to a *swap*: one further decision of the same component, whether or not it
//! is among those asked for, gets another value so that the two together obey the rules. Decisions that become
//! active through a change take their first open option, ranges their low end. `choice` and `levels` change to
//! every other option, whole numbers to the next value either way, real numbers not at all.

use std::{borrow::Borrow, collections::HashSet};

use crate::{
    error::SpaceError,
    model::{Architecture, Domain, Gene, SearchSpace},
    prepared::{Prepared, value_of},
    tables::Component,
    trial::{FREE, Trial},
};

struct Found {
    all: Vec<Architecture>,
    /// Digests of `all` and of where it started.
    seen: HashSet<String>,
}

impl<S: Borrow<SearchSpace>> Prepared<S> {
    /// The valid architectures one change away from a valid one, with the changes among decisions `among`
    /// (empty: all), each once, in the order of decisions and options. What a change is where rules or
    /// conditions have a say stands at the head of this module's source: a swap keeps a count rule.
    pub fn neighbours(&self, of: &Architecture, among: &[u32]) -> Result<Vec<Architecture>, SpaceError> {
        self.space().check(of)?;
        let tables = self.tables();
        let mut found = Found { all: Vec::new(), seen: HashSet::from([crate::architecture_digest(of)]) };
        let mut trial = self.trial();
        for (decision, gene) in of.iter().enumerate() {
            if *gene != Gene::Inactive {
                trial.set_pin(decision, value_of(gene), false);
            }
        }
        for decision in self.among(among)? {
            let decision = decision as usize;
            if of[decision] == Gene::Inactive {
                continue;
            }
            let component = tables.component(decision);
            for gene in self.other_values(decision, &of[decision]) {
                trial.set_pin(decision, value_of(&gene), true);
                if trial.completes(component, 0)? {
                    self.collect(&trial, of, &[(decision, &gene)], &mut found)?;
                } else {
                    self.collect_swaps(&mut trial, of, component, (decision, &gene), &mut found)?;
                }
            }
            trial.set_pin(decision, value_of(&of[decision]), false);
        }
        Ok(found.all)
    }

    fn other_values(&self, decision: usize, gene: &Gene) -> Vec<Gene> {
        match (&self.space().decisions[decision].domain, gene) {
            (Domain::Choice(_) | Domain::Levels(_), Gene::Choice(old)) => {
                let n_options = self.tables().n_options[decision];
                (0..n_options).filter(|option| option != old).map(Gene::Choice).collect()
            }
            (Domain::Integer(range), Gene::Integer(old)) => [old.checked_sub(1), old.checked_add(1)]
                .into_iter()
                .flatten()
                .filter(|value| (range.low..=range.high).contains(value))
                .map(Gene::Integer)
                .collect(),
            _ => Vec::new(),
        }
    }

    fn collect_swaps(
        &self,
        trial: &mut Trial<'_>,
        of: &Architecture,
        component: &Component,
        change: (usize, &Gene),
        found: &mut Found,
    ) -> Result<(), SpaceError> {
        for member in self.tables().members(component) {
            let other = *member as usize;
            let Gene::Choice(old) = of[other] else { continue };
            if other == change.0 {
                continue;
            }
            // Nothing fits if the value were free, or all that fits is looked at class by class.
            trial.set_pin(other, FREE, true);
            if trial.completes(component, 0)? {
                for representative in self.tables().representatives(other) {
                    trial.set_pin(other, *representative, true);
                    if !trial.completes(component, 0)? {
                        continue;
                    }
                    let class_of = self.tables().class_of(other);
                    let class = class_of[*representative as usize];
                    for (_, option) in class_of.iter().zip(0..).filter(|(of, option)| **of == class && *option != old) {
                        trial.set_pin(other, option, true);
                        self.collect(trial, of, &[change, (other, &Gene::Choice(option))], found)?;
                    }
                }
            }
            trial.set_pin(other, old, false);
        }
        Ok(())
    }

    fn collect(
        &self,
        trial: &Trial<'_>,
        of: &Architecture,
        changes: &[(usize, &Gene)],
        found: &mut Found,
    ) -> Result<(), SpaceError> {
        let mut wishes = of.clone();
        for (decision, gene) in changes {
            wishes[*decision] = (*gene).clone();
        }
        let neighbour = self.decide(&mut trial.clone(), &wishes, &mut None)?;
        if found.seen.insert(crate::architecture_digest(&neighbour)) {
            found.all.push(neighbour);
        }
        Ok(())
    }
}
