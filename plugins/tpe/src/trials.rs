//! What was told so far: the whole state of the strategy, as small as it can be written.
//!
//! Genes are kept in columns of plain values, scores beside them. The estimators are no part of it: they are a function
//! of the trials and are made again after a restore.

use std::collections::{BTreeMap, BTreeSet};

use nas_strategy_sdk::{Architecture, Gene, JobId};
use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::model::Model;

/// The values of one decision, by trial; none where it was inactive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// Of choices and levels.
    Options(Vec<Option<u32>>),
    /// Of whole numbers.
    Integers(Vec<Option<i64>>),
    /// Of real numbers.
    Reals(Vec<Option<f64>>),
}

impl Column {
    fn of(axis: &Axis) -> Self {
        match axis {
            Axis::Options(_) | Axis::Levels(_) | Axis::Fixed(Gene::Choice(_)) => Self::Options(Vec::new()),
            Axis::Integer(_) | Axis::Fixed(Gene::Integer(_)) => Self::Integers(Vec::new()),
            Axis::Real(_) | Axis::Fixed(_) => Self::Reals(Vec::new()),
        }
    }

    fn push(&mut self, gene: &Gene) {
        match (self, gene) {
            (Self::Options(values), Gene::Choice(option)) => values.push(Some(*option)),
            (Self::Options(values), _) => values.push(None),
            (Self::Integers(values), Gene::Integer(value)) => values.push(Some(*value)),
            (Self::Integers(values), _) => values.push(None),
            (Self::Reals(values), Gene::Real(value)) => values.push(Some(*value)),
            (Self::Reals(values), _) => values.push(None),
        }
    }

    /// The gene of a trial.
    pub fn gene(&self, trial: usize) -> Gene {
        let gene = match self {
            Self::Options(values) => values.get(trial).copied().flatten().map(Gene::Choice),
            Self::Integers(values) => values.get(trial).copied().flatten().map(Gene::Integer),
            Self::Reals(values) => values.get(trial).copied().flatten().map(Gene::Real),
        };
        gene.unwrap_or(Gene::Inactive)
    }

    /// The options by trial; empty for other columns.
    pub fn options(&self) -> &[Option<u32>] {
        match self {
            Self::Options(values) => values,
            _ => &[],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Options(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Reals(values) => values.len(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Results in told order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    columns: Vec<Column>,
    /// Larger is better, never NaN; none for an architecture that failed by its own fault.
    scores: Vec<Option<f64>>,
}

impl Trials {
    /// None yet.
    pub fn new(axes: &[Axis]) -> Self {
        Self { columns: axes.iter().map(Column::of).collect(), scores: Vec::new() }
    }

    /// Number of trials.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// One trial more. Genes are as many as there are axes.
    pub fn push(&mut self, genes: &[Gene], score: Option<f64>) {
        self.columns.iter_mut().zip(genes).for_each(|(column, gene)| column.push(gene));
        self.scores.push(score);
    }

    /// The score of a trial.
    pub fn score(&self, trial: usize) -> Option<f64> {
        self.scores.get(trial).copied().flatten()
    }

    /// By decision.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The architecture of a trial.
    pub fn architecture(&self, trial: usize) -> Architecture {
        self.columns.iter().map(|column| column.gene(trial)).collect()
    }

    /// Trials with a score, best first, among equals the earlier first.
    pub fn best_first(&self) -> Vec<usize> {
        let mut scored: Vec<(usize, f64)> =
            self.scores.iter().enumerate().filter_map(|(trial, score)| Some((trial, (*score)?))).collect();
        // Not `total_cmp`: the two zeros are equal scores.
        scored.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(std::cmp::Ordering::Equal));
        scored.into_iter().map(|(trial, _)| trial).collect()
    }

    /// Whether these can be trials of a space with those axes; if not, what differs.
    pub fn check(&self, axes: &[Axis]) -> Result<(), String> {
        if self.columns.len() != axes.len() {
            return Err(format!("{} decisions, the space has {}", self.columns.len(), axes.len()));
        }
        for (number, (column, axis)) in self.columns.iter().zip(axes).enumerate() {
            if !column.is_like(&Column::of(axis)) || column.len() != self.len() {
                return Err(format!("decision {number} has values of another kind or number than the space's"));
            }
            let odd = (0..self.len()).map(|trial| column.gene(trial));
            if let Some(gene) = odd.into_iter().find(|gene| *gene != Gene::Inactive && !axis.accepts(gene)) {
                return Err(format!("decision {number} has the value {gene:?}, which is none of the space's"));
            }
        }
        match self.scores.iter().flatten().any(|score| score.is_nan()) {
            true => Err("a score is not a number".to_owned()),
            false => Ok(()),
        }
    }
}

/// The state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// What was told.
    pub trials: Trials,
    /// What was proposed and not told yet.
    pub in_flight: BTreeMap<JobId, Architecture>,
    /// Fingerprints of the identities proposed or told, in a space without real numbers.
    pub known: BTreeSet<u64>,
    /// Made from the trials.
    #[serde(skip)]
    pub model: Model,
}
