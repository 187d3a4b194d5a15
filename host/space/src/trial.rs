//! A partial assignment with exact look-ahead: can it still become a valid architecture?
//!
//! Bounds on what each rule can still count prune; where they alone do not decide, a depth-first search over
//! the component's remaining decisions does, one option a class, remembering states that failed. The search
//! is exact and gives up with an error after [`STEP_LIMIT`] steps.

use std::collections::HashSet;

use crate::{
    error::SpaceError,
    model::SearchSpace,
    tables::{Component, Effect, Tables, Target},
};

/// The decision has no value because it is not active.
pub(crate) const INACTIVE: u32 = u32::MAX;
/// The decision may take any value.
pub(crate) const FREE: u32 = u32::MAX - 1;
/// Steps of one look-ahead.
pub(crate) const STEP_LIMIT: u32 = 100_000;
/// Steps before failed states are remembered: short searches need no memory.
const MEMORY_AFTER: u32 = 64;

#[derive(Clone)]
pub(crate) struct Trial<'a> {
    tables: &'a Tables,
    space: &'a SearchSpace,
    counts: Vec<u32>,
    may: Vec<u32>,
    must: Vec<u32>,
    /// For each decision, its conditions found false.
    falses: Vec<u32>,
    /// For each forbidden combination, conditions not looked at yet, and those found false.
    pending: Vec<u32>,
    broken: Vec<u32>,
    /// For each decision, the one value it may take if it is active.
    pins: Vec<u32>,
    /// Whether it must be active.
    required: Vec<bool>,
    n_required: u32,
    values: Vec<u32>,
    next: Vec<u32>,
}

impl<'a> Trial<'a> {
    pub fn new(space: &'a SearchSpace, tables: &'a Tables) -> Self {
        let n = tables.n_decisions();
        Self {
            tables,
            space,
            counts: vec![0; tables.rules.len()],
            may: tables.rules.iter().map(|rule| rule.may).collect(),
            must: tables.rules.iter().map(|rule| rule.must).collect(),
            falses: vec![0; n],
            pending: tables.n_forbidden_conditions.clone(),
            broken: vec![0; tables.n_forbidden_conditions.len()],
            pins: vec![FREE; n],
            required: vec![false; n],
            n_required: 0,
            values: Vec::new(),
            next: Vec::new(),
        }
    }

    /// Whether the decision is active, given values for all before it.
    pub fn is_active(&self, decision: usize) -> bool {
        self.falses[decision] == 0
    }

    pub fn pin(&self, decision: usize) -> u32 {
        self.pins[decision]
    }

    /// Whether some decision must be active.
    pub fn has_required(&self) -> bool {
        self.n_required > 0
    }

    /// What the decision, not decided yet, adds to the upper and lower bound of a rule.
    fn contribution(&self, decision: usize, effect: &Effect) -> (u32, u32) {
        let surely_active = self.tables.n_conditions[decision] == 0 || self.required[decision];
        let (may, must) = match self.pins[decision] {
            FREE => (effect.any, effect.all),
            pin => {
                let counts = self.tables.has(effect, pin);
                (counts, counts)
            }
        };
        (may.into(), (must && surely_active).into())
    }

    /// Restrict a decision that is not decided yet.
    pub fn set_pin(&mut self, decision: usize, pin: u32, required: bool) {
        let tables = self.tables;
        for effect in tables.effects(decision) {
            if let Target::Rule(rule) = effect.target {
                let (may, must) = self.contribution(decision, effect);
                self.may[rule as usize] -= may;
                self.must[rule as usize] -= must;
            }
        }
        self.n_required -= u32::from(self.required[decision]);
        self.n_required += u32::from(required);
        self.pins[decision] = pin;
        self.required[decision] = required;
        for effect in tables.effects(decision) {
            if let Target::Rule(rule) = effect.target {
                let (may, must) = self.contribution(decision, effect);
                self.may[rule as usize] += may;
                self.must[rule as usize] += must;
            }
        }
    }

    /// Decide. All decisions before it of the same component must be decided.
    pub fn assign(&mut self, decision: usize, value: u32) {
        let tables = self.tables;
        for effect in tables.effects(decision) {
            let holds = value != INACTIVE && tables.has(effect, value);
            match effect.target {
                Target::Rule(rule) => {
                    let (may, must) = self.contribution(decision, effect);
                    let rule = rule as usize;
                    self.may[rule] -= may;
                    self.must[rule] -= must;
                    self.counts[rule] += u32::from(holds);
                }
                Target::Child(child) => self.falses[child as usize] += u32::from(!holds),
                Target::Forbidden(rule) => {
                    self.pending[rule as usize] -= 1;
                    self.broken[rule as usize] += u32::from(!holds);
                }
            }
        }
    }

    /// Take a decision back; the last made of its component first.
    pub fn unassign(&mut self, decision: usize, value: u32) {
        let tables = self.tables;
        for effect in tables.effects(decision) {
            let holds = value != INACTIVE && tables.has(effect, value);
            match effect.target {
                Target::Rule(rule) => {
                    let (may, must) = self.contribution(decision, effect);
                    let rule = rule as usize;
                    self.may[rule] += may;
                    self.must[rule] += must;
                    self.counts[rule] -= u32::from(holds);
                }
                Target::Child(child) => self.falses[child as usize] -= u32::from(!holds),
                Target::Forbidden(rule) => {
                    self.pending[rule as usize] += 1;
                    self.broken[rule as usize] -= u32::from(!holds);
                }
            }
        }
    }

    fn rule_can_hold(&self, rule: u32) -> bool {
        let idx = rule as usize;
        let limits = &self.tables.rules[idx];
        self.counts[idx] + self.may[idx] >= limits.at_least && self.counts[idx] + self.must[idx] <= limits.at_most
    }

    fn is_forbidden(&self, rule: u32) -> bool {
        self.pending[rule as usize] == 0 && self.broken[rule as usize] == 0
    }

    /// Whether a decision just made leaves the bounds of all it bears upon intact.
    fn is_consistent(&self, decision: usize) -> bool {
        self.tables.effects(decision).iter().all(|effect| match effect.target {
            Target::Rule(rule) => self.rule_can_hold(rule),
            Target::Child(child) => !self.required[child as usize] || self.falses[child as usize] == 0,
            Target::Forbidden(rule) => !self.is_forbidden(rule),
        })
    }

    /// Whether a component can be completed if `decision` (the next of it) takes `value`.
    pub fn may_take(&mut self, decision: usize, value: u32) -> Result<bool, SpaceError> {
        let component = self.tables.component(decision);
        if component.simple
            && let [effect] = self.tables.effects(decision)
            && let Target::Rule(rule) = effect.target
        {
            // The common case (an edge that is kept or not) without changing anything.
            let rule = rule as usize;
            let limits = &self.tables.rules[rule];
            let (may, must) = self.contribution(decision, effect);
            let count = self.counts[rule] + u32::from(self.tables.has(effect, value));
            return Ok(
                count + self.may[rule] - may >= limits.at_least && count + self.must[rule] - must <= limits.at_most
            );
        }
        self.assign(decision, value);
        let tables = self.tables;
        let component = tables.component(decision);
        let answer = if component.simple {
            Ok(self.is_consistent(decision))
        } else if self.is_consistent(decision) {
            let members = tables.members(component);
            let after = members.partition_point(|member| *member as usize <= decision);
            self.completes(component, after)
        } else {
            Ok(false)
        };
        self.unassign(decision, value);
        answer
    }

    /// Whether a component can be completed from its `from`-th member on, all before it being decided.
    pub fn completes(&mut self, component: &Component, from: usize) -> Result<bool, SpaceError> {
        let tables = self.tables;
        let bounds = tables.rules_of(component).iter().all(|rule| self.rule_can_hold(*rule))
            && !tables.forbidden_of(component).iter().any(|rule| self.is_forbidden(*rule));
        if !bounds || component.simple || (!component.is_ruled() && self.n_required == 0) {
            return Ok(bounds);
        }
        let members = tables.members(component).get(from..).unwrap_or_default();
        let mut values = std::mem::take(&mut self.values);
        let mut next = std::mem::take(&mut self.next);
        let answer = self.search(component, members, &mut values, &mut next);
        for (member, value) in members.iter().zip(&values).rev() {
            self.unassign(*member as usize, *value);
        }
        values.clear();
        next.clear();
        self.values = values;
        self.next = next;
        answer
    }

    /// Depth first; what is left in `values` is for the caller to take back.
    fn search(
        &mut self,
        component: &Component,
        members: &[u32],
        values: &mut Vec<u32>,
        next: &mut Vec<u32>,
    ) -> Result<bool, SpaceError> {
        let tables = self.tables;
        let mut failed: HashSet<Vec<u32>> = HashSet::new();
        let mut steps = 0u32;
        next.push(0);
        loop {
            let level = values.len();
            let Some(decision) = members.get(level).map(|member| *member as usize) else { return Ok(true) };
            let representatives = tables.representatives(decision);
            let mut entered = false;
            while let Some(candidate) = next.last_mut() {
                let number = *candidate as usize;
                *candidate += 1;
                let value = if self.falses[decision] > 0 {
                    if number > 0 || self.required[decision] {
                        break;
                    }
                    INACTIVE
                } else if self.pins[decision] != FREE {
                    if number > 0 {
                        break;
                    }
                    self.pins[decision]
                } else {
                    let Some(value) = representatives.get(number) else { break };
                    *value
                };
                steps += 1;
                if steps > STEP_LIMIT {
                    let decisions = self.space.names(members.iter().copied());
                    return Err(SpaceError::LookAhead { decisions, steps: STEP_LIMIT });
                }
                self.assign(decision, value);
                if self.is_consistent(decision)
                    && (failed.is_empty() || !failed.contains(&self.state(component, &members[level + 1..])))
                {
                    values.push(value);
                    next.push(0);
                    entered = true;
                    break;
                }
                self.unassign(decision, value);
            }
            if entered {
                continue;
            }
            if steps > MEMORY_AFTER {
                failed.insert(self.state(component, &members[level..]));
            }
            next.pop();
            let Some(value) = values.pop() else { return Ok(false) };
            self.unassign(members[level - 1] as usize, value);
        }
    }

    /// All that the completions of the rest depend upon.
    fn state(&self, component: &Component, rest: &[u32]) -> Vec<u32> {
        let rules = self.tables.rules_of(component);
        let forbidden = self.tables.forbidden_of(component);
        let mut state = Vec::with_capacity(1 + rules.len() + forbidden.len() + rest.len());
        state.push(rest.len() as u32);
        state.extend(rules.iter().map(|rule| self.counts[*rule as usize]));
        state.extend(forbidden.iter().map(|rule| u32::from(self.broken[*rule as usize] > 0)));
        state.extend(rest.iter().map(|member| u32::from(self.falses[*member as usize] > 0)));
        state
    }
}
