//! `nasd space`: presets, architectures, costs. Reads and writes no state.

use std::{
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use nasd_network::SpaceDefinition;
use nasd_space::{Architecture, Gene, StreamRandom, WeightedOption};
use serde_json::json;

use super::{print, print_json};
use crate::{
    cli::{Space, SpaceChoice},
    configuration::{Setting, read_text},
    failure::Failed,
    run::report::cells,
    search::space as find,
};

/// Purpose of the stream that `sample` draws from.
const SAMPLE_STREAM: &str = "space sample";

/// Run the command.
pub fn run(command: &Space, is_json: bool) -> Result<ExitCode, Failed> {
    match command {
        Space::List if is_json => print_json(&SpaceDefinition::preset_names().collect::<Vec<_>>())?,
        Space::List => SpaceDefinition::preset_names().for_each(print),
        Space::Show { space, architecture, svg } => {
            let definition = definition(space)?;
            show(&definition, architecture.as_deref(), is_json)?;
            if let Some(path) = svg {
                draw(&definition, architecture.as_deref(), path)?;
            }
        }
        Space::Sample { space, seed, count } => {
            let definition = definition(space)?;
            for number in 0..*count {
                let architecture = sample(&definition, seed.wrapping_add(number))?;
                print(&definition.notation(&architecture));
            }
        }
        Space::Cost { space, from, one_shot } => {
            let definition = if *one_shot { one_shot_definition(space)? } else { definition(space)? };
            match from {
                Some(path) if !one_shot => cost_lines(&definition, path)?,
                _ => print_json(&definition.one_shot_costs().map_err(Failed::configuration).map(|c| costs_json(&c))?)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn definition(choice: &SpaceChoice) -> Result<SpaceDefinition, Failed> {
    find(&choice.space, Path::new("."), settings(choice)?.iter().map(|(key, value)| (key, value)))
}

/// Where the one-shot graph is meant, `stack.*` changes its stack: also what the file's `[one-shot]` has of its own.
fn one_shot_definition(choice: &SpaceChoice) -> Result<SpaceDefinition, Failed> {
    let mut all = Vec::new();
    for (key, value) in settings(choice)? {
        let own = key.strip_prefix("stack.").filter(|key| !["input", "classes", "style"].contains(key));
        let own = own.map(|own| (format!("one-shot.{own}"), value.clone()));
        all.extend([(key, value)].into_iter().chain(own));
    }
    find(&choice.space, Path::new("."), all.iter().map(|(key, value)| (key, value)))
}

fn settings(choice: &SpaceChoice) -> Result<Vec<(String, Setting)>, Failed> {
    let mut settings: Vec<(String, Setting)> = Vec::new();
    for setting in &choice.settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| Failed::Configuration(format!("--set {setting}: write it as key.path=value")))?;
        settings.push((key.to_owned(), Setting::Text(value.to_owned())));
    }
    Ok(settings)
}

fn sample(definition: &SpaceDefinition, seed: u64) -> Result<Architecture, Failed> {
    definition.space().sample(&mut StreamRandom::new(seed, SAMPLE_STREAM)).map_err(Failed::other)
}

/// An architecture in the space's notation, `@FILE` or `sample:SEED`.
fn architecture(definition: &SpaceDefinition, text: &str) -> Result<Architecture, Failed> {
    if let Some(seed) = text.strip_prefix("sample:") {
        let seed = seed.parse().map_err(|_| Failed::Configuration(format!("`{text}`: write sample:NUMBER")))?;
        return sample(definition, seed);
    }
    let text = match text.strip_prefix('@') {
        Some(path) => read_text(Path::new(path), "name a file that holds one architecture")?,
        None => text.to_owned(),
    };
    definition.parse_architecture(text.trim()).map_err(Failed::configuration)
}

fn costs_json(costs: &nasd_network::Costs) -> serde_json::Value {
    json!({
        "params": costs.params, "flops": costs.flops,
        "auxiliary_params": costs.auxiliary_params, "auxiliary_flops": costs.auxiliary_flops,
    })
}

fn show(definition: &SpaceDefinition, text: Option<&str>, is_json: bool) -> Result<(), Failed> {
    let space = definition.space();
    let chosen = text.map(|text| architecture(definition, text)).transpose()?;
    let costs = chosen.as_ref().map(|a| definition.costs(a)).transpose().map_err(Failed::configuration)?;
    if is_json {
        let mut document = json!({
            "space": space.name, "digest": space.digest(), "decisions": space.decisions,
            "log10_size": space.log10_size(),
        });
        if let (Some(architecture), Some(costs), Some(object)) = (&chosen, &costs, document.as_object_mut()) {
            object.insert("architecture".into(), json!(definition.notation(architecture)));
            object.insert("costs".into(), costs_json(costs));
        }
        return print_json(&document);
    }
    print(&format!("{}: {} decisions, 10^{:.2} architectures", space.name, space.decisions.len(), space.log10_size()));
    for decision in &space.decisions {
        let options = match &decision.domain {
            nasd_space::Domain::Choice(options) => options.join(", "),
            other => format!("{other:?}"),
        };
        print(&format!("  {}: {options}", decision.name));
    }
    if let (Some(architecture), Some(costs)) = (&chosen, &costs) {
        print(&format!("{}\n  {} parameters, {} FLOPs", definition.notation(architecture), costs.params, costs.flops));
    }
    Ok(())
}

/// Draw an architecture, or the options of every decision, all alike.
fn draw(definition: &SpaceDefinition, text: Option<&str>, path: &Path) -> Result<(), Failed> {
    let space = definition.space();
    let (title, genes) = match text {
        Some(text) => {
            let genes = architecture(definition, text)?;
            (format!("{}: {}", space.name, definition.notation(&genes)), genes)
        }
        None => {
            let mixture = |n_options: usize| {
                let weight = 1.0 / n_options as f32;
                Gene::Mixture((0..).take(n_options).map(|index| WeightedOption { index, weight }).collect())
            };
            let genes = space.decisions.iter().map(|decision| mixture(decision.domain.n_options().unwrap_or_default()));
            (space.name.clone(), genes.collect())
        }
    };
    let svg = nasd_report::drawing::sheet(&title, &cells(definition, &genes)).map_err(Failed::other)?;
    let bytes = match path.extension().is_some_and(|ending| ending == "png") {
        true => nasd_report::png(&svg).map_err(Failed::other)?,
        false => svg.into_bytes(),
    };
    std::fs::write(path, bytes)
        .map_err(|error| Failed::Configuration(format!("{}: {error}; name a file that can be written", path.display())))
}

fn cost_lines(definition: &SpaceDefinition, path: &Path) -> Result<(), Failed> {
    let label = path.display().to_string();
    let reader: Box<dyn BufRead> = if label == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(path).map_err(|error| {
            Failed::Configuration(format!("{label}: {error}; name a file of architectures, one a line, or - for stdin"))
        })?;
        Box::new(BufReader::new(file))
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (number, line) in reader.lines().enumerate() {
        let line = line.map_err(|error| Failed::Configuration(format!("{label}:{}: {error}", number + 1)))?;
        if line.trim().is_empty() {
            continue;
        }
        let costs = definition
            .parse_architecture(line.trim())
            .and_then(|architecture| definition.costs(&architecture))
            .map_err(|error| Failed::Configuration(format!("{label}:{}: {error}", number + 1)))?;
        if writeln!(out, "{}", costs_json(&costs)).is_err() {
            return Ok(()); // nobody reads on
        }
    }
    let _ = out.flush();
    Ok(())
}
