//! Architectures as lists of option indices with commas (or spaces): `2,1,0,3`. What is not active is `-`.

use nasd_space::Gene;

/// Read a list for so many decisions; `forms` says what else may be written.
pub(crate) fn parse(n_decisions: usize, text: &str, forms: &str) -> Result<Vec<Gene>, String> {
    let mut genes = Vec::new();
    let parts = text.trim().split(|letter: char| letter == ',' || letter.is_whitespace());
    for part in parts.filter(|part| !part.is_empty()) {
        genes.push(match part.parse() {
            Ok(option) => Gene::Choice(option),
            Err(_) if part == "-" => Gene::Inactive,
            Err(_) => return Err(format!("`{part}` is not an option's index; {forms}")),
        });
    }
    if genes.len() != n_decisions {
        return Err(format!("{} indices for {n_decisions} decisions", genes.len()));
    }
    Ok(genes)
}

/// Write a list; mixtures as `(0:0.5 2:0.5)`.
pub(crate) fn write(genes: &[Gene]) -> String {
    let shown = genes.iter().map(|gene| match gene {
        Gene::Choice(option) => option.to_string(),
        Gene::Inactive => "-".to_owned(),
        Gene::Integer(value) => value.to_string(),
        Gene::Real(value) => value.to_string(),
        Gene::Mixture(options) => {
            let parts = options.iter().map(|option| format!("{}:{}", option.index, option.weight));
            format!("({})", parts.collect::<Vec<_>>().join(" "))
        }
    });
    shown.collect::<Vec<_>>().join(",")
}
