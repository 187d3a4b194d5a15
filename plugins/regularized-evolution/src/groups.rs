//! What a mutation changes: first a cell, then a kind of decision within it, each with equal chances, so
//! that a cell with many decisions is not changed more often than one with few (the paper's "hidden state"
//! and "op" mutations of the normal or the reduction cell).

use std::collections::BTreeMap;

use nas_strategy_sdk::{Gene, Role, SearchSpace, random};

/// Decisions by cell and kind, as indices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    cells: Vec<Vec<Vec<u32>>>,
}

/// Wiring and operations are the paper's two kinds; every other role is a kind of its own.
fn kind(role: Role) -> u8 {
    match role {
        Role::Operation | Role::Combination | Role::Activation => 0,
        Role::Input | Role::Skip => 1,
        other => 2 + other as u8,
    }
}

impl Groups {
    /// Groups of a space.
    pub fn of(space: &SearchSpace) -> Self {
        let mut cells: BTreeMap<u32, BTreeMap<u8, Vec<u32>>> = BTreeMap::new();
        for (decision, idx) in space.decisions.iter().zip(0..) {
            cells.entry(decision.place.cell).or_default().entry(kind(decision.role)).or_default().push(idx);
        }
        Self { cells: cells.into_values().map(|kinds| kinds.into_values().collect()).collect() }
    }

    /// Draws a group with an active decision; empty, which means all decisions, if there are no groups.
    pub fn draw(&self, parent: &[Gene]) -> &[u32] {
        let is_active = |idx: &u32| parent.get(*idx as usize).is_some_and(|gene| *gene != Gene::Inactive);
        let active = |cell: &'_ Vec<Vec<u32>>| cell.iter().any(|group| group.iter().any(is_active));
        let cells: Vec<_> = self.cells.iter().filter(|cell| active(cell)).collect();
        let Some(cell) = pick(&cells) else { return &[] };
        let groups: Vec<_> = cell.iter().filter(|group| group.iter().any(is_active)).collect();
        pick(&groups).map_or(&[], |group| group.as_slice())
    }
}

/// One of them, with equal chances; a single one costs no draw.
fn pick<T: Copy>(all: &[T]) -> Option<T> {
    match all {
        [] => None,
        [only] => Some(*only),
        _ => all.get(random::below(all.len() as u64) as usize).copied(),
    }
}
