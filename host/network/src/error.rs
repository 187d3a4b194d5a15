//! What can be wrong with a graph, an architecture or a notation.

use nasd_space::SpaceError;

/// Why a network cannot be built, inferred or counted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// A node cannot be what it says.
    #[error("node {id}: {problem}")]
    Node {
        /// Its id.
        id: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The graph points to a node that is not there or not earlier.
    #[error("the graph's {from} reads node {index}, which is not before it")]
    Dangling {
        /// Who reads: a node's id, `logits` or `auxiliary`.
        from: String,
        /// The index.
        index: u32,
    },
    /// An architecture lacks a gene of the kind needed.
    #[error("decision {decision}: {problem}")]
    Gene {
        /// Index, or the name where it is known.
        decision: String,
        /// What is wrong.
        problem: String,
    },
    /// No operation of that name.
    #[error("unknown operation `{name}`; known are {known}")]
    Operation {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// A written architecture cannot be read.
    #[error("architecture `{text}`: {problem}")]
    Notation {
        /// What was read, shortened.
        text: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// An expected cost that does not follow from the decisions' weights.
    #[error("no expected cost at node {id}: {problem}")]
    NotSeparable {
        /// The node.
        id: String,
        /// Why.
        problem: String,
    },
    /// A space of hyper-parameters alone was asked for a network.
    #[error("space `{space}` is of hyper-parameters alone: it has no networks to build, count or draw")]
    NoNetwork {
        /// The space.
        space: String,
    },
    /// The search space refuses.
    #[error(transparent)]
    Space(#[from] SpaceError),
}

impl NetworkError {
    /// A node's error.
    pub(crate) fn node(id: &str, problem: impl Into<String>) -> Self {
        Self::Node { id: id.to_owned(), problem: problem.into() }
    }

    /// A notation's error; long texts are cut.
    pub(crate) fn notation(text: &str, problem: impl Into<String>) -> Self {
        let mut shown: String = text.trim().chars().take(60).collect();
        if shown.len() < text.trim().len() {
            shown.push_str("...");
        }
        Self::Notation { text: shown, problem: problem.into() }
    }
}
