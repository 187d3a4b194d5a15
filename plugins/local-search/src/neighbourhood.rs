//! Where a climb may go from an architecture: what the space calls neighbours, and steps along ranges.
//!
//! The space's neighbours change one choice to any other option, whole numbers to the next value, and real
//! numbers not at all. A range is long, so it is also walked in steps of a share of its scale, either way.

use nas_strategy_sdk::{Architecture, Gene, SearchSpace, random, space};

/// All architectures one change away, in random order.
pub fn around(search_space: &SearchSpace, genes: &Architecture, step: f64) -> Result<Vec<Architecture>, String> {
    let mut all = space::neighbours(genes, &[])?;
    all.extend(along_ranges(search_space, genes, step));
    random::shuffle(&mut all);
    Ok(all)
}

/// For every active range one step down and one up, where that is another value. No rule speaks of ranges.
pub fn along_ranges(search_space: &SearchSpace, genes: &Architecture, step: f64) -> Vec<Architecture> {
    let mut all = Vec::new();
    for (idx, (decision, gene)) in search_space.decisions.iter().zip(genes).enumerate() {
        let Some(share) = decision.domain.share_of(gene) else { continue };
        for share in [share - step, share + step] {
            let other = decision.domain.gene_at(share).filter(|other| other != gene && is_far(gene, other));
            if let Some(other) = other {
                let mut neighbour = genes.clone();
                if let Some(place) = neighbour.get_mut(idx) {
                    *place = other;
                    all.push(neighbour);
                }
            }
        }
    }
    all
}

/// The next whole number is a neighbour of the space's own.
fn is_far(gene: &Gene, other: &Gene) -> bool {
    match (gene, other) {
        (Gene::Integer(gene), Gene::Integer(other)) => gene.abs_diff(*other) > 1,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::testing::mixed_space;

    use super::*;

    #[test]
    fn active_ranges_step_either_way_on_their_scale_and_stop_at_their_ends() {
        let space = mixed_space();
        // Branch b: rate 0.01 (log scale), width 8 of 1 to 8, share -1 of -1 to 1.
        let genes = vec![
            Gene::Choice(1),
            Gene::Real(0.01),
            Gene::Choice(0),
            Gene::Integer(8),
            Gene::Inactive,
            Gene::Real(-1.0),
            Gene::Choice(0),
        ];
        let found = along_ranges(&space, &genes, 0.25);
        let changes: Vec<(usize, f64)> = found
            .iter()
            .map(|neighbour| {
                let differs = |idx: &usize| neighbour[*idx] != genes[*idx];
                let idx = (0..genes.len()).find(differs).unwrap();
                let value = match neighbour[idx] {
                    Gene::Real(value) => value,
                    Gene::Integer(value) => value as f64,
                    _ => panic!("not a range"),
                };
                (idx, (value * 1e6).round() / 1e6)
            })
            .collect();
        assert_eq!(changes, [(1, 0.001), (1, 0.1), (3, 4.0), (5, -0.5)]);
    }
}
