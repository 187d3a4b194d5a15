//! Identity against a canonical form found in another way: every order of naming convolutions is tried.
//!
//! The table of NAS-Bench-201 has a canonical column of its own with 6,466 values. The two differ by design. The
//! table writes a cell as an expression: it tells `a+b` from `b+a` and `(a+b)+c` from `a+(b+c)`, which compute the
//! same, and does not tell one convolution read twice from two convolutions with weights of their own, which do
//! not. Equal networks in our sense are 5,875.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};

use nasd_network::SpaceDefinition;
use nasd_space::Gene;

/// A sum: terms with how often they occur.
type Sum = BTreeMap<String, u32>;

const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];

/// The output of a cell whose convolutions on edge `k` have weights `labels[k]`.
fn render(operations: &[u32], labels: &[usize; 6]) -> String {
    let written = |sum: &Sum| sum.iter().map(|(term, times)| format!("{times}*{term}")).collect::<Vec<_>>().join("+");
    let mut nodes = [Sum::from([("x".to_owned(), 1)]), Sum::new(), Sum::new(), Sum::new()];
    for (edge, ((from, to), operation)) in EDGES.into_iter().zip(operations).enumerate() {
        let input = nodes[from].clone();
        let value = match operation {
            0 => Sum::new(),
            1 => input,
            // Batch-norm has a shift, so a convolution of zeros still gives something.
            2 | 3 => Sum::from([(format!("c{operation}#{}({})", labels[edge], written(&input)), 1)]),
            _ if input.is_empty() => input,
            _ => Sum::from([(format!("p({})", written(&input)), 1)]),
        };
        for (term, times) in value {
            *nodes[to].entry(term).or_default() += times;
        }
    }
    written(&nodes[3])
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (idx, first) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(idx);
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}

/// The least rendering over all names of the convolutions that matter.
fn canonical(operations: &[u32]) -> String {
    let plain = render(operations, &[0, 1, 2, 3, 4, 5]);
    let live: Vec<usize> = (0..6).filter(|edge| plain.contains(&format!("#{edge}("))).collect();
    let names: Vec<usize> = (0..live.len()).collect();
    let forms = permutations(&names).into_iter().map(|names| {
        let mut labels = [9; 6];
        for (edge, name) in live.iter().zip(names) {
            labels[*edge] = name;
        }
        render(operations, &labels)
    });
    forms.min().unwrap()
}

#[test]
fn identities_of_all_nas_bench_201_cells_are_exactly_their_canonical_forms() {
    let space = SpaceDefinition::preset("nas-bench-201").unwrap();
    let space = space.set("stack.cells-per-stage", "1").unwrap();
    let (mut identities, mut forms) = (HashMap::new(), HashMap::new());
    for number in 0..5u32.pow(6) {
        let operations: Vec<u32> = (0..6).map(|edge| number / 5u32.pow(edge) % 5).collect();
        let genes: Vec<Gene> = operations.iter().map(|option| Gene::Choice(*option)).collect();
        let (identity, form) = (space.identity(&genes).unwrap(), canonical(&operations));
        assert_eq!(identities.entry(identity.clone()).or_insert_with(|| form.clone()), &form, "{operations:?}");
        assert_eq!(forms.entry(form).or_insert_with(|| identity.clone()), &identity, "{operations:?}");
    }
    assert_eq!(identities.len(), 5_875);
}
