//! The searches a strategy is tried in: a plain space, one with conditions and every kind of domain (and a
//! task that answers a few fidelities only), and a one-shot cell with a count rule and shared weights.

use nasd_protocol::{Features, Goal, Objective, Setup, SharedWeights};
use nasd_space::{Condition, CountRule, Decision, Domain, IntegerRange, Place, RealRange, Role, SearchSpace};

/// A named setup.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) setup: Setup,
}

/// All cases whose task offers what `needs` asks for.
pub(super) fn cases(needs: &Features, parameters: &str) -> Vec<Case> {
    let alone = Features { inheriting: true, resuming: true, judging: true, ..Features::default() };
    let shared = Features { shared_weights: true, mixtures: true, gradients: true, unrolled_gradients: true, ..alone };
    let session = SharedWeights { train_batches: 8, validation_batches: 4, scheduled_steps: 64, steps_done: 0 };
    [
        ("plain choices", plain(), alone, None, Vec::new()),
        // A table's task: it answers some fidelities only.
        ("conditions and ranges", conditional(), alone, None, vec![1, 3, 9]),
        ("one-shot cell", cell(), shared, Some(session), Vec::new()),
    ]
    .into_iter()
    .filter(|(_, _, offers, _, _)| needs.missing_from(offers).is_empty())
    .map(|(name, space, offers, shared_weights, fidelities)| Case {
        name,
        setup: Setup {
            space_digest: space.digest(),
            space,
            objectives: vec![Objective { metric: "accuracy".to_owned(), goal: Goal::Maximize }],
            constraints: Vec::new(),
            max_fidelity: 9,
            fidelities,
            offers,
            shared_weights,
            parameters: parameters.to_owned(),
        },
    })
    .collect()
}

fn decision(name: String, role: Role, domain: Domain, node: u32) -> Decision {
    Decision { name, role, domain, place: Place { cell: 0, node }, sources: Vec::new(), active_when: Vec::new() }
}

fn options(names: &[&str]) -> Domain {
    Domain::Choice(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Six layers, one of four operations each.
fn plain() -> SearchSpace {
    let operations = options(&["conv_3x3", "conv_5x5", "max_pool_3x3", "skip_connect"]);
    SearchSpace {
        name: "conformance/plain".to_owned(),
        decisions: (0..6)
            .map(|layer| decision(format!("layer{layer}/op"), Role::Operation, operations.clone(), layer))
            .collect(),
        counts: Vec::new(),
        forbidden: Vec::new(),
    }
}

/// A depth that switches layers on, levels, whole and real numbers, and a forbidden pair.
fn conditional() -> SearchSpace {
    let mut decisions = vec![decision("depth".to_owned(), Role::Depth, Domain::Levels(vec![1.0, 2.0, 3.0]), 0)];
    for layer in 0..3u32 {
        let active_when: Vec<Condition> =
            (layer > 0).then(|| Condition { decision: 0, options: (layer..3).collect() }).into_iter().collect();
        for (what, role, domain) in [
            ("op", Role::Operation, options(&["conv", "pool", "identity"])),
            ("width", Role::Width, Domain::Integer(IntegerRange { low: 8, high: 64, log_scale: true })),
        ] {
            decisions.push(Decision {
                active_when: active_when.clone(),
                ..decision(format!("layer{layer}/{what}"), role, domain, layer)
            });
        }
    }
    let rate = Domain::Real(RealRange { low: 0.001, high: 0.1, log_scale: true });
    decisions.push(decision("learning_rate".to_owned(), Role::HyperParameter, rate, 0));
    SearchSpace {
        name: "conformance/conditional".to_owned(),
        decisions,
        counts: Vec::new(),
        // Not the identity in both of the first two layers.
        forbidden: vec![vec![Condition { decision: 1, options: vec![2] }, Condition { decision: 3, options: vec![2] }]],
    }
}

/// A cell of DARTS's kind: two inputs, two nodes, one operation an edge, two edges a node differ from `none`.
fn cell() -> SearchSpace {
    let operations = options(&["none", "skip_connect", "sep_conv_3x3"]);
    let mut decisions = Vec::new();
    let mut counts = Vec::new();
    for node in 2..4u32 {
        let first = decisions.len() as u32;
        for source in 0..node {
            decisions.push(Decision {
                sources: vec![source],
                ..decision(format!("normal/node{node}/from{source}/op"), Role::Operation, operations.clone(), node)
            });
        }
        counts.push(CountRule {
            decisions: (first..decisions.len() as u32).collect(),
            options: vec![1, 2],
            at_least: 2,
            at_most: 2,
        });
    }
    SearchSpace { name: "conformance/cell".to_owned(), decisions, counts, forbidden: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nasd_space::StreamRandom;

    #[test]
    fn every_case_has_valid_architectures() {
        for case in cases(&Features::default(), "{}") {
            let mut random = StreamRandom::new(1, "case");
            for _ in 0..20 {
                let architecture = case.setup.space.sample(&mut random).unwrap();
                assert_eq!(case.setup.space.check(&architecture), Ok(()), "{}", case.name);
            }
        }
    }

    #[test]
    fn a_strategy_that_needs_gradients_is_tried_with_shared_weights_alone() {
        let needs = Features { gradients: true, ..Features::default() };
        let names: Vec<_> = cases(&needs, "{}").iter().map(|case| case.name).collect();
        assert_eq!(names, ["one-shot cell"]);
    }
}
