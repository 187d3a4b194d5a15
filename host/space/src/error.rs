//! What can be wrong with a space, and what rule an architecture breaks.

/// Why a space cannot answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// The description contradicts itself.
    #[error("{at}: {problem}")]
    Malformed {
        /// The decision or rule, by name or number.
        at: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// Every architecture breaks some rule.
    #[error("no architecture fulfils the rules that tie {decisions}; loosen a count rule or a forbidden combination")]
    NoArchitecture {
        /// Names of the decisions concerned.
        decisions: String,
    },
    /// The rules are too entangled to look ahead exactly.
    #[error(
        "whether {decisions} can still be completed was not settled in {steps} steps; \
         state the rules over fewer decisions at a time"
    )]
    LookAhead {
        /// Names of the decisions concerned.
        decisions: String,
        /// Steps made.
        steps: u32,
    },
    /// An architecture has more or fewer genes than the space has decisions.
    #[error("{found} genes for {expected} decisions")]
    Length {
        /// Decisions of the space.
        expected: usize,
        /// Genes given.
        found: usize,
    },
    /// A gene or a rule is broken.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// A prefix breaks no rule yet, but every completion does.
    #[error("no valid architecture begins with these {length} genes")]
    DeadEnd {
        /// Genes given.
        length: usize,
    },
    /// Fewer decisions can take another value than were to be changed.
    #[error("{asked} decisions were to change, only {possible} can")]
    TooFewToChange {
        /// Changes asked for.
        asked: u32,
        /// Changes made before nothing was left to change.
        possible: u32,
    },
    /// A decision's number is too high.
    #[error("there is no decision {decision}: the space has {decisions}, counted from 0")]
    NoSuchDecision {
        /// The number given.
        decision: u32,
        /// How many there are.
        decisions: usize,
    },
}

/// A rule that an architecture breaks, with the decision and its gene where it is about one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{rule}", prefix(.decision, .gene))]
pub struct Violation {
    /// Name of the decision.
    pub decision: Option<String>,
    /// Its gene, for people.
    pub gene: Option<String>,
    /// The rule.
    pub rule: BrokenRule,
}

fn prefix(decision: &Option<String>, gene: &Option<String>) -> String {
    match (decision, gene) {
        (Some(decision), Some(gene)) => format!("decision {decision} = {gene}: "),
        (Some(decision), None) => format!("decision {decision}: "),
        _ => String::new(),
    }
}

/// Which rule is broken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BrokenRule {
    /// One gene per decision.
    #[error("{found} genes for {expected} decisions")]
    Length {
        /// Decisions of the space.
        expected: usize,
        /// Genes given.
        found: usize,
    },
    /// The gene's kind follows from the domain.
    #[error("the gene must be {expected}")]
    Kind {
        /// Kinds allowed.
        expected: &'static str,
    },
    /// The value lies within the domain.
    #[error("the value must lie within {allowed}")]
    OutOfRange {
        /// The domain.
        allowed: String,
    },
    /// An inactive decision has no value.
    #[error("the decision is not active here, its gene must be `inactive`")]
    NotActive,
    /// An active decision has a value.
    #[error("the decision is active here, its gene must not be `inactive`")]
    Missing,
    /// A mixture's options ascend, none twice.
    #[error("the options of a mixture must ascend, none twice: {index} does not follow {previous}")]
    MixtureOrder {
        /// The option before.
        previous: u32,
        /// The option out of order.
        index: u32,
    },
    /// A mixture's weights are finite.
    #[error("the weight of option {index} is {weight}, not a finite number")]
    MixtureWeight {
        /// The option.
        index: u32,
        /// Its weight.
        weight: f32,
    },
    /// A count rule.
    #[error("count rule {rule}: {found} of {decisions} have a counted option, allowed are {at_least} to {at_most}")]
    Count {
        /// Its number, from 0.
        rule: usize,
        /// Names of its decisions.
        decisions: String,
        /// How many count.
        found: u32,
        /// Lower limit.
        at_least: u32,
        /// Upper limit.
        at_most: u32,
    },
    /// A forbidden combination.
    #[error("forbidden combination {rule}: {combination}")]
    Forbidden {
        /// Its number, from 0.
        rule: usize,
        /// The decisions with their options.
        combination: String,
    },
}
