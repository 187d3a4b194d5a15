//! Test functions of optimisation: a name, decisions, a loss, and a minimum that is known.
//!
//! A strategy tried on them answers within a second how it does beside another one, on smooth and on rugged
//! ground, with choices, whole numbers, logarithmic scales and conditions. The twelve of [`classic`] are the
//! ones strategies are compared on; the list was fixed before anything was measured on it and is not changed
//! for a result. [`find`] also knows functions that are there for other ends (speed).
//!
//! Nothing here reads, writes, draws or keeps a state: a function is a pure function of the values given by
//! name. The same spaces as files of `family = "parameters"` are in `configs/spaces/functions`.

mod continuous;
mod mixed;
mod space;

use nasd_space::{Architecture, Domain, Gene, SearchSpace};

/// The value of one decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Of a real decision.
    Real(f64),
    /// Of a decision between whole numbers.
    Integer(i64),
    /// Of a choice: the option's name.
    Option(&'a str),
}

/// Why a function has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// The function looked for a decision that has no value.
    #[error(
        "the function {function} needs a value for `{decision}`, which has none: give one, or activate the decision"
    )]
    Missing {
        /// The function.
        function: &'static str,
        /// The decision it looked for.
        decision: String,
    },
    /// A decision has a value of another kind, or an option that the function does not know.
    #[error("the function {function} cannot use {found} for `{decision}`: it takes {expected}")]
    Kind {
        /// The function.
        function: &'static str,
        /// The decision.
        decision: String,
        /// What would do.
        expected: String,
        /// What was given.
        found: String,
    },
}

/// Looks values up by their decision's name; none where it is not active.
pub type Values<'a> = dyn Fn(&str) -> Option<Value<'a>> + 'a;

/// A test function.
pub struct Function {
    /// Its name; also that of its space and of its space file.
    pub name: &'static str,
    /// What makes it hard, in one sentence.
    pub summary: &'static str,
    /// Where it is defined.
    pub source: &'static str,
    /// The least loss within its space.
    pub minimum: f64,
    space: fn() -> SearchSpace,
    loss: fn(&Point<'_>) -> Result<f64, EvaluationError>,
}

impl Function {
    /// Its decisions.
    pub fn space(&self) -> SearchSpace {
        (self.space)()
    }

    /// The loss, smaller is better, of the values by name.
    ///
    /// # Errors
    /// Where a value that it needs is missing or of the wrong kind.
    pub fn evaluate<'a>(&self, values: &'a Values<'a>) -> Result<f64, EvaluationError> {
        (self.loss)(&Point { function: self.name, values })
    }

    /// The loss of an architecture of [`space`](Self::space), or of a space with the same decisions.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_architecture(&self, space: &SearchSpace, genes: &Architecture) -> Result<f64, EvaluationError> {
        self.evaluate(&|name| {
            let (decision, gene) = space.decisions.iter().zip(genes).find(|(decision, _)| decision.name == name)?;
            match (gene, &decision.domain) {
                (Gene::Real(value), _) => Some(Value::Real(*value)),
                (Gene::Integer(value), _) => Some(Value::Integer(*value)),
                (Gene::Choice(option), Domain::Choice(options)) => {
                    options.get(*option as usize).map(|option| Value::Option(option))
                }
                (Gene::Choice(option), Domain::Levels(levels)) => {
                    levels.get(*option as usize).map(|level| Value::Real(*level))
                }
                _ => None,
            }
        })
    }
}

/// The values a function is asked about, with errors that name it.
struct Point<'a> {
    function: &'static str,
    values: &'a Values<'a>,
}

impl Point<'_> {
    fn value(&self, decision: &str) -> Result<Value<'_>, EvaluationError> {
        (self.values)(decision)
            .ok_or_else(|| EvaluationError::Missing { function: self.function, decision: decision.to_owned() })
    }

    fn kind(&self, decision: &str, expected: impl Into<String>, found: Value<'_>) -> EvaluationError {
        EvaluationError::Kind {
            function: self.function,
            decision: decision.to_owned(),
            expected: expected.into(),
            found: match found {
                Value::Real(value) => format!("{value}"),
                Value::Integer(value) => format!("{value}"),
                Value::Option(option) => format!("the option `{option}`"),
            },
        }
    }

    /// A number; whole ones are numbers too.
    fn number(&self, decision: &str) -> Result<f64, EvaluationError> {
        match self.value(decision)? {
            Value::Real(value) => Ok(value),
            Value::Integer(value) => Ok(value as f64),
            found @ Value::Option(_) => Err(self.kind(decision, "a number", found)),
        }
    }

    /// `x1` to `xn`.
    fn numbers(&self, n: usize) -> Result<Vec<f64>, EvaluationError> {
        (1..=n).map(|idx| self.number(&format!("x{idx}"))).collect()
    }

    /// The position of the option among `options`.
    fn option(&self, decision: &str, options: &[&str]) -> Result<usize, EvaluationError> {
        let found = self.value(decision)?;
        match found {
            Value::Option(option) => options.iter().position(|known| *known == option),
            _ => None,
        }
        .ok_or_else(|| self.kind(decision, format!("one of {}", options.join(", ")), found))
    }
}

/// The twelve that strategies are compared on.
pub fn classic() -> &'static [Function] {
    ALL.get(..N_CLASSIC).unwrap_or(ALL)
}

/// Every function.
pub fn all() -> &'static [Function] {
    ALL
}

/// The function of that name.
pub fn find(name: &str) -> Option<&'static Function> {
    ALL.iter().find(|function| function.name == name)
}

const N_CLASSIC: usize = 12;

static ALL: &[Function] = &[
    continuous::BRANIN,
    continuous::SIX_HUMP_CAMEL,
    continuous::HARTMANN6,
    continuous::ACKLEY,
    continuous::ROSENBROCK,
    continuous::RASTRIGIN,
    continuous::LEVY,
    continuous::STYBLINSKI_TANG,
    continuous::MICHALEWICZ,
    mixed::TWO_CHOICES,
    mixed::TREE,
    mixed::TUNING,
    mixed::MIXED_40,
];
