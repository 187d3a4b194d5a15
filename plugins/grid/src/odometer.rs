//! Where an enumeration stands: for each decision the values it may take there, and which one it has.
//!
//! Architectures come in lexicographic order, the last decision changing fastest. What a choice may take after
//! the genes before it is asked of the space once for each prefix, so rules and conditions are respected and a
//! dead end is never entered.

use nas_strategy_sdk::{Architecture, Gene, SearchSpace, space};
use serde::{Deserialize, Serialize};

/// One decision: what it may take after the genes before it, and the place of what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wheel {
    values: Vec<Gene>,
    at: usize,
}

/// The enumeration's place. Empty before the first architecture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Odometer {
    wheels: Vec<Wheel>,
    /// The genes that the wheels show.
    genes: Architecture,
    /// The number of the architecture that comes next.
    next: u64,
    ended: bool,
}

impl Odometer {
    /// The number of the architecture that comes next, from 0.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether all architectures were given.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The architecture given last.
    pub fn last(&self) -> &Architecture {
        &self.genes
    }

    /// Decisions it stands at: none at the beginning, else all of the space's.
    pub fn n_wheels(&self) -> usize {
        self.wheels.len()
    }

    /// Whether it stands where an enumeration can: every wheel at one of its values, and the genes those.
    pub fn is_sound(&self) -> bool {
        let shown = self.wheels.iter().map(|wheel| wheel.values.get(wheel.at));
        let has_begun = self.next > 0 && self.next < u64::MAX / 2;
        shown.eq(self.genes.iter().map(Some)) && (has_begun || (self.wheels.is_empty() && self.next == 0))
    }

    /// The next architecture, after skipping up to `skip` that differ in the last decision only; says how
    /// many it skipped. None at the end. `ranges` has the values of decisions with ranges.
    pub fn advance(
        &mut self,
        search_space: &SearchSpace,
        ranges: &[Vec<Gene>],
        skip: u64,
    ) -> Result<Option<u64>, String> {
        if self.ended {
            return Ok(None);
        }
        // Nothing to turn at the beginning; but an empty space has one architecture, given once.
        if self.next > 0 && !self.turn() {
            self.ended = true;
            return Ok(None);
        }
        while let Some(decision) = search_space.decisions.get(self.wheels.len()) {
            let on_grid = ranges.get(self.wheels.len()).filter(|values| !values.is_empty());
            let values = match on_grid {
                Some(values) if space::is_active(decision, &self.genes) => values.clone(),
                Some(_) => vec![Gene::Inactive],
                None => {
                    let open = space::open_options(&self.genes)?;
                    if open.is_empty() { vec![Gene::Inactive] } else { open.into_iter().map(Gene::Choice).collect() }
                }
            };
            self.genes.extend(values.first().cloned());
            self.wheels.push(Wheel { values, at: 0 });
        }
        let mut skipped = 0;
        if let (Some(wheel), Some(gene)) = (self.wheels.last_mut(), self.genes.last_mut()) {
            let left = wheel.values.len() - 1 - wheel.at;
            skipped = skip.min(left as u64);
            wheel.at += skipped as usize;
            if let Some(value) = wheel.values.get(wheel.at) {
                gene.clone_from(value);
            }
        }
        self.next += skipped + 1;
        Ok(Some(skipped))
    }

    /// Turns the last wheel that can and takes off those after it; false if none can.
    fn turn(&mut self) -> bool {
        while let Some(mut wheel) = self.wheels.pop() {
            self.genes.pop();
            wheel.at += 1;
            if let Some(value) = wheel.values.get(wheel.at) {
                self.genes.push(value.clone());
                self.wheels.push(wheel);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(at: usize, genes: Architecture, next: u64) -> Odometer {
        let values = vec![Gene::Choice(0), Gene::Choice(1)];
        Odometer { wheels: vec![Wheel { values, at }], genes, next, ended: false }
    }

    #[test]
    fn it_stands_at_values_of_its_wheels_or_nowhere() {
        assert!(Odometer::default().is_sound());
        assert!(standing(1, vec![Gene::Choice(1)], 2).is_sound());
        for odd in [
            standing(1, vec![Gene::Choice(0)], 2),
            standing(2, vec![Gene::Choice(1)], 2),
            standing(usize::MAX, vec![], 2),
            standing(0, vec![Gene::Choice(0)], 0),
            standing(0, vec![Gene::Choice(0)], u64::MAX),
            standing(0, vec![Gene::Choice(0), Gene::Choice(0)], 1),
        ] {
            assert!(!odd.is_sound(), "{odd:?}");
        }
    }
}
