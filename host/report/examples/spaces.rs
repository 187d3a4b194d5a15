//! Draws an architecture of every preset space and its graph of shared weights into a folder, to look at:
//! `cargo run -p nasd-report --example spaces -- FOLDER`.

use std::{error::Error, path::Path};

use nasd_network::{CellOutline, SpaceDefinition};
use nasd_report::{
    drawing::{CellDrawing, DrawnEdge, sheet},
    png,
};
use nasd_space::{Architecture, Gene, StreamRandom, WeightedOption};

/// What is drawn of a space that has a published architecture.
const PUBLISHED: &[(&str, &str)] = &[
    (
        "enas-macro",
        "1 1 1 5 0 0 5 0 0 0 0 0 1 1 0 1 1 0 0 0 0 1 1 0 1 1 1 0 3 0 0 1 0 1 1 1 5 0 0 1 0 0 1 0 0 1 1 1 \
         0 0 0 0 1 0 0 0 1 1 0 0 0 0 1 1 1 1 0 0 1 1 1 1 0 1 0 0 1 1",
    ),
    ("enas-micro", "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"),
    ("spos", "2,1,0,1,2,0,2,0,2,0,2,3,0,0,0,0,3,2,3,3"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder to draw into")?;
    for name in SpaceDefinition::preset_names() {
        let space = SpaceDefinition::preset(name)?;
        let genes = match PUBLISHED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => space.parse_architecture(text)?,
            None => space.space().sample(&mut StreamRandom::new(1, "spaces"))?,
        };
        for (kind, genes) in [("", genes), ("-shared", evenly(&space))] {
            let cells: Vec<CellDrawing> = space.outline(&genes).into_iter().map(drawing).collect();
            let title = if kind.is_empty() { format!("{name}: {}", space.notation(&genes)) } else { name.to_owned() };
            let svg = sheet(&title, &cells)?;
            let path = Path::new(&folder).join(format!("{name}{kind}"));
            std::fs::write(path.with_extension("svg"), &svg)?;
            std::fs::write(path.with_extension("png"), png(&svg)?)?;
        }
    }
    Ok(())
}

/// Every option of every decision, all alike.
fn evenly(space: &SpaceDefinition) -> Architecture {
    let mixture = |n_options: usize| {
        let weight = 1.0 / n_options as f32;
        Gene::Mixture((0..).take(n_options).map(|index| WeightedOption { index, weight }).collect())
    };
    let decisions = space.space().decisions.iter();
    decisions.map(|decision| mixture(decision.domain.n_options().unwrap_or_default())).collect()
}

fn drawing(outline: CellOutline) -> CellDrawing {
    let edges = outline.edges.into_iter().map(|edge| DrawnEdge {
        from: edge.from,
        to: edge.to,
        label: edge.operation,
        weight: edge.weight,
    });
    let edges = edges.collect();
    CellDrawing { name: outline.name, edges, nodes: outline.nodes.into_iter().map(|node| node.label).collect() }
}
