//! Spaces for tests: the two presets' shapes and random ones.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use nasd_space::{
    Condition, CountRule, Decision, Domain, IntegerRange, Place, RandomSource, RealRange, Role, SearchSpace,
    StreamRandom,
};

pub fn decision(name: &str, domain: Domain) -> Decision {
    Decision {
        name: name.into(),
        role: Role::Other,
        domain,
        place: Place::default(),
        sources: vec![],
        active_when: vec![],
    }
}

pub fn choice(name: &str, n_options: usize) -> Decision {
    decision(name, Domain::Choice((0..n_options).map(|option| format!("o{option}")).collect()))
}

pub fn space(decisions: Vec<Decision>) -> SearchSpace {
    SearchSpace { name: "test".into(), decisions, counts: vec![], forbidden: vec![] }
}

/// Six edges with five operations (Dong & Yang 2020).
pub fn nas_bench_201() -> SearchSpace {
    space((0..6).map(|edge| choice(&format!("edge{edge}"), 5)).collect())
}

/// Two cells, four nodes with two to five edges of eight operations, `none` first; two edges a node differ from
/// `none` (Liu et al. 2019).
pub fn darts() -> SearchSpace {
    let mut darts = space(vec![]);
    for cell in ["normal", "reduce"] {
        for node in 2..6 {
            let first = darts.decisions.len() as u32;
            for source in 0..node {
                darts.decisions.push(choice(&format!("{cell}/node{node}/edge{source}"), 8));
            }
            let decisions = (first..first + node).collect();
            darts.counts.push(CountRule { decisions, options: (1..8).collect(), at_least: 2, at_most: 2 });
        }
    }
    darts
}

/// A random sound description: up to eight decisions with few options, conditions, count rules and forbidden
/// combinations. It may have no architecture.
pub fn random_space(seed: u64) -> SearchSpace {
    let mut random = StreamRandom::new(seed, "random space");
    let mut below = |bound: u64| random.below(bound);
    let n = 1 + below(8) as usize;
    let mut it = space(vec![]);
    for idx in 0..n {
        let mut next = match below(8) {
            0 => decision("", Domain::Integer(IntegerRange { low: -1, high: below(3) as i64, log_scale: false })),
            1 => decision("", Domain::Real(RealRange { low: 0.5, high: 2.0, log_scale: below(2) == 0 })),
            2 => decision("", Domain::Levels((0..=below(3)).map(|level| level as f64).collect())),
            _ => choice("", 1 + below(4) as usize),
        };
        next.name = format!("d{idx}");
        for _ in 0..below(3) {
            let candidates: Vec<usize> =
                (0..idx).filter(|idx| it.decisions[*idx].domain.n_options().is_some()).collect();
            if candidates.is_empty() || below(2) == 0 {
                continue;
            }
            let parent = candidates[below(candidates.len() as u64) as usize];
            next.active_when.push(condition(&it, parent, &mut below));
        }
        it.decisions.push(next);
    }
    let optional: Vec<usize> = (0..n).filter(|idx| it.decisions[*idx].domain.n_options().is_some()).collect();
    if optional.is_empty() {
        return it;
    }
    for _ in 0..below(4) {
        let decisions: Vec<u32> = optional.iter().filter(|_| below(3) > 0).map(|decision| *decision as u32).collect();
        let most = decisions.iter().filter_map(|idx| it.decisions[*idx as usize].domain.n_options()).max().unwrap_or(0);
        let options: Vec<u32> = (0..most as u32).filter(|_| below(2) == 0).collect();
        if decisions.is_empty() || options.is_empty() {
            continue;
        }
        let at_least = below(decisions.len() as u64 + 1) as u32;
        let at_most = at_least + below(3) as u32;
        it.counts.push(CountRule { decisions, options, at_least, at_most });
    }
    for _ in 0..below(4) {
        let mut conditions = vec![];
        for _ in 0..=below(3) {
            let decision = optional[below(optional.len() as u64) as usize];
            conditions.push(condition(&it, decision, &mut below));
        }
        it.forbidden.push(conditions);
    }
    it
}

fn condition(space: &SearchSpace, decision: usize, below: &mut impl FnMut(u64) -> u64) -> Condition {
    let n_options = space.decisions[decision].domain.n_options().unwrap() as u64;
    let mut options: Vec<u32> = (0..n_options as u32).filter(|_| below(2) == 0).collect();
    if options.is_empty() {
        options.push(below(n_options) as u32);
    }
    Condition { decision: decision as u32, options }
}
