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
            outlines.push(chain(file, name, blocks.iter().filter(|block| block.stage == index), genes));
        } else if is_first {
            let skipping = |block: &&Block| file.stages.get(block.stage).is_some_and(|stage| stage.skips);
            outlines.push(chain(file, "layers".to_owned(), blocks.iter().filter(skipping), genes));
        }
    }
    outlines
}

/// Blocks one after the other, with their skips.
fn chain<'b>(file: &BlockFile, name: String, blocks: impl Iterator<Item = &'b Block>, genes: &[Gene]) -> CellOutline {
    let mut nodes = vec![OutlineNode { label: "input".to_owned(), kind: OutlineKind::Input }];
    let mut edges = Vec::new();
    for block in blocks {
        let from = nodes.len() - 1;
        let to = from + 1;
        nodes.push(OutlineNode { label: format!("block{from}"), kind: OutlineKind::Inner });
        edges.extend(listed(block, genes).into_iter().map(|(option, weight)| OutlineEdge {
            from,
            to,
            operation: labelled(file, block, option, genes),
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

/// A unit's name, and its width if that is decided: `shuffle_3x3 x1.4`.
fn labelled(file: &BlockFile, block: &Block, option: u32, genes: &[Gene]) -> String {
    let mut name = block.units.get(option as usize).cloned().unwrap_or_default();
    let chosen = block.width.and_then(|decision| genes.get(decision as usize)).and_then(Gene::option);
    let widths = file.stages.get(block.stage).and_then(|stage| stage.widths.as_ref());
    if let (Some(option), Some(widths)) = (chosen, widths)
        && let Some(width) = widths.get(option as usize)
    {
        name.push_str(&format!(" x{width}"));
    }
    name
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
