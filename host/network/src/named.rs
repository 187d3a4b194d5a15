//! Architectures as `decision=option` lists, for any space: long, but readable without knowing an order.

use nasd_space::{Decision, Domain, Gene, SearchSpace};

use crate::error::NetworkError;

/// Whether a text is such a list.
pub(crate) fn is_named(text: &str) -> bool {
    text.contains('=') && !text.trim_start().starts_with(['{', '|'])
}

/// Read `name=option, name=option`; decisions not named are inactive. An option is its name or its index, a number
/// the number itself.
pub(crate) fn parse(space: &SearchSpace, text: &str) -> Result<Vec<Gene>, NetworkError> {
    let wrong = |problem: String| NetworkError::notation(text, problem);
    let mut genes = vec![Gene::Inactive; space.decisions.len()];
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(format!("`{part}` is not decision=option")))?;
        let (name, value) = (name.trim(), value.trim());
        let found = space.decisions.iter().zip(&mut genes).find(|(decision, _)| decision.name == name);
        let (decision, gene) = found.ok_or_else(|| wrong(format!("the space has no decision `{name}`")))?;
        if *gene != Gene::Inactive {
            return Err(wrong(format!("`{name}` is there twice")));
        }
        *gene =
            read(decision, value).ok_or_else(|| wrong(format!("`{name}` is {}, not `{value}`", takes(decision))))?;
    }
    Ok(genes)
}

fn read(decision: &Decision, value: &str) -> Option<Gene> {
    let index = |n_options: usize| value.parse().ok().filter(|option| (*option as usize) < n_options);
    match &decision.domain {
        Domain::Choice(options) => {
            let named = options.iter().position(|option| option == value);
            named.map_or_else(|| index(options.len()), |option| u32::try_from(option).ok()).map(Gene::Choice)
        }
        Domain::Levels(levels) => {
            let number: Option<f64> = value.parse().ok();
            let level = levels.iter().position(|level| Some(*level) == number)?;
            u32::try_from(level).ok().map(Gene::Choice)
        }
        Domain::Integer(_) => value.parse().ok().map(Gene::Integer),
        Domain::Real(_) => value.parse().ok().map(Gene::Real),
    }
}

fn takes(decision: &Decision) -> String {
    match &decision.domain {
        Domain::Choice(options) => format!("one of {}", options.join(", ")),
        Domain::Levels(levels) => format!("one of {levels:?}"),
        Domain::Integer(_) => "a whole number".to_owned(),
        Domain::Real(_) => "a number".to_owned(),
    }
}
