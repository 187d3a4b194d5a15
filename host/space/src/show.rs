//! Genes and architectures as short texts for people.

use std::fmt::Write;

use crate::model::{Architecture, Decision, Domain, Gene, SearchSpace};

impl Gene {
    /// Whether it is a mixture: for shared work only.
    pub fn is_mixture(&self) -> bool {
        matches!(self, Gene::Mixture(_))
    }

    /// The option of a `choice` or `levels` decision.
    pub fn option(&self) -> Option<u32> {
        match self {
            Gene::Choice(option) => Some(*option),
            _ => None,
        }
    }
}

impl Domain {
    /// An option's name: a choice's own, a level's number.
    pub fn option_name(&self, option: u32) -> Option<String> {
        let index = usize::try_from(option).ok()?;
        match self {
            Domain::Choice(options) => options.get(index).cloned(),
            Domain::Levels(levels) => levels.get(index).map(f64::to_string),
            Domain::Integer(_) | Domain::Real(_) => None,
        }
    }
}

impl Decision {
    /// A gene's value in this decision's words: `sep_conv_3x3`, `32`, `sep_conv_3x3:0.25+none:0.75`, `-`.
    pub fn describe(&self, gene: &Gene) -> String {
        let name = |option: u32| self.domain.option_name(option).unwrap_or_else(|| format!("option {option}"));
        match gene {
            Gene::Inactive => "-".to_owned(),
            Gene::Choice(option) => name(*option),
            Gene::Integer(value) => value.to_string(),
            Gene::Real(value) => value.to_string(),
            Gene::Mixture(options) => {
                let parts: Vec<String> =
                    options.iter().map(|option| format!("{}:{}", name(option.index), option.weight)).collect();
                if parts.is_empty() { "(empty mixture)".to_owned() } else { parts.join("+") }
            }
        }
    }
}

impl SearchSpace {
    /// `name=option` for every decision that is not inactive, with single spaces between.
    pub fn describe(&self, architecture: &Architecture) -> String {
        let mut text = String::new();
        for (decision, gene) in self.decisions.iter().zip(architecture) {
            if *gene == Gene::Inactive {
                continue;
            }
            let space = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{space}{}={}", decision.name, decision.describe(gene));
        }
        text
    }
}
