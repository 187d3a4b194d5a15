//! Cell spaces: a small graph is searched and stacked (NASNet, ENAS micro, DARTS, NAS-Bench-201).

mod drawing;
mod enas;
mod file;
mod genotype;
mod notation;
mod one_shot;
mod stack;
mod template;
mod wiring;

use nasd_space::{Gene, SearchSpace};

use crate::costs::Counting;
use crate::definition::{Family, Purpose};
use crate::error::NetworkError;
use crate::file::{Document, SpaceFileError};
use crate::graph::Graph;
use crate::outline::CellOutline;
use file::CellFile;
use wiring::Wiring;

/// A space of the family `cell`.
pub(crate) struct CellSpace {
    file: CellFile,
    wiring: Wiring,
    space: SearchSpace,
}

impl CellSpace {
    /// From its file.
    pub fn new(document: &Document) -> Result<Self, SpaceFileError> {
        let file: CellFile = document.read()?;
        file.check().map_err(|(key, problem)| document.error(key, problem))?;
        let wiring = Wiring::new(&file);
        let space = wiring.space(&file);
        Ok(Self { file, wiring, space })
    }
}

impl Family for CellSpace {
    fn space(&self) -> &SearchSpace {
        &self.space
    }

    fn template(&self, purpose: Purpose) -> Result<Graph, NetworkError> {
        match purpose {
            Purpose::StandAlone => stack::stack(&self.wiring, &self.file.stack, &self.file.task),
            Purpose::OneShot => {
                stack::stack(&self.wiring, &self.file.stack.one_shot(&self.file.one_shot), &self.file.task)
            }
        }
    }

    fn counting(&self) -> Counting {
        Counting { linear_bias: self.file.count.linear_bias, unused: self.file.count.unused }
    }

    fn parse(&self, text: &str) -> Result<Vec<Gene>, NetworkError> {
        notation::parse(&self.wiring, self.file.cell.edges_per_node, text)
    }

    fn notation(&self, genes: &[Gene]) -> String {
        notation::write(&self.wiring, self.file.cell.edges_per_node, self.file.stack.style, genes)
    }

    fn outline(&self, genes: &[Gene]) -> Vec<CellOutline> {
        drawing::outline(&self.wiring, genes)
    }
}
