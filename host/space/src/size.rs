//! How many stand-alone architectures a space has, counted component by component.
//!
//! Forward dynamic programming over a component's decisions: a state is what its rules remember (counts so far,
//! conditions found false, forbidden combinations escaped), its value the number of ways to get there. So the
//! count is exact with conditions, count rules and forbidden combinations.

use std::{borrow::Borrow, collections::HashMap};

use crate::{
    model::{Domain, SearchSpace},
    prepared::Prepared,
    tables::{Component, Target},
};

/// States of one component at one decision, beyond which the count is given up.
const STATE_LIMIT: usize = 200_000;

impl<S: Borrow<SearchSpace>> Prepared<S> {
    /// Decimal logarithm of the number of valid stand-alone architectures. Ranges of whole numbers count their
    /// values, ranges of real numbers count as one value. Minus infinity if there is none; NaN where the rules
    /// are too entangled to count.
    pub fn log10_size(&self) -> f64 {
        self.tables().components.iter().map(|component| self.count(component)).sum()
    }

    /// Values which mean the same to all rules, by class.
    fn multiplicities(&self, decision: usize) -> Vec<f64> {
        match &self.space().decisions[decision].domain {
            Domain::Integer(range) => vec![range.high.abs_diff(range.low) as f64 + 1.0],
            Domain::Real(_) => vec![1.0],
            Domain::Choice(_) | Domain::Levels(_) => {
                let mut sizes = vec![0.0; self.tables().representatives(decision).len()];
                for class in self.tables().class_of(decision) {
                    sizes[*class as usize] += 1.0;
                }
                sizes
            }
        }
    }

    fn count(&self, component: &Component) -> f64 {
        let tables = self.tables();
        let members = tables.members(component);
        if let [only] = members
            && !component.is_ruled()
        {
            return self.multiplicities(*only as usize).iter().sum::<f64>().log10();
        }
        let (rules, forbidden) = (tables.rules_of(component), tables.forbidden_of(component));
        // A state's layout: counts of rules, combinations escaped, members found inactive.
        let (n_rules, n_forbidden) = (rules.len(), forbidden.len());
        let place = |list: &[u32], of: u32| list.iter().position(|it| *it == of).unwrap_or(0);
        let member_place: HashMap<u32, usize> = members.iter().copied().zip(n_rules + n_forbidden..).collect();
        let mut may: Vec<u32> = rules.iter().map(|rule| tables.rules[*rule as usize].may).collect();
        let mut pending: Vec<u32> =
            forbidden.iter().map(|rule| tables.n_forbidden_conditions[*rule as usize]).collect();

        let mut states: HashMap<Vec<u32>, f64> = HashMap::new();
        states.insert(vec![0; n_rules + n_forbidden + members.len()], 1.0);
        // Counts are kept below 1e200 by moving powers of ten here.
        let mut exponent = 0.0;
        for (level, member) in members.iter().enumerate() {
            let decision = *member as usize;
            let effects = tables.effects(decision);
            let sizes = self.multiplicities(decision);
            let own = n_rules + n_forbidden + level;
            for effect in effects {
                match effect.target {
                    Target::Rule(rule) => may[place(rules, rule)] -= u32::from(effect.any),
                    Target::Forbidden(rule) => pending[place(forbidden, rule)] -= 1,
                    Target::Child(_) => {}
                }
            }
            let mut after: HashMap<Vec<u32>, f64> = HashMap::with_capacity(states.len());
            for (state, ways) in &states {
                let inactive = state[own] > 0;
                let values: &[u32] = if inactive { &[u32::MAX] } else { tables.representatives(decision) };
                for (value, size) in values.iter().zip(if inactive { &[1.0] } else { sizes.as_slice() }) {
                    let mut next = state.clone();
                    next[own] = 0;
                    for effect in effects {
                        let holds = !inactive && tables.has(effect, *value);
                        match effect.target {
                            Target::Rule(rule) => next[place(rules, rule)] += u32::from(holds),
                            Target::Forbidden(rule) if !holds => next[n_rules + place(forbidden, rule)] = 1,
                            Target::Child(child) if !holds => {
                                if let Some(at) = member_place.get(&child) {
                                    next[*at] = 1;
                                }
                            }
                            Target::Forbidden(_) | Target::Child(_) => {}
                        }
                    }
                    if self.normalise(component, &mut next, &may, &pending) {
                        *after.entry(next).or_insert(0.0) += ways * size;
                    }
                }
            }
            if after.len() > STATE_LIMIT {
                return f64::NAN;
            }
            let largest = after.values().fold(0.0f64, |a, b| a.max(*b));
            if largest > 1e200 {
                exponent += 200.0;
                after.values_mut().for_each(|ways| *ways /= 1e200);
            }
            states = after;
        }
        exponent + states.values().sum::<f64>().log10()
    }

    /// Make states equal whose futures are; `false` if a rule cannot be obeyed any more.
    fn normalise(&self, component: &Component, state: &mut [u32], may: &[u32], pending: &[u32]) -> bool {
        /// The rule holds whatever follows.
        const SETTLED: u32 = 1 << 31;
        let tables = self.tables();
        let rules = tables.rules_of(component);
        for ((count, rule), may) in state.iter_mut().zip(rules).zip(may) {
            if *count >= SETTLED {
                *count = SETTLED;
                continue;
            }
            let limits = &tables.rules[*rule as usize];
            if *count > limits.at_most || *count + may < limits.at_least {
                return false;
            }
            if *count >= limits.at_least && *count + may <= limits.at_most {
                *count = SETTLED;
            }
        }
        // Of a combination looked at in full only states that escaped it are left: no difference remains.
        state[rules.len()..].iter().zip(pending).all(|(escaped, pending)| *pending > 0 || *escaped > 0)
    }
}
