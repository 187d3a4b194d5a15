//! The `parameters` family: spaces of hyper-parameters alone, without networks.
//!
//! ```toml
//! name = "svm"
//! family = "parameters"
//!
//! [[parameter]]
//! name = "kernel"
//! kind = "choice"
//! options = ["linear", "rbf"]
//!
//! [[parameter]]
//! name = "gamma"
//! kind = "real"
//! low = 1e-4
//! high = 1.0
//! log = true
//! when = { parameter = "kernel", options = ["rbf"] }
//!
//! [[forbidden]]
//! kernel = ["linear"]
//! solver = ["smo"]
//! ```
//!
//! The same decisions, conditions and rules as any space, so every strategy that knows them searches these too.
//! What a parameter means is the task's to say.

use std::collections::BTreeMap;

use nasd_space::{Condition, Decision, Domain, Gene, IntegerRange, Place, RealRange, Role, SearchSpace};
use serde::Deserialize;

use crate::costs::Counting;
use crate::definition::{Family, Purpose};
use crate::error::NetworkError;
use crate::file::{Document, SpaceFileError};
use crate::graph::Graph;
use crate::named;
use crate::outline::CellOutline;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "family")]
    _family: String,
    parameter: Vec<Parameter>,
    #[serde(default)]
    forbidden: Vec<BTreeMap<String, Vec<Value>>>,
}

/// A `[[parameter]]`. One struct for all kinds, so that an error keeps its line.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Parameter {
    name: String,
    kind: Kind,
    options: Option<Vec<Value>>,
    low: Option<f64>,
    high: Option<f64>,
    #[serde(default)]
    log: bool,
    when: Option<When>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Named options without an order.
    Choice,
    /// Numbers in ascending order.
    Levels,
    Integer,
    Real,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "write { parameter = \"NAME\", options = [...] }, or a list of these")]
enum When {
    One(Named),
    All(Vec<Named>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Named {
    parameter: String,
    options: Vec<Value>,
}

/// An option as people write it: `"rbf"`, `3`, `0.5`, `true`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "an option is a text, a number, true or false")]
enum Value {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Flag(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Flag(_) | Self::Text(_) => None,
        }
    }
}

/// A space of hyper-parameters.
pub(crate) struct ParameterSpace {
    space: SearchSpace,
}

impl ParameterSpace {
    pub fn of(space: SearchSpace) -> Self {
        Self { space }
    }

    pub fn new(document: &Document) -> Result<Self, SpaceFileError> {
        let file: File = document.read()?;
        let mut space =
            SearchSpace { name: file.name, decisions: Vec::new(), counts: Vec::new(), forbidden: Vec::new() };
        for parameter in file.parameter {
            let name = parameter.name.clone();
            let wrong = |problem: String| document.error_in("parameter", &name, problem);
            readable(&parameter.name, &[',', '='], "name").map_err(wrong)?;
            let domain = domain(&parameter).map_err(wrong)?;
            let conditions = match parameter.when {
                None => Vec::new(),
                Some(When::One(condition)) => vec![condition],
                Some(When::All(conditions)) => conditions,
            };
            let active_when = conditions
                .iter()
                .map(|named| condition(&space, &named.parameter, &named.options))
                .collect::<Result<_, _>>()
                .map_err(wrong)?;
            space.decisions.push(Decision {
                name: parameter.name,
                role: Role::HyperParameter,
                domain,
                place: Place::default(),
                sources: Vec::new(),
                active_when,
            });
        }
        for rule in &file.forbidden {
            let conditions = rule.iter().map(|(name, options)| condition(&space, name, options));
            let conditions = conditions.collect::<Result<_, _>>().map_err(|p| document.error("forbidden", p))?;
            space.forbidden.push(conditions);
        }
        Ok(Self { space })
    }
}

/// Whether `name=option, name=option` can be read back with this text in it.
fn readable(text: &str, separators: &[char], what: &str) -> Result<(), String> {
    if text.is_empty() || text.trim() != text || text.contains(separators) || text.contains(char::is_control) {
        let separators: Vec<String> = separators.iter().map(|separator| format!("`{separator}`")).collect();
        let separators = separators.join(" or ");
        return Err(format!(
            "the {what} {text:?} cannot be told apart in `name=option, name=option`; write it without {separators}, control characters and blanks at its ends, and not empty"
        ));
    }
    Ok(())
}

fn domain(parameter: &Parameter) -> Result<Domain, String> {
    let options = || match parameter.options.as_deref() {
        Some(options) if !options.is_empty() => Ok(options),
        _ => Err("give `options`, a list that is not empty".to_owned()),
    };
    let ends = || match (parameter.low, parameter.high) {
        (Some(low), Some(high)) => Ok((low, high)),
        _ => Err("give `low` and `high`".to_owned()),
    };
    let is_range = matches!(parameter.kind, Kind::Integer | Kind::Real);
    if is_range && parameter.options.is_some() {
        return Err("`options` belong to `choice` and `levels`; give `low` and `high`".into());
    }
    if !is_range && (parameter.low.is_some() || parameter.high.is_some() || parameter.log) {
        return Err("`low`, `high` and `log` belong to `integer` and `real`; give `options`".into());
    }
    match parameter.kind {
        Kind::Choice => {
            let options: Vec<String> = options()?.iter().map(Value::text).collect();
            // What follows a name's `=` may hold others.
            options.iter().try_for_each(|option| readable(option, &[','], "option"))?;
            Ok(Domain::Choice(options))
        }
        Kind::Levels => {
            let levels = options()?.iter().map(Value::number).collect::<Option<_>>();
            levels.map(Domain::Levels).ok_or_else(|| "the options of `levels` are numbers".to_owned())
        }
        Kind::Integer => {
            let (low, high) = ends()?;
            if low.fract() != 0.0 || high.fract() != 0.0 || low.abs() > 9e15 || high.abs() > 9e15 {
                return Err(format!("low = {low} and high = {high} are not whole numbers"));
            }
            Ok(Domain::Integer(IntegerRange { low: low as i64, high: high as i64, log_scale: parameter.log }))
        }
        Kind::Real => {
            let (low, high) = ends()?;
            Ok(Domain::Real(RealRange { low, high, log_scale: parameter.log }))
        }
    }
}

fn condition(space: &SearchSpace, name: &str, options: &[Value]) -> Result<Condition, String> {
    let index = space.decisions.iter().position(|decision| decision.name == name);
    let found = index.and_then(|index| Some((u32::try_from(index).ok()?, space.decisions.get(index)?)));
    let (decision, named) = found.ok_or_else(|| format!("there is no parameter `{name}` before it"))?;
    let position = |option: &Value| {
        let found = match &named.domain {
            Domain::Choice(known) => known.iter().position(|name| *name == option.text()),
            Domain::Levels(known) => known.iter().position(|level| Some(*level) == option.number()),
            Domain::Integer(_) | Domain::Real(_) => None,
        };
        found
            .and_then(|index| u32::try_from(index).ok())
            .ok_or_else(|| format!("parameter `{name}` has no option `{}`", option.text()))
    };
    let options = options.iter().map(position).collect::<Result<Vec<_>, _>>()?;
    Ok(Condition { decision, options })
}

impl Family for ParameterSpace {
    fn space(&self) -> &SearchSpace {
        &self.space
    }

    fn template(&self, _purpose: Purpose) -> Result<Graph, NetworkError> {
        Err(NetworkError::NoNetwork { space: self.space.name.clone() })
    }

    fn counting(&self) -> Counting {
        Counting::default()
    }

    fn parse(&self, text: &str) -> Result<Vec<Gene>, NetworkError> {
        named::parse(&self.space, text)
    }

    fn notation(&self, genes: &[Gene]) -> String {
        let named = self.space.decisions.iter().zip(genes).filter(|(_, gene)| **gene != Gene::Inactive);
        named
            .map(|(decision, gene)| format!("{}={}", decision.name, decision.describe(gene)))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn outline(&self, _genes: &[Gene]) -> Vec<CellOutline> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(parameters: &str) -> Result<ParameterSpace, String> {
        let text = format!("name = \"one\"\nfamily = \"parameters\"\n{parameters}");
        ParameterSpace::new(&Document::new(&text, "one.toml")).map_err(|error| error.to_string())
    }

    fn choice(name: &str, options: &str) -> String {
        format!("[[parameter]]\nname = \"{name}\"\nkind = \"choice\"\noptions = {options}\n")
    }

    #[test]
    fn texts_that_the_notation_cannot_read_back_are_refused() {
        for name in ["a,b", "a=b", " a", "a "] {
            let error = parsed(&choice(name, "[1, 2]")).err().unwrap();
            assert!(error.contains("the name") && error.contains("write it without"), "{error}");
        }
        for option in ["a,b", " a", "a\t", ""] {
            let error = parsed(&choice("c", &format!("[{option:?}, \"other\"]"))).err().unwrap();
            assert!(error.starts_with("one.toml:4: parameter `c`: the option") && !error.contains('\n'), "{error}");
        }
        let space = parsed(&choice("c", "[\"--depth=3\", \"two words\"]")).ok().unwrap();
        for option in 0..2 {
            let genes = [Gene::Choice(option)];
            assert_eq!(space.parse(&space.notation(&genes)).ok().unwrap(), genes);
        }
    }

    #[test]
    fn a_condition_that_is_none_says_how_to_write_one() {
        for when in ["{ parameter = \"a\" }", "{ parameter = \"a\", options = 1 }", "\"a\"", "[{ options = [1] }]"] {
            let error = parsed(&format!("{}{}when = {when}\n", choice("a", "[1, 2]"), choice("b", "[1, 2]")));
            let error = error.err().unwrap();
            assert!(error.contains("write { parameter = \"NAME\", options = [...] }"), "{error}");
            assert!(error.starts_with("one.toml:11: parameter[1].when") && !error.contains('\n'), "{error}");
        }
    }
}
