//! Stages for drawings: a chain of blocks each.

use nasd_space::Gene;

use super::Block;
use super::file::BlockFile;
use crate::outline::{CellOutline, OutlineEdge, OutlineKind, OutlineNode};

/// Every stage, as these genes choose. Stages whose blocks skip are one drawing.
pub(crate) fn outline(file: &BlockFile, blocks: &[Block], genes: &[Gene]) -> Vec<CellOutline> {
    let mut outlines = Vec::with_capacity(file.stages.len());
    for (index, stage) in file.stages.iter().enumerate() {
        let is_first = !file.stages.iter().take(index).any(|stage| stage.skips);
        if !stage.skips {
            let stride = if stage.stride > 1 { format!(", stride {}", stage.stride) } else { String::new() };
            let name = format!("{} ({} channels{stride})", stage.name, file.stack.channels(stage.channels));
            outlines.push(chain(name, blocks.iter().filter(|block| block.stage == index), genes));
        } else if is_first {
            let skipping = |block: &&Block| file.stages.get(block.stage).is_some_and(|stage| stage.skips);
            outlines.push(chain("layers".to_owned(), blocks.iter().filter(skipping), genes));
        }
    }
    outlines
}

/// Blocks one after the other, with their skips.
fn chain<'b>(name: String, blocks: impl Iterator<Item = &'b Block>, genes: &[Gene]) -> CellOutline {
    let mut nodes = vec![OutlineNode { label: "input".to_owned(), kind: OutlineKind::Input }];
    let mut edges = Vec::new();
    for block in blocks {
        let from = nodes.len() - 1;
        let to = from + 1;
        nodes.push(OutlineNode { label: format!("block{from}"), kind: OutlineKind::Inner });
        edges.extend(listed(block, genes).into_iter().map(|(option, weight)| OutlineEdge {
            from,
            to,
            operation: block.units.get(option as usize).cloned().unwrap_or_default(),
            weight,
        }));
        for (from, decision) in block.skips.iter().enumerate() {
            let weight = match genes.get(*decision as usize) {
                Some(Gene::Choice(1)) => None,
                Some(Gene::Mixture(options)) => match options.iter().find(|option| option.index == 1) {
                    Some(option) => Some(option.weight),
                    None => continue,
                },
                _ => continue,
            };
            edges.push(OutlineEdge { from, to, operation: String::new(), weight });
        }
    }
    if let Some(last) = nodes.last_mut() {
        *last = OutlineNode { label: "output".to_owned(), kind: OutlineKind::Output };
    }
    CellOutline { name, nodes, edges }
}

/// Units and weights of a block.
fn listed(block: &Block, genes: &[Gene]) -> Vec<(u32, Option<f32>)> {
    match block.decision.and_then(|decision| genes.get(decision as usize)) {
        Some(Gene::Choice(option)) => vec![(*option, None)],
        Some(Gene::Mixture(options)) => options.iter().map(|option| (option.index, Some(option.weight))).collect(),
        _ if block.decision.is_none() => vec![(0, None)],
        _ => Vec::new(),
    }
}
