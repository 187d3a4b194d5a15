//! Stages for drawings: a chain of blocks each.

use nasd_space::Gene;

use super::Block;
use super::file::BlockFile;
use crate::outline::{CellOutline, OutlineEdge, OutlineKind, OutlineNode};

/// Every stage, as these genes choose.
pub(crate) fn outline(file: &BlockFile, blocks: &[Block], genes: &[Gene]) -> Vec<CellOutline> {
    let mut outlines = Vec::with_capacity(file.stages.len());
    for (index, stage) in file.stages.iter().enumerate() {
        let stride = if stage.stride > 1 { format!(", stride {}", stage.stride) } else { String::new() };
        let channels = file.stack.channels(stage.channels);
        let mut nodes = vec![OutlineNode { label: "input".to_owned(), kind: OutlineKind::Input }];
        let mut edges = Vec::new();
        for block in blocks.iter().filter(|block| block.stage == index) {
            let from = nodes.len() - 1;
            let (label, kind) = match block.number + 1 == stage.blocks {
                true => ("output".to_owned(), OutlineKind::Output),
                false => (format!("block{}", block.number), OutlineKind::Inner),
            };
            nodes.push(OutlineNode { label, kind });
            edges.extend(listed(block, genes).into_iter().map(|(option, weight)| OutlineEdge {
                from,
                to: from + 1,
                operation: block.units.get(option as usize).cloned().unwrap_or_default(),
                weight,
            }));
        }
        let name = format!("{} ({channels} channels{stride})", stage.name);
        outlines.push(CellOutline { name, nodes, edges });
    }
    outlines
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
