//! Block spaces: a list of stages of blocks, each block a choice among units (SPOS, ProxylessNAS, FBNet),
//! and where asked among earlier values to read too (ENAS's macro space).
//!
//! ```toml
//! [[unit]]
//! name = "shuffle_3x3"
//! kind = "shuffle"
//! kernel = 3
//!
//! [[stage]]
//! name = "stage1"
//! units = ["shuffle_3x3", "shuffle_5x5"]
//! blocks = 4
//! channels = 64
//! stride = 2
//! ```
//!
//! A block with one unit decides nothing. After the last stage come the mean over the map and a linear classifier.
//! Architectures are lists of option indices, block after block.

mod drawing;
mod file;
mod stack;
mod units;

use nasd_space::{Decision, Domain, Gene, Place, Role, SearchSpace};

use crate::costs::Counting;
use crate::definition::{Family, Purpose};
use crate::error::NetworkError;
use crate::file::{Document, SpaceFileError};
use crate::graph::Graph;
use crate::list;
use crate::outline::CellOutline;
use file::{BlockFile, StageSection};

/// A space of the family `block`.
pub(crate) struct BlockSpace {
    file: BlockFile,
    blocks: Vec<Block>,
    space: SearchSpace,
}

/// A block of a network.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Index of its stage.
    pub stage: usize,
    /// Number within its stage.
    pub number: u32,
    /// Names of the units it chooses from.
    pub units: Vec<String>,
    /// The decision between them, where there is one.
    pub decision: Option<u32>,
    /// The decision on the width of what is inside, where there is one.
    pub width: Option<u32>,
    /// The decision on each earlier value, whether it is read too.
    pub skips: Vec<u32>,
}

impl Block {
    /// Ids of its nodes begin with it; its decision has this name.
    pub fn path(&self, stage: &StageSection) -> String {
        format!("{}/block{}", stage.name, self.number)
    }

    /// Stride of what it does.
    pub fn stride(&self, stage: &StageSection) -> u32 {
        if self.number == 0 { stage.stride } else { 1 }
    }
}

impl BlockSpace {
    /// From its file.
    pub fn new(document: &Document) -> Result<Self, SpaceFileError> {
        let file: BlockFile = document.read()?;
        file.check().map_err(|fault| fault.of(document))?;
        let blocks = blocks(&file);
        if let Some(block) = blocks.iter().find(|block| block.units.is_empty()) {
            let name = file.stages.get(block.stage).map_or("", |stage| stage.name.as_str());
            let problem = "its first block has nothing but an identity to choose, and has to change the map";
            return Err(document.error_in("stage", name, problem));
        }
        let decisions = blocks.iter().flat_map(|block| decisions(&file, block)).collect();
        let space = SearchSpace { name: file.name.clone(), decisions, counts: Vec::new(), forbidden: Vec::new() };
        Ok(Self { file, blocks, space })
    }
}

/// A block's decisions. Blocks with skips have one numbering across stages, in which 0 is what the first one reads.
fn decisions(file: &BlockFile, block: &Block) -> Vec<Decision> {
    let Some(stage) = file.stages.get(block.stage) else { return Vec::new() };
    let path = block.path(stage);
    let (cell, node) = if stage.skips {
        let first = file.stages.iter().position(|stage| stage.skips).unwrap_or_default();
        (first, block.skips.len() + 1)
    } else {
        (block.stage, block.number as usize)
    };
    let [cell, node] = [cell, node].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let decision = |name: String, role, options: Vec<String>, sources| Decision {
        name,
        role,
        domain: Domain::Choice(options),
        place: Place { cell, node },
        sources,
        active_when: Vec::new(),
    };
    let mut decisions = Vec::with_capacity(block.skips.len() + 2);
    if block.decision.is_some() {
        decisions.push(decision(path.clone(), Role::Operation, block.units.clone(), Vec::new()));
    }
    if let (Some(_), Some(widths)) = (block.width, &stage.widths) {
        let mut width = decision(format!("{path}/width"), Role::Width, Vec::new(), Vec::new());
        width.domain = Domain::Levels(widths.clone());
        decisions.push(width);
    }
    for (source, _) in (0..).zip(&block.skips) {
        let options = vec!["off".to_owned(), "on".to_owned()];
        decisions.push(decision(format!("{path}/skip{source}"), Role::Skip, options, vec![source]));
    }
    decisions
}

fn blocks(file: &BlockFile) -> Vec<Block> {
    let mut next = 0..;
    // What a block can read besides the value it acts on.
    let mut n_earlier = 0;
    let mut blocks = Vec::new();
    for (stage, section) in file.stages.iter().enumerate() {
        for number in 0..section.blocks {
            let units: Vec<String> = file.options(section, number).map(|unit| unit.name.clone()).collect();
            let decision = if units.len() > 1 { next.next() } else { None };
            let width = section.widths.as_ref().and_then(|_| next.next());
            let skips = if section.skips { next.by_ref().take(n_earlier).collect() } else { Vec::new() };
            n_earlier += usize::from(section.skips);
            blocks.push(Block { stage, number, units, decision, width, skips });
        }
    }
    blocks
}

impl Family for BlockSpace {
    fn space(&self) -> &SearchSpace {
        &self.space
    }

    fn template(&self, purpose: Purpose) -> Result<Graph, NetworkError> {
        stack::stack(&self.file, &self.blocks, purpose)
    }

    fn counting(&self) -> Counting {
        Counting { linear_bias: self.file.count.linear_bias, unused: false }
    }

    fn parse(&self, text: &str) -> Result<Vec<Gene>, NetworkError> {
        let forms = "write option indices with commas, block after block, or `decision=option, ...`";
        list::parse(self.space.decisions.len(), text, forms).map_err(|problem| NetworkError::notation(text, problem))
    }

    fn notation(&self, genes: &[Gene]) -> String {
        list::write(genes)
    }

    fn outline(&self, genes: &[Gene]) -> Vec<CellOutline> {
        drawing::outline(&self.file, &self.blocks, genes)
    }
}
