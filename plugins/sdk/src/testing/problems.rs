//! Small spaces, setups and outcomes.

use crate::{
    Condition, CountRule, Decision, Domain, Ending, Failure, FailureKind, Features, Gene, Goal, IntegerRange, Measure,
    Objective, Outcome, Place, Point, Proposal, RealRange, Role, SearchSpace, Setup, SharedStep, SharedWeights,
    StepResult, Trained, Work,
};

/// A decision in short: name, role, (cell, node), options.
pub type Row<'a> = (&'a str, Role, (u32, u32), &'a [&'a str]);

/// A space of one decision a row.
pub fn choice_space(rows: &[Row<'_>]) -> SearchSpace {
    let decision = |(name, role, (cell, node), options): &Row<'_>| Decision {
        name: (*name).to_owned(),
        role: *role,
        domain: Domain::Choice(options.iter().map(|option| (*option).to_owned()).collect()),
        place: Place { cell: *cell, node: *node },
        sources: Vec::new(),
        active_when: Vec::new(),
    };
    SearchSpace {
        name: "test".to_owned(),
        digest: "test".to_owned(),
        decisions: rows.iter().map(decision).collect(),
        counts: Vec::new(),
        forbidden: Vec::new(),
    }
}

/// `n_bits` decisions of two options each; the sum of the genes is the score ([`ones`]).
pub fn one_max(n_bits: u32) -> SearchSpace {
    let names: Vec<String> = (0..n_bits).map(|bit| format!("bit{bit}")).collect();
    let rows: Vec<_> = names
        .iter()
        .zip(0..)
        .map(|(name, node)| (name.as_str(), Role::Operation, (0, node), &["0", "1"][..]))
        .collect();
    choice_space(&rows)
}

/// A cell of edges in the manner of DARTS: two inputs, `n_nodes` nodes, an operation decision on every edge
/// from an earlier node, and the rule that two edges a node differ from `none`, the first option.
pub fn edges_cell(cells: u32, n_nodes: u32, options: &[&str]) -> SearchSpace {
    let mut space = choice_space(&[]);
    for cell in 0..cells {
        for node in 2..2 + n_nodes {
            let first = space.decisions.len() as u32;
            for source in 0..node {
                let name = format!("cell{cell}/node{node}/from{source}");
                let mut edge = choice_space(&[(&name, Role::Operation, (cell, node), options)]).decisions;
                edge.iter_mut().for_each(|edge| edge.sources = vec![source]);
                space.decisions.append(&mut edge);
            }
            space.counts.push(CountRule {
                decisions: (first..first + node).collect(),
                options: (1..options.len() as u32).collect(),
                at_least: 2,
                at_most: 2,
            });
        }
    }
    space
}

/// A setup that offers everything: maximise `accuracy`, fidelities to 10, 20 scheduled steps of 5 minibatches.
pub fn setup(space: SearchSpace) -> Setup {
    Setup {
        space,
        objectives: vec![Objective { metric: "accuracy".to_owned(), goal: Goal::Maximize }],
        constraints: Vec::new(),
        max_fidelity: 10,
        fidelities: Vec::new(),
        offers: Features::all(),
        shared_weights: Some(SharedWeights {
            train_batches: 5,
            validation_batches: 5,
            scheduled_steps: 20,
            steps_done: 0,
        }),
        parameters: String::new(),
    }
}

/// The setup with parameters, as JSON.
pub fn with_parameters(mut setup: Setup, json: &str) -> Setup {
    setup.parameters = json.to_owned();
    setup
}

/// The outcome of a complete training with this `accuracy`.
pub fn trained(accuracy: f64) -> Outcome {
    let measures = vec![Measure { name: "accuracy".to_owned(), value: accuracy }];
    let curve = vec![Point { fidelity: 10, measures: measures.clone() }];
    Outcome::Trained(Trained { measures, curve, ending: Ending::Complete, predicted: None })
}

/// A failure.
pub fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure { kind, message: "the test wants it so".to_owned() })
}

/// The share of genes that are option 1, of a training. 0 for other work.
pub fn ones(proposal: &Proposal) -> f64 {
    let Work::Train(training) = &proposal.work else {
        return 0.0;
    };
    let ones = training.architecture.iter().filter(|gene| **gene == Gene::Choice(1)).count();
    ones as f64 / training.architecture.len().max(1) as f64
}

/// The outcome of shared steps whose loss is a function of the genes: `evaluate` gives the loss and, for each
/// decision, d loss / d weight of every option listed.
pub fn shared_steps(proposal: &Proposal, mut evaluate: impl FnMut(&SharedStep) -> (f64, Vec<Vec<f32>>)) -> Outcome {
    let Work::TrainShared(steps) = &proposal.work else {
        return failed(FailureKind::Unsupported);
    };
    let results = steps.iter().map(|step| {
        let (loss, gradients) = evaluate(step);
        let asked = step.gradient != crate::MixtureGradient::None;
        StepResult {
            measures: vec![Measure { name: "loss".to_owned(), value: loss }],
            gradients: if asked { gradients } else { Vec::new() },
        }
    });
    Outcome::SharedSteps(results.collect())
}

/// The outcome of an evaluation with the shared weights, each architecture's `accuracy` a function of its genes.
pub fn shared_evaluations(proposal: &Proposal, accuracy: impl Fn(&[Gene]) -> f64) -> Outcome {
    let Work::EvaluateShared(evaluation) = &proposal.work else {
        return failed(FailureKind::Unsupported);
    };
    let measured = |genes: &crate::Architecture| vec![Measure { name: "accuracy".to_owned(), value: accuracy(genes) }];
    Outcome::SharedEvaluations(evaluation.architectures.iter().map(measured).collect())
}

/// A space with every kind of decision and a condition: a choice of two branches, a real number on a logarithmic
/// scale, levels and whole numbers of the second branch, a plain real number, and a forbidden pair.
pub fn mixed_space() -> SearchSpace {
    let mut space = choice_space(&[("branch", Role::Other, (0, 0), &["a", "b"])]);
    let in_branch = |option| vec![Condition { decision: 0, options: vec![option] }];
    let rows = [
        ("rate", Domain::Real(RealRange { low: 1e-4, high: 1.0, log_scale: true }), Vec::new()),
        ("depth", Domain::Levels(vec![1.0, 2.0, 4.0]), in_branch(1)),
        ("width", Domain::Integer(IntegerRange { low: 1, high: 8, log_scale: true }), in_branch(1)),
        ("count", Domain::Integer(IntegerRange { low: -2, high: 2, log_scale: false }), in_branch(0)),
        ("share", Domain::Real(RealRange { low: -1.0, high: 1.0, log_scale: false }), Vec::new()),
        ("last", Domain::Choice(vec!["x".to_owned(), "y".to_owned()]), Vec::new()),
    ];
    for ((name, domain, active_when), node) in rows.into_iter().zip(1..) {
        space.decisions.push(Decision {
            name: name.to_owned(),
            role: Role::HyperParameter,
            domain,
            place: Place { cell: 0, node },
            sources: Vec::new(),
            active_when,
        });
    }
    // Never the first branch with the last option.
    space.forbidden =
        vec![vec![Condition { decision: 0, options: vec![0] }, Condition { decision: 6, options: vec![1] }]];
    space
}

/// A score of [`mixed_space`], 1 at the best: the second branch, rate 0.01, depth 4, width 8, share 0.5.
pub fn mixed_score(proposal: &Proposal) -> f64 {
    let Work::Train(training) = &proposal.work else {
        return 0.0;
    };
    let part = |gene: &Gene| match gene {
        Gene::Choice(option) => f64::from(*option),
        Gene::Integer(value) => *value as f64,
        Gene::Real(value) => *value,
        Gene::Inactive | Gene::Mixture(_) => 0.0,
    };
    let parts: Vec<f64> = training.architecture.iter().map(part).collect();
    let [branch, rate, depth, width, _, share, last] = parts.as_slice() else {
        return 0.0;
    };
    let near_rate = 1.0 - ((rate.log10() + 2.0) / 2.0).abs().min(1.0);
    let near_share = 1.0 - (share - 0.5).abs() / 1.5;
    (branch + near_rate + depth / 2.0 + width / 8.0 + near_share + last) / 6.0
}

/// Turns the search's objective round: minimise `loss`.
pub fn minimizing(mut setup: Setup) -> Setup {
    setup.objectives = vec![Objective { metric: "loss".to_owned(), goal: Goal::Minimize }];
    setup
}

/// The outcome of a complete training with this `loss`.
pub fn trained_to_loss(loss: f64) -> Outcome {
    let measures = vec![Measure { name: "loss".to_owned(), value: loss }];
    let curve = vec![Point { fidelity: 10, measures: measures.clone() }];
    Outcome::Trained(Trained { measures, curve, ending: Ending::Complete, predicted: None })
}
