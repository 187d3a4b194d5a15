//! A space's rules, indexed by decision, for whoever searches among them.
//!
//! Decisions that share a rule, a forbidden combination or a condition form a *component*; components do not
//! influence each other. What an option means to the rules is a set of bits, one for each *effect* of its
//! decision; options with equal bits form a *class* and need looking at only once.

use std::ops::Range;

use crate::{error::SpaceError, model::SearchSpace};

/// What the value of a decision bears upon.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// It may count towards a count rule.
    Rule(u32),
    /// It may leave a later decision inactive.
    Child(u32),
    /// It may break (that is, obey) a forbidden combination.
    Forbidden(u32),
}

/// One bearing of a decision, with the options for which it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect {
    pub target: Target,
    mask: u32,
    /// Some option counts.
    pub any: bool,
    /// Every option counts.
    pub all: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rule {
    pub at_least: u32,
    pub at_most: u32,
    /// Decisions which may count, and which must, before anything is decided.
    pub may: u32,
    pub must: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Component {
    pub members: Range<u32>,
    pub rules: Range<u32>,
    pub forbidden: Range<u32>,
    /// Bounds on counts decide alone: one rule over decisions that are always active.
    pub simple: bool,
}

impl Component {
    /// Whether any value may lead to a dead end.
    pub fn is_ruled(&self) -> bool {
        self.rules.start < self.rules.end || self.forbidden.start < self.forbidden.end
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// Options of each decision; a range has one.
    pub n_options: Vec<u32>,
    pub n_conditions: Vec<u32>,
    effects: Vec<Effect>,
    effects_at: Vec<u32>,
    masks: Vec<u64>,
    options_at: Vec<u32>,
    class_of: Vec<u32>,
    representatives: Vec<u32>,
    representatives_at: Vec<u32>,
    pub rules: Vec<Rule>,
    pub n_forbidden_conditions: Vec<u32>,
    pub component_of: Vec<u32>,
    pub components: Vec<Component>,
    members: Vec<u32>,
    component_rules: Vec<u32>,
    component_forbidden: Vec<u32>,
}

fn span(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn root(parents: &mut [u32], mut of: u32) -> u32 {
    while parents[of as usize] != of {
        let up = parents[parents[of as usize] as usize];
        parents[of as usize] = up;
        of = up;
    }
    of
}

fn join(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parents, a), root(parents, b));
    // The earliest decision stands for its component.
    if a < b {
        parents[b as usize] = a;
    } else {
        parents[a as usize] = b;
    }
}

impl Tables {
    pub fn new(space: &SearchSpace) -> Result<Self, SpaceError> {
        let n = space.decisions.len();
        let malformed = |at: String, problem: String| Err(SpaceError::Malformed { at, problem });
        let mut tables = Tables::default();
        let mut parents: Vec<u32> = (0..n as u32).collect();
        let mut unordered: Vec<(u32, Target, &[u32])> = Vec::with_capacity(n + 8);

        let mut options_at = 0u32;
        tables.n_options.reserve(n);
        tables.options_at.reserve(n + 1);
        for (idx, decision) in space.decisions.iter().enumerate() {
            let n_options = match decision.domain.n_options() {
                None => 1,
                Some(0) => return malformed(decision.name.clone(), "a decision needs at least one option".into()),
                Some(n_options) => u32::try_from(n_options).unwrap_or(u32::MAX),
            };
            if n_options > MAX_OPTIONS {
                return malformed(decision.name.clone(), format!("at most {MAX_OPTIONS} options are possible"));
            }
            tables.n_options.push(n_options);
            tables.n_conditions.push(decision.active_when.len() as u32);
            tables.options_at.push(options_at);
            options_at = options_at.saturating_add(n_options);
            for condition in &decision.active_when {
                if condition.decision as usize >= idx {
                    return malformed(
                        decision.name.clone(),
                        format!("its condition names decision {}, which is not an earlier one", condition.decision),
                    );
                }
                if space.decisions[condition.decision as usize].domain.n_options().is_none() {
                    return malformed(
                        decision.name.clone(),
                        format!("its condition names decision {}, which has no options", condition.decision),
                    );
                }
                unordered.push((condition.decision, Target::Child(idx as u32), &condition.options));
                join(&mut parents, condition.decision, idx as u32);
            }
        }
        tables.options_at.push(options_at);

        for (rule, count) in space.counts.iter().enumerate() {
            for decision in &count.decisions {
                if space.decisions.get(*decision as usize).is_none_or(|it| it.domain.n_options().is_none()) {
                    return malformed(
                        format!("count rule {rule}"),
                        format!("decision {decision} does not exist or has no options"),
                    );
                }
                unordered.push((*decision, Target::Rule(rule as u32), &count.options));
                join(&mut parents, count.decisions[0], *decision);
            }
            tables.rules.push(Rule { at_least: count.at_least, at_most: count.at_most, may: 0, must: 0 });
            if count.decisions.is_empty() {
                return malformed(format!("count rule {rule}"), "it counts no decisions".into());
            }
        }
        for (rule, conditions) in space.forbidden.iter().enumerate() {
            for condition in conditions {
                if space.decisions.get(condition.decision as usize).is_none_or(|it| it.domain.n_options().is_none()) {
                    return malformed(
                        format!("forbidden combination {rule}"),
                        format!("decision {} does not exist or has no options", condition.decision),
                    );
                }
                unordered.push((condition.decision, Target::Forbidden(rule as u32), &condition.options));
                join(&mut parents, conditions[0].decision, condition.decision);
            }
            if conditions.is_empty() {
                return malformed(format!("forbidden combination {rule}"), "it has no conditions".into());
            }
            tables.n_forbidden_conditions.push(conditions.len() as u32);
        }

        tables.index_effects(unordered);
        tables.index_classes();
        tables.index_components(&mut parents, space);
        Ok(tables)
    }

    fn index_effects(&mut self, mut unordered: Vec<(u32, Target, &[u32])>) {
        unordered.sort_by_key(|(decision, _, _)| *decision);
        self.effects.reserve(unordered.len());
        self.effects_at.reserve(self.n_options.len() + 1);
        let mut next = unordered.into_iter().peekable();
        for decision in 0..self.n_options.len() {
            self.effects_at.push(self.effects.len() as u32);
            let n_options = self.n_options[decision];
            let words = n_options.div_ceil(64) as usize;
            while let Some((_, target, options)) = next.next_if(|(of, _, _)| *of as usize == decision) {
                let mask = self.masks.len();
                self.masks.resize(mask + words, 0);
                for option in options.iter().filter(|option| **option < n_options) {
                    self.masks[mask + (option / 64) as usize] |= 1 << (option % 64);
                }
                let counted: u32 = self.masks[mask..].iter().map(|word| word.count_ones()).sum();
                let (any, all) = (counted > 0, counted == n_options);
                let unconditional = self.n_conditions[decision] == 0;
                if let Target::Rule(rule) = target {
                    let rule = &mut self.rules[rule as usize];
                    rule.may += u32::from(any);
                    rule.must += u32::from(all && unconditional);
                }
                self.effects.push(Effect { target, mask: mask as u32, any, all });
            }
        }
        self.effects_at.push(self.effects.len() as u32);
    }

    fn index_classes(&mut self) {
        let n = self.n_options.len();
        self.class_of.reserve(self.options_at[n] as usize);
        self.representatives.reserve(2 * n);
        self.representatives_at.reserve(n + 1);
        for decision in 0..n {
            let start = self.representatives.len();
            self.representatives_at.push(start as u32);
            let range = self.effects_at[decision] as usize..self.effects_at[decision + 1] as usize;
            for option in 0..self.n_options[decision] {
                let effects = &self.effects[range.clone()];
                let same =
                    |other: &u32| effects.iter().all(|effect| self.has(effect, option) == self.has(effect, *other));
                let known = self.representatives[start..].iter().position(same);
                let class = known.unwrap_or_else(|| {
                    self.representatives.push(option);
                    self.representatives.len() - start - 1
                });
                self.class_of.push(class as u32);
            }
        }
        self.representatives_at.push(self.representatives.len() as u32);
    }

    fn index_components(&mut self, parents: &mut [u32], space: &SearchSpace) {
        let n = parents.len();
        self.component_of = vec![0; n];
        let mut sizes: Vec<u32> = Vec::with_capacity(n);
        for decision in 0..n {
            let root = root(parents, decision as u32) as usize;
            if root == decision {
                self.component_of[decision] = sizes.len() as u32;
                sizes.push(1);
            } else {
                // The root is an earlier decision.
                let component = self.component_of[root];
                self.component_of[decision] = component;
                sizes[component as usize] += 1;
            }
        }
        let mut at = 0;
        self.components = sizes
            .iter()
            .map(|size| {
                let members = at..at;
                at += size;
                Component { members, ..Component::default() }
            })
            .collect();
        self.members = vec![0; n];
        for decision in 0..n {
            let component = &mut self.components[self.component_of[decision] as usize];
            self.members[component.members.end as usize] = decision as u32;
            component.members.end += 1;
        }

        let owner = |decision: u32| self.component_of[decision as usize];
        let mut rules: Vec<(u32, u32)> =
            space.counts.iter().zip(0..).map(|(count, rule)| (owner(count.decisions[0]), rule)).collect();
        rules.sort_unstable();
        let mut forbidden: Vec<(u32, u32)> =
            space.forbidden.iter().zip(0..).map(|(conditions, rule)| (owner(conditions[0].decision), rule)).collect();
        forbidden.sort_unstable();
        for (list, into, which) in
            [(rules, &mut self.component_rules, 0), (forbidden, &mut self.component_forbidden, 1)]
        {
            for (component, rule) in list {
                let component = &mut self.components[component as usize];
                let range = if which == 0 { &mut component.rules } else { &mut component.forbidden };
                if range.start == range.end {
                    *range = into.len() as u32..into.len() as u32;
                }
                range.end += 1;
                into.push(rule);
            }
        }
        for component in &mut self.components {
            let members = &self.members[span(&component.members)];
            component.simple = component.rules.end - component.rules.start == 1
                && component.forbidden.start == component.forbidden.end
                && members.iter().all(|member| self.n_conditions[*member as usize] == 0);
        }
    }

    /// Number of decisions.
    pub fn n_decisions(&self) -> usize {
        self.n_options.len()
    }

    pub fn effects(&self, decision: usize) -> &[Effect] {
        &self.effects[self.effects_at[decision] as usize..self.effects_at[decision + 1] as usize]
    }

    /// Whether an option is among those for which the effect holds.
    pub fn has(&self, effect: &Effect, option: u32) -> bool {
        self.masks[effect.mask as usize + (option / 64) as usize] >> (option % 64) & 1 == 1
    }

    /// One option of each class of a decision.
    pub fn representatives(&self, decision: usize) -> &[u32] {
        &self.representatives
            [self.representatives_at[decision] as usize..self.representatives_at[decision + 1] as usize]
    }

    /// The class of each option of a decision.
    pub fn class_of(&self, decision: usize) -> &[u32] {
        &self.class_of[self.options_at[decision] as usize..self.options_at[decision + 1] as usize]
    }

    pub fn component(&self, decision: usize) -> &Component {
        &self.components[self.component_of[decision] as usize]
    }

    /// A component's decisions, ascending.
    pub fn members(&self, component: &Component) -> &[u32] {
        &self.members[span(&component.members)]
    }

    pub fn rules_of(&self, component: &Component) -> &[u32] {
        &self.component_rules[span(&component.rules)]
    }

    pub fn forbidden_of(&self, component: &Component) -> &[u32] {
        &self.component_forbidden[span(&component.forbidden)]
    }
}

/// Most options of one decision.
const MAX_OPTIONS: u32 = 1 << 20;
