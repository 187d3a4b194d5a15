//! A search space with everything that belongs to it: decisions, templates, costs, notation.
//!
//! [`SpaceDefinition`] is what the rest of the host holds. It dispatches to the family that the file names; a new
//! family is one more implementation of [`Family`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use nasd_space::{Gene, SearchSpace};

use crate::block::BlockSpace;
use crate::cell::CellSpace;
use crate::costs::{Costs, Counting, costs};
use crate::count::TemplateCosts;
use crate::error::NetworkError;
use crate::expected::ExpectedCosts;
use crate::file::{Document, SpaceFileError};
use crate::graph::Graph;
use crate::hyper::ParameterSpace;
use crate::identities::Identities;
use crate::identity::identity;
use crate::named;
use crate::outline::CellOutline;
use crate::specialize::specialize;

/// Presets: name and file.
const PRESETS: &[(&str, &str)] = &[
    ("darts-cnn", include_str!("../../../configs/spaces/darts-cnn.toml")),
    ("enas-macro", include_str!("../../../configs/spaces/enas-macro.toml")),
    ("enas-micro", include_str!("../../../configs/spaces/enas-micro.toml")),
    ("nas-bench-201", include_str!("../../../configs/spaces/nas-bench-201.toml")),
    ("nasnet", include_str!("../../../configs/spaces/nasnet.toml")),
    ("one-shot", include_str!("../../../configs/spaces/one-shot.toml")),
    ("proxyless", include_str!("../../../configs/spaces/proxyless.toml")),
    ("spos", include_str!("../../../configs/spaces/spos.toml")),
    ("spos-channels", include_str!("../../../configs/spaces/spos-channels.toml")),
];

/// Which graph of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Stand-alone networks.
    StandAlone,
    /// Shared weights.
    OneShot,
}

/// A kind of search space.
pub(crate) trait Family: Send + Sync {
    /// Its decisions and rules.
    fn space(&self) -> &SearchSpace;
    /// Its graph with choice points.
    fn template(&self, purpose: Purpose) -> Result<Graph, NetworkError>;
    /// How its networks are counted.
    fn counting(&self) -> Counting;
    /// Read an architecture, without asking the space's rules.
    fn parse(&self, text: &str) -> Result<Vec<Gene>, NetworkError>;
    /// Write an architecture.
    fn notation(&self, genes: &[Gene]) -> String;
    /// For drawings.
    fn outline(&self, genes: &[Gene]) -> Vec<CellOutline>;
}

struct Inner {
    document: Document,
    family: Box<dyn Family>,
    stand_alone: OnceLock<Result<Graph, NetworkError>>,
    one_shot: OnceLock<Result<Graph, NetworkError>>,
    counted: OnceLock<Result<TemplateCosts, NetworkError>>,
    expected_stand_alone: OnceLock<Result<ExpectedCosts, NetworkError>>,
    expected_one_shot: OnceLock<Result<ExpectedCosts, NetworkError>>,
    identities: Identities,
}

/// A search space with its networks. Cheap to clone.
#[derive(Clone)]
pub struct SpaceDefinition(Arc<Inner>);

impl fmt::Debug for SpaceDefinition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SpaceDefinition").field(&self.space().name).finish()
    }
}

impl SpaceDefinition {
    /// A preset by name.
    pub fn preset(name: &str) -> Result<Self, SpaceFileError> {
        match PRESETS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text, &format!("{name}.toml")),
            None => {
                let known = Self::preset_names().collect::<Vec<_>>().join(", ");
                let problem = format!("no such preset; known are {known}, or give a TOML file");
                Err(SpaceFileError { label: name.to_owned(), line: 0, problem })
            }
        }
    }

    /// Names of all presets.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// A space file's text; `label` stands in for the file's name in errors.
    pub fn parse(text: &str, label: &str) -> Result<Self, SpaceFileError> {
        Self::from_document(Document::new(text, label))
    }

    fn from_document(document: Document) -> Result<Self, SpaceFileError> {
        let table = document.table()?;
        let family: Box<dyn Family> = match table.get("family").and_then(toml::Value::as_str) {
            Some("block") => Box::new(BlockSpace::new(&document)?),
            Some("cell") => Box::new(CellSpace::new(&document)?),
            Some("parameters") => Box::new(ParameterSpace::new(&document)?),
            Some(other) => {
                let problem = format!("unknown family `{other}`; known are block, cell, parameters");
                return Err(document.error("family", problem));
            }
            None => return Err(document.error("family", "missing; add `family = \"cell\"`")),
        };
        let section = ["parameter", "stage"].into_iter().find(|section| table.contains_key(*section)).unwrap_or("cell");
        family.space().validate().map_err(|error| document.error(section, error))?;
        Ok(Self::new(document, family))
    }

    fn new(document: Document, family: Box<dyn Family>) -> Self {
        Self(Arc::new(Inner {
            document,
            family,
            stand_alone: OnceLock::new(),
            one_shot: OnceLock::new(),
            counted: OnceLock::new(),
            expected_stand_alone: OnceLock::new(),
            expected_one_shot: OnceLock::new(),
            identities: Identities::default(),
        }))
    }

    /// A space of hyper-parameters alone, from its decisions; it has no file, so nothing of it can be set.
    pub fn of_parameters(space: SearchSpace) -> Result<Self, nasd_space::SpaceError> {
        space.validate()?;
        let document = Document::new("", &space.name);
        Ok(Self::new(document, Box::new(ParameterSpace::of(space))))
    }

    /// The same space with one key of its file changed: `set("stack.layers", "8")`. `stack.input` (`3x32x32` or
    /// `[3, 32, 32]`) and `stack.classes` stand for the task's. `stack.*` are the evaluation stack's; where the
    /// file gives the shared weights' stack values of its own, `one-shot.*` changes those. Elements of lists go by
    /// their name or position: `stage.stem.stride`, `unit.3.kernel`.
    pub fn set(&self, path: &str, value: &str) -> Result<Self, SpaceFileError> {
        Self::from_document(self.0.document.with(path, value)?)
    }

    /// The same space for another task; `input` is `[channels, height, width]`.
    pub fn with_task(&self, input: [u32; 3], classes: u32) -> Result<Self, SpaceFileError> {
        let document = self.0.document.with("task.input", &format!("{input:?}"))?;
        Self::from_document(document.with("task.classes", &classes.to_string())?)
    }

    /// Decisions and rules.
    pub fn space(&self) -> &SearchSpace {
        self.0.family.space()
    }

    fn template(&self, purpose: Purpose) -> Result<&Graph, NetworkError> {
        let slot = match purpose {
            Purpose::StandAlone => &self.0.stand_alone,
            Purpose::OneShot => &self.0.one_shot,
        };
        slot.get_or_init(|| self.0.family.template(purpose)).as_ref().map_err(Clone::clone)
    }

    /// Whether its architectures are networks; hyper-parameters alone are not.
    pub fn has_networks(&self) -> bool {
        !matches!(self.template(Purpose::StandAlone), Err(NetworkError::NoNetwork { .. }))
    }

    /// The template of stand-alone networks.
    pub fn stand_alone(&self) -> Result<&Graph, NetworkError> {
        self.template(Purpose::StandAlone)
    }

    /// The network of a stand-alone architecture. Rules are not checked here.
    pub fn network(&self, architecture: &[Gene]) -> Result<Graph, NetworkError> {
        specialize(self.stand_alone()?, architecture)
    }

    /// The graph of shared weights: a template with the search's settings.
    pub fn one_shot(&self) -> Result<&Graph, NetworkError> {
        self.template(Purpose::OneShot)
    }

    /// Costs of a stand-alone architecture.
    pub fn costs(&self, architecture: &[Gene]) -> Result<Costs, NetworkError> {
        let template = self.stand_alone()?;
        let counted = self.0.counted.get_or_init(|| TemplateCosts::new(template, self.counting()));
        counted.as_ref().map_err(Clone::clone)?.of(template, architecture)
    }

    /// Costs of the graph of shared weights, every option counted.
    pub fn one_shot_costs(&self) -> Result<Costs, NetworkError> {
        costs(self.one_shot()?, self.counting())
    }

    /// Expected costs of mixtures on the graph of shared weights (`one_shot`) or the stand-alone template.
    pub fn expected_costs(&self, one_shot: bool) -> Result<&ExpectedCosts, NetworkError> {
        let (slot, purpose) = if one_shot {
            (&self.0.expected_one_shot, Purpose::OneShot)
        } else {
            (&self.0.expected_stand_alone, Purpose::StandAlone)
        };
        let made = slot.get_or_init(|| ExpectedCosts::new(self.template(purpose)?, self.counting()));
        made.as_ref().map_err(Clone::clone)
    }

    /// How this space is counted.
    pub fn counting(&self) -> Counting {
        self.0.family.counting()
    }

    /// Equal for architectures whose networks compute the same: a digest of the simplified network without ids,
    /// in which the order of additions does not matter. Without networks, equal for equal genes.
    pub fn identity(&self, architecture: &[Gene]) -> Result<String, NetworkError> {
        let genes = nasd_space::architecture_digest(&architecture.to_vec());
        if !self.has_networks() {
            return Ok(genes);
        }
        self.0.identities.get_or_make(genes, || identity(&self.network(architecture)?))
    }

    /// Read an architecture in the space's notation, or as `decision=option, ...`; it must obey the space's rules.
    pub fn parse_architecture(&self, text: &str) -> Result<Vec<Gene>, NetworkError> {
        let genes = match named::is_named(text) {
            true => named::parse(self.space(), text)?,
            false => self.0.family.parse(text)?,
        };
        self.space().check(&genes).map_err(|error| NetworkError::notation(text, error.to_string()))?;
        Ok(genes)
    }

    /// Write an architecture in the space's notation.
    pub fn notation(&self, architecture: &[Gene]) -> String {
        self.0.family.notation(architecture)
    }

    /// What each cell searched looks like, for drawings.
    pub fn outline(&self, genes: &[Gene]) -> Vec<CellOutline> {
        self.0.family.outline(genes)
    }
}
