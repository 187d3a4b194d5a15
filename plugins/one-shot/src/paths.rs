//! The paths of a space, and the dropping of some of them (Bender et al., ICML 2018, section 3.2).
//!
//! A path is an option that computes something. Paths *come together* where their outputs are added up: those of a
//! node's operations, whichever edge they are on; those of a node's inputs that can each be off or on; the options
//! of a decision that chooses one input. Each path of `k` that come together is dropped by itself with probability
//! `r^(1/k)`, so that all are with probability `r`.
//!
//! A decision all of whose paths are dropped takes its option that computes nothing. One without such an option (a
//! choice block, a chosen input) keeps one path, drawn evenly: without it there would be no network.

use std::collections::BTreeMap;

use nas_strategy_sdk::{Architecture, Gene, Role, SearchSpace, WeightedOption, random, space};

/// Names of options that compute nothing.
const NOTHING: [&str; 3] = ["off", "none", "zero"];

/// What is known of a space's paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Paths {
    by_decision: Vec<Options>,
}

#[derive(Clone, Debug, PartialEq)]
struct Options {
    /// Those that compute something, ascending.
    paths: Vec<u32>,
    /// Paths that come together with them, themselves included.
    k: u32,
    /// The option that computes nothing, if there is one.
    nothing: Option<u32>,
}

/// Decisions whose paths come together: of one place and role, and for chosen inputs of one decision.
type Junction = (u32, u32, String, Option<usize>);

impl Paths {
    /// Of a space of choices.
    pub fn of(search_space: &SearchSpace) -> Self {
        let mut sizes: BTreeMap<Junction, u32> = BTreeMap::new();
        let mut junctions: Vec<(Junction, Vec<u32>, Option<u32>)> = Vec::new();
        for (idx, decision) in search_space.decisions.iter().enumerate() {
            let nothing: Vec<u32> = NOTHING.iter().filter_map(|name| decision.option(name)).collect();
            let n_options = decision.n_options().unwrap_or(0) as u32;
            let paths: Vec<u32> = (0..n_options).filter(|option| !nothing.contains(option)).collect();
            let alone = (decision.role == Role::Input).then_some(idx);
            let junction = (decision.place.cell, decision.place.node, format!("{:?}", decision.role), alone);
            *sizes.entry(junction.clone()).or_default() += paths.len() as u32;
            junctions.push((junction, paths, nothing.first().copied()));
        }
        let options = junctions.into_iter().map(|(junction, paths, nothing)| {
            let k = sizes.get(&junction).copied().unwrap_or(1).max(1);
            Options { paths, k, nothing }
        });
        Self { by_decision: options.collect() }
    }

    /// The number of paths that come together with a decision's.
    pub fn k(&self, decision: usize) -> Option<u32> {
        self.by_decision.get(decision).map(|options| options.k)
    }

    /// Every path on.
    pub fn all(&self, search_space: &SearchSpace) -> Architecture {
        self.keep(search_space, |_, _| true)
    }

    /// Each path dropped with `ramp * r^(1/k)`; `ramp` goes from 0 to 1 in training. Draws a word a path, and one more
    /// where a path has to be kept.
    pub fn drop(&self, search_space: &SearchSpace, r: f64, ramp: f64) -> Architecture {
        let n_paths = self.by_decision.iter().map(|options| options.paths.len() as u32).sum();
        let mut words = random::fill(n_paths).into_iter();
        self.keep(search_space, |k, _| {
            let share = (words.next().unwrap_or_default() >> 11) as f64 / (1u64 << 53) as f64;
            share >= ramp * r.powf(1.0 / f64::from(k))
        })
    }

    /// Asks for every path of every decision, in order, whether to keep it.
    fn keep(&self, search_space: &SearchSpace, mut is_kept: impl FnMut(u32, u32) -> bool) -> Architecture {
        let mut genes = Architecture::with_capacity(self.by_decision.len());
        for (decision, options) in search_space.decisions.iter().zip(&self.by_decision) {
            let kept = options.paths.iter().filter(|path| is_kept(options.k, **path));
            let listed = |path: &u32| WeightedOption { index: *path, weight: 1.0 };
            let mut kept: Vec<WeightedOption> = kept.map(listed).collect();
            let gene = match options.nothing {
                _ if !space::is_active(decision, &genes) => Gene::Inactive,
                Some(nothing) if kept.is_empty() => Gene::Choice(nothing),
                None if kept.is_empty() => {
                    let drawn = random::below(options.paths.len().max(1) as u64) as usize;
                    kept.extend(options.paths.get(drawn).map(listed));
                    Gene::Mixture(kept)
                }
                _ => Gene::Mixture(kept),
            };
            genes.push(gene);
        }
        genes
    }
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::Condition;
    use nas_strategy_sdk::testing::{Host, Row, choice_space, edges_cell, one_max};

    use super::*;

    fn blocks() -> SearchSpace {
        let switch = ["off", "on"];
        let rows: Vec<Row> = vec![
            ("in0", Role::Skip, (0, 2), &switch),
            ("in1", Role::Skip, (0, 2), &switch),
            ("conv", Role::Operation, (0, 2), &switch),
            ("pool", Role::Operation, (0, 2), &switch),
            ("identity", Role::Operation, (0, 2), &switch),
            ("chosen", Role::Input, (0, 3), &["0", "1", "2"]),
            ("chosen too", Role::Input, (0, 3), &["0", "1", "2"]),
            ("op", Role::Operation, (0, 3), &["conv", "pool", "none"]),
        ];
        choice_space(&rows)
    }

    #[test]
    fn paths_that_are_added_up_come_together() {
        let paths = Paths::of(&blocks());
        let ks: Vec<_> = (0..8).map(|decision| paths.k(decision).unwrap()).collect();
        assert_eq!(ks, [2, 2, 3, 3, 3, 3, 3, 2]);
        // Two edges of two operations into the first node, three into the second; `none` is no path.
        let edges = edges_cell(1, 2, &["none", "skip_connect", "conv"]);
        let paths = Paths::of(&edges);
        let ks: Vec<_> = (0..5).map(|decision| paths.k(decision).unwrap()).collect();
        assert_eq!(ks, [4, 4, 6, 6, 6]);
    }

    #[test]
    fn paths_are_dropped_as_often_as_the_kth_root_of_r_says() {
        let space = blocks();
        Host::new(&space, 1).install();
        let paths = Paths::of(&space);
        for (r, ramp) in [(0.1, 1.0), (0.1, 0.5), (0.6, 1.0), (0.3, 0.0)] {
            let n_steps = 20_000;
            let (mut dropped, mut n_all_dropped) = (vec![0u32; space.decisions.len()], 0u32);
            for _ in 0..n_steps {
                let genes = paths.drop(&space, r, ramp);
                let kept = |decision: usize| match &genes[decision] {
                    Gene::Mixture(listed) => listed.len() as u32,
                    _ => 0,
                };
                for (decision, count) in dropped.iter_mut().enumerate() {
                    *count += paths.by_decision[decision].paths.len() as u32 - kept(decision);
                }
                n_all_dropped += u32::from(kept(2) + kept(3) + kept(4) == 0);
            }
            for (decision, count) in dropped.iter().enumerate() {
                let options = &paths.by_decision[decision];
                let rate = ramp * r.powf(1.0 / f64::from(options.k));
                // Of a decision that has to keep one, that one is not dropped when all are.
                let n_paths = options.paths.len() as i32;
                let spared = if options.nothing.is_none() { rate.powi(n_paths) / f64::from(n_paths) } else { 0.0 };
                let expected = rate - spared;
                let n_draws = f64::from(n_steps) * options.paths.len() as f64;
                let (found, deviation) = (f64::from(*count) / n_draws, (expected * (1.0 - expected) / n_draws).sqrt());
                assert!((found - expected).abs() <= 5.0 * deviation, "r {r}: {found} for {expected}");
            }
            // All three operations at once with probability r where the ramp is over.
            let expected = ramp.powi(3) * r;
            let deviation = (expected * (1.0 - expected) / f64::from(n_steps)).sqrt();
            assert!((f64::from(n_all_dropped) / f64::from(n_steps) - expected).abs() <= 5.0 * deviation);
        }
    }

    #[test]
    fn what_computes_nothing_is_never_listed() {
        let space = blocks();
        Host::new(&space, 2).install();
        let paths = Paths::of(&space);
        let mut dropped: Vec<_> = (0..50).map(|_| paths.drop(&space, 0.2, 0.7)).collect();
        dropped.push(paths.all(&space));
        for genes in dropped {
            for (decision, gene) in space.decisions.iter().zip(&genes) {
                let listed = match gene {
                    Gene::Mixture(listed) => listed.as_slice(),
                    _ => &[],
                };
                assert!(!listed.is_empty() || gene.chosen() == decision.option("off").or(decision.option("none")));
                assert!(listed.iter().all(|option| Some(option.index) != decision.option("off")));
                assert!(listed.iter().all(|option| Some(option.index) != decision.option("none")));
                assert!(listed.iter().all(|option| option.weight == 1.0));
            }
        }
    }

    #[test]
    fn a_decision_whose_condition_is_dropped_is_inactive() {
        let mut space = one_max(2);
        space.decisions[1].active_when = vec![Condition { decision: 0, options: vec![1] }];
        Host::new(&space, 3).install();
        let paths = Paths::of(&space);
        for _ in 0..50 {
            let genes = paths.drop(&space, 0.5, 1.0);
            Host::with(|host| host.check_shared(&genes)).unwrap();
        }
    }
}
