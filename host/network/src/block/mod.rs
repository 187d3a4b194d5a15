//! Block spaces: a list of stages of blocks, each block a choice among units (SPOS, ProxylessNAS, FBNet).
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
        let decisions = blocks.iter().filter(|block| block.decision.is_some()).map(|block| Decision {
            name: file.stages.get(block.stage).map(|stage| block.path(stage)).unwrap_or_default(),
            role: Role::Operation,
            domain: Domain::Choice(block.units.clone()),
            place: Place { cell: u32::try_from(block.stage).unwrap_or(u32::MAX), node: block.number },
            sources: Vec::new(),
            active_when: Vec::new(),
        });
        let decisions = decisions.collect();
        let space = SearchSpace { name: file.name.clone(), decisions, counts: Vec::new(), forbidden: Vec::new() };
        Ok(Self { file, blocks, space })
    }
}

fn blocks(file: &BlockFile) -> Vec<Block> {
    let mut next = 0..;
    let mut blocks = Vec::new();
    for (stage, section) in file.stages.iter().enumerate() {
        for number in 0..section.blocks {
            let units: Vec<String> = file.options(section, number).map(|unit| unit.name.clone()).collect();
            let decision = if units.len() > 1 { next.next() } else { None };
            blocks.push(Block { stage, number, units, decision });
        }
    }
    blocks
}

impl Family for BlockSpace {
    fn space(&self) -> &SearchSpace {
        &self.space
    }

    fn template(&self, purpose: Purpose) -> Result<Graph, NetworkError> {
        let settings = match purpose {
            Purpose::StandAlone => self.file.stack,
            Purpose::OneShot => self.file.stack.one_shot(&self.file.one_shot),
        };
        stack::stack(&self.file, &self.blocks, &settings)
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
