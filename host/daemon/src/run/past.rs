//! A run's search as its journal says it was, for whoever looks at the run afterwards.
//!
//! The component is the state folder's own copy, by the digest that the journal names; space, data and configuration
//! must be what they were.

use std::path::Path;

use nasd_protocol::{Event, Record};
use nasd_store::{RunId, StateFolder};
use nasd_strategy::{Runtime, RuntimeOptions};
use serde_json::Value;

use super::{compiled_cache, folder::read_records};
use crate::{
    configuration::{self, KnownTable, SearchFile},
    failure::{Failed, chain},
    search::{self, Places, Search},
};

/// A run that was, or goes on elsewhere.
pub struct Past {
    /// Its state folder, to be read.
    pub state: StateFolder,
    /// Its journal.
    pub records: Vec<Record>,
    /// Its search.
    pub search: Search,
}

impl Past {
    /// `beside` is the folder that a space file named in its configuration lies in. `known` are results to look up in
    /// its report; no journal names them.
    pub async fn of(run: &RunId, places: &Places, beside: &Path, known: Option<KnownTable>) -> Result<Self, Failed> {
        let state = StateFolder::read_only(&places.state).map_err(Failed::configuration)?;
        let records = read_records(&state, run)?;
        let Some(Event::Begun { configuration, configuration_digest, strategy, .. }) =
            records.first().map(|record| &record.event)
        else {
            return Err(Failed::Configuration(format!("{run} has not begun")));
        };
        let written: Value = serde_json::from_str(configuration).map_err(Failed::other)?;
        let file = SearchFile { known_results: known, ..file_of(&written, run)? };
        let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
        let path = state.components_folder().join(format!("{}.wasm", strategy.digest));
        let bytes = state.files().read(&path);
        let bytes = bytes.map_err(|error| Failed::Other(format!("the run's strategy {}: {error}", path.display())));
        let search = search::resolve_with(file, &beside.join("search.toml"), places, &runtime, bytes).await?;
        if search.configuration_digest != *configuration_digest {
            return Err(Failed::Configuration(format!(
                "space, data or configuration are not what they were when {run} began; give those of then"
            )));
        }
        Ok(Self { state, records, search })
    }
}

/// The search file in a journal, which is written as JSON with nothing left to defaults.
fn file_of(written: &Value, run: &RunId) -> Result<SearchFile, Failed> {
    let unreadable = |error: &dyn std::error::Error| {
        Failed::Other(format!("the configuration in {run}'s journal: {}", chain(error)))
    };
    let mut search = written.get("search").cloned().unwrap_or_default();
    drop_nulls(&mut search);
    let text = toml::to_string(&search).map_err(|error| unreadable(&error))?;
    configuration::parse(&text, &format!("{run}'s journal"), &[])
}

/// TOML has no null: what is none is left out.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
