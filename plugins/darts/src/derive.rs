//! From mixtures to one architecture (DARTS, section 2.4).
//!
//! A count rule whose limits bind is obeyed the paper's way: the edges with the strongest counted option
//! keep it, the rest take their strongest option that does not count. What no rule speaks of takes its
//! strongest option. Of equals the first wins, edges and options alike. Where the space has further rules
//! that the result would break, decisions are made in order instead, each its strongest option that leaves
//! a valid completion.

use nas_strategy_sdk::{Architecture, CountRule, Decision, FailureKind, Gene, SearchSpace, space};

/// The option of NAS-Bench-201 and DARTS that computes nothing.
const NONE: &str = "none";

/// The architecture that the mixtures' weights amount to; it obeys the space's rules.
pub fn derive(search_space: &SearchSpace, shares: &[Vec<f64>], allow_none: bool) -> Architecture {
    let derived = by_rules(search_space, shares, allow_none);
    match space::check(&derived) {
        Err(failure) if failure.kind == FailureKind::InvalidArchitecture => {
            in_order(search_space, shares).unwrap_or(derived)
        }
        _ => derived,
    }
}

/// By count rules, each by itself.
pub(crate) fn by_rules(search_space: &SearchSpace, shares: &[Vec<f64>], allow_none: bool) -> Architecture {
    let mut options: Vec<Option<u32>> = vec![None; search_space.decisions.len()];
    for rule in &search_space.counts {
        for (decision, option) in by_rule(rule, shares) {
            if let Some(place) = options.get_mut(decision as usize) {
                *place = option;
            }
        }
    }
    let mut genes: Architecture = Vec::with_capacity(options.len());
    for ((decision, option), shares) in search_space.decisions.iter().zip(options).zip(shares) {
        let option = option.or_else(|| freely(decision, shares, allow_none));
        genes.push(match option {
            Some(option) if space::is_active(decision, &genes) => Gene::Choice(option),
            _ => Gene::Inactive,
        });
    }
    genes
}

/// What one rule makes of its decisions.
fn by_rule(rule: &CountRule, shares: &[Vec<f64>]) -> Vec<(u32, Option<u32>)> {
    let mut edges: Vec<Edge> =
        rule.decisions.iter().filter_map(|decision| Edge::new(*decision, rule, shares)).collect();
    // Stable: of equally strong edges the first stays first.
    edges.sort_by(|left, right| right.strength.total_cmp(&left.strength));
    // Where fewer may count than a rule allows at most, DARTS has no say: it keeps `at_most`.
    let chosen = edges.iter().enumerate().map(|(rank, edge)| {
        let keeps = rank < rule.at_most as usize;
        (edge.decision, if keeps { edge.counted.or(edge.uncounted) } else { edge.uncounted.or(edge.counted) })
    });
    chosen.collect()
}

struct Edge {
    decision: u32,
    /// Weight of its strongest counted option.
    strength: f64,
    counted: Option<u32>,
    uncounted: Option<u32>,
}

impl Edge {
    fn new(decision: u32, rule: &CountRule, shares: &[Vec<f64>]) -> Option<Self> {
        let shares = shares.get(decision as usize)?;
        let counted = strongest(shares, |option| rule.options.contains(&option));
        let uncounted = strongest(shares, |option| !rule.options.contains(&option));
        let strength = counted.and_then(|option| shares.get(option as usize)).copied().unwrap_or(f64::NEG_INFINITY);
        Some(Self { decision, strength, counted, uncounted })
    }
}

fn freely(decision: &Decision, shares: &[f64], allow_none: bool) -> Option<u32> {
    let none = decision.option(NONE).filter(|_| !allow_none);
    strongest(shares, |option| Some(option) != none).or(none)
}

/// The strongest of the options that `may` be; of equals the first.
fn strongest(shares: &[f64], may: impl Fn(u32) -> bool) -> Option<u32> {
    let mut best: Option<(u32, f64)> = None;
    for (share, option) in shares.iter().copied().zip(0..) {
        if may(option) && best.is_none_or(|(_, largest)| share > largest) {
            best = Some((option, share));
        }
    }
    best.map(|(option, _)| option)
}

/// Decision by decision, by the space's own look-ahead.
fn in_order(search_space: &SearchSpace, shares: &[Vec<f64>]) -> Option<Architecture> {
    let mut genes: Architecture = Vec::with_capacity(search_space.decisions.len());
    for shares in shares {
        let open = space::open_options(&genes).ok()?;
        let option = strongest(shares, |option| open.contains(&option));
        genes.push(option.map_or(Gene::Inactive, Gene::Choice));
    }
    Some(genes)
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::Condition;
    use nas_strategy_sdk::testing::{Host, edges_cell, one_max};

    use super::*;

    const OPTIONS: [&str; 3] = ["none", "skip_connect", "conv"];

    /// Derives after checking that the result obeys the space.
    fn derived(space: &SearchSpace, shares: &[Vec<f64>], allow_none: bool) -> Vec<Option<u32>> {
        Host::new(space, 0).install();
        let genes = derive(space, shares, allow_none);
        space::check(&genes).unwrap();
        genes.iter().map(Gene::chosen).collect()
    }

    #[test]
    fn two_edges_a_node_survive_those_with_the_strongest_option_besides_none() {
        let space = edges_cell(1, 2, &OPTIONS);
        let shares = [
            // Node 2 has two edges: both stay, `none` or not.
            vec![0.9, 0.04, 0.06],
            vec![0.2, 0.5, 0.3],
            // Node 3 has three: the first is strongest only by `none`.
            vec![0.8, 0.1, 0.1],
            vec![0.1, 0.3, 0.6],
            vec![0.5, 0.3, 0.2],
        ];
        assert_eq!(derived(&space, &shares, true), [Some(2), Some(1), Some(0), Some(2), Some(1)]);
    }

    #[test]
    fn of_equals_the_first_edge_and_the_first_option_win() {
        let space = edges_cell(1, 3, &OPTIONS);
        let third = vec![1.0 / 3.0; 3];
        let expected = [1, 1, 1, 1, 0, 1, 1, 0, 0].map(Some);
        assert_eq!(derived(&space, &vec![third; 9], true), expected);
    }

    #[test]
    fn without_rules_none_is_allowed_or_not() {
        let mut space = edges_cell(1, 1, &OPTIONS);
        space.counts.clear();
        let shares = [vec![0.6, 0.1, 0.3], vec![0.2, 0.5, 0.3]];
        assert_eq!(derived(&space, &shares, true), [Some(0), Some(1)]);
        assert_eq!(derived(&space, &shares, false), [Some(2), Some(1)]);
    }

    #[test]
    fn what_becomes_inactive_by_the_choice_before_it_is_left_out() {
        let mut space = one_max(2);
        space.decisions[1].active_when = vec![Condition { decision: 0, options: vec![1] }];
        assert_eq!(derived(&space, &[vec![0.6, 0.4], vec![0.1, 0.9]], true), [Some(0), None]);
        assert_eq!(derived(&space, &[vec![0.4, 0.6], vec![0.1, 0.9]], true), [Some(1), Some(1)]);
    }

    #[test]
    fn a_forbidden_combination_gives_way_to_the_strongest_valid_choice_in_order() {
        let mut space = one_max(2);
        let both = |decision| Condition { decision, options: vec![1] };
        space.forbidden = vec![vec![both(0), both(1)]];
        assert_eq!(derived(&space, &[vec![0.3, 0.7], vec![0.1, 0.9]], true), [Some(1), Some(0)]);
    }
}
