//! What a golden file says (tests/peers/golden.py writes it).

use std::collections::BTreeMap;
use std::path::PathBuf;

use nasd_network::{Graph, SpaceDefinition};
use nasd_protocol::trainer::{Precision, Recipe};
use serde::Deserialize;

/// A tensor's norm and two probes.
pub type Summaries = BTreeMap<String, [f64; 3]>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub space: String,
    pub settings: BTreeMap<String, String>,
    pub architecture: serde_json::Value,
    pub mixtures: bool,
    pub unrolled: bool,
    pub recipe: Recipe,
    pub precision: Precision,
    pub input: [u32; 3],
    pub classes: u32,
    pub batch: i64,
    pub steps: u64,
    pub epochs: u64,
    pub updates_per_epoch: u64,
}

#[derive(Debug, Deserialize)]
pub struct Evaluation {
    pub loss: f64,
    pub logits: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    pub case: Case,
    pub losses: Vec<f64>,
    pub logits: Vec<f64>,
    pub auxiliary: Option<Vec<f64>>,
    #[serde(default)]
    pub gradient_norms: Vec<f64>,
    #[serde(default)]
    pub gradients: Summaries,
    pub mixture_gradients: Option<Vec<Vec<f64>>>,
    pub last_mixture_gradients: Option<Vec<Vec<f64>>>,
    /// A list a step.
    pub unrolled_gradients: Option<Vec<Vec<Vec<f64>>>>,
    #[serde(default)]
    pub weights: Summaries,
    pub evaluation: Option<Evaluation>,
}

impl Golden {
    /// From the folder `NASD_GOLDEN` names, if it is there, or from the project's files.
    pub fn read(name: &str) -> Self {
        let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let file = format!("{name}.json");
        let live = std::env::var_os("NASD_GOLDEN").map(|folder| PathBuf::from(folder).join(&file));
        let path = live.filter(|path| path.is_file()).unwrap_or_else(|| committed.join(&file));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let golden: Self = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(golden.case.name, name);
        golden
    }
}

impl Case {
    fn definition(&self) -> SpaceDefinition {
        let preset = SpaceDefinition::preset(&self.space).unwrap().with_task(self.input, self.classes).unwrap();
        self.settings.iter().fold(preset, |space, (key, value)| space.set(key, value).unwrap())
    }

    /// What is computed: a network, or the graph of shared weights.
    pub fn graph(&self) -> Graph {
        let definition = self.definition();
        if self.mixtures {
            return definition.one_shot().unwrap().clone();
        }
        let notation = match &self.architecture {
            serde_json::Value::String(text) => text.clone(),
            genotype => genotype.to_string(),
        };
        definition.network(&definition.parse_architecture(&notation).unwrap()).unwrap()
    }

    /// Options of each decision.
    pub fn options(&self) -> Vec<usize> {
        let definition = self.definition();
        definition.space().decisions.iter().map(|decision| decision.domain.n_options().unwrap()).collect()
    }
}
