//! Small spaces, setups and outcomes.

use crate::{
    CountRule, Decision, Domain, Ending, Failure, FailureKind, Features, Gene, Goal, Measure, Objective, Outcome,
    Place, Point, Proposal, Role, SearchSpace, Setup, SharedStep, SharedWeights, StepResult, Trained, Work,
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
