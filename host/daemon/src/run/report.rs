//! A run's report: Markdown with plots and drawings, each as SVG and PNG.

use nasd_engine::{JobEntry, JobStatus, Ledger};
use nasd_network::{CellOutline, SpaceDefinition};
use nasd_protocol::{Ending, Event, JobId, Measure, Outcome, Record, Work};
use nasd_report::{
    Goal,
    drawing::{CellDrawing, DrawnEdge},
    report::{Approximation, Chart, JobRow, Objective, Recommended, RunSummary, TestMeasure},
    table::{ComparisonRow, ComparisonTable, PublishedTable},
};
use nasd_space::{Architecture, Gene};
use nasd_strategy::services::SpaceService;

use super::summary::Summary;
use crate::{failure::Failed, search::Search, task::SearchTask};

/// Pictures by file name, and the text of `report.md`.
pub type Rendered = (Vec<(String, Vec<u8>)>, String);

/// A run's report; without pictures where `draws` says so.
pub fn render(
    search: &Search,
    ledger: &Ledger,
    records: &[Record],
    summary: &Summary,
    draws: bool,
) -> Result<Rendered, Failed> {
    let report = report(search, ledger, records, summary);
    let pictures = if draws { report.pictures().map_err(Failed::other)? } else { Vec::new() };
    let mut files = Vec::new();
    for picture in &pictures {
        files.push((format!("{}.svg", picture.name), picture.svg.clone().into_bytes()));
        files.push((format!("{}.png", picture.name), picture.png().map_err(Failed::other)?));
    }
    Ok((files, report.markdown(&pictures)))
}

fn report(search: &Search, ledger: &Ledger, records: &[Record], summary: &Summary) -> RunSummary {
    let definition = search.task.definition();
    let objective = search.plan.objectives.first();
    let metric = summary.objective.as_str();
    let jobs: Vec<JobRow> =
        ledger.told().iter().filter_map(|&id| row(id, ledger.get(id)?.as_ref(), &search.task, metric)).collect();
    let recommended = nasd_engine::resume::recommended(records).iter().map(|architecture| Recommended {
        architecture: definition.notation(architecture),
        cells: cells(definition, architecture),
    });
    let mixtures = ledger.iter().rev().find_map(|(_, entry)| mixture(&entry));
    let result = summary.final_results.first();
    let spreads = result.map(|result| &result.test).into_iter().flatten();
    let test = spreads.map(|(name, spread)| TestMeasure {
        name: name.clone(),
        mean: spread.mean,
        deviation: spread.deviation,
    });
    RunSummary {
        run: summary.run.clone(),
        space: summary.space.clone(),
        strategy: summary.strategy.clone(),
        data: summary.data.clone(),
        objective: shown(metric, objective.map_or(nasd_protocol::Goal::Maximize, |objective| objective.goal), &jobs),
        further_objectives: search.plan.objectives.iter().skip(1).map(|o| shown(&o.metric, o.goal, &jobs)).collect(),
        cost_unit: summary.cost_unit.clone(),
        fidelity_unit: search.task.method().fidelity_unit().into(),
        jobs,
        recommended: recommended.collect(),
        mixtures: mixtures.map(|genes| cells(definition, &genes)).unwrap_or_default(),
        test: test.collect(),
        repetitions: result.map_or(0, |result| result.repetitions),
        comparison: comparison(search, &summary.report_rows),
        known: summary.known.clone(),
        charts: charts(records),
        approximations: median_stop(search, ledger).into_iter().collect(),
        facts: facts(search, summary),
    }
}

fn facts(search: &Search, summary: &Summary) -> Vec<(String, String)> {
    let told = format!("{} ({} failed)", summary.jobs, summary.failed);
    let mut facts = vec![("jobs told".to_owned(), told)];
    // Work on shared weights has no row of its own.
    if search.task.shared().is_some() {
        facts.push(("cost of all told".into(), format!("{:.2} {}", summary.cost, summary.cost_unit)));
    }
    facts.push(("journal digest".into(), summary.digest.clone()));
    facts
}

/// Final trainings beside published rows on the same data, if there are some.
fn comparison(search: &Search, rows: &[ComparisonRow]) -> Option<ComparisonTable> {
    if rows.is_empty() {
        return None;
    }
    let (data, rows) = (search.final_task.data.clone(), rows.to_vec());
    Some(match PublishedTable::embedded(&data) {
        Some(published) => published.beside(rows),
        None => ComparisonTable { title: format!("Trained on {data}"), rows, notes: Vec::new() },
    })
}

/// An accuracy is a fraction that people read in percent, unless a program gives percents already.
fn shown(metric: &str, goal: nasd_protocol::Goal, jobs: &[JobRow]) -> Objective {
    let goal = match goal {
        nasd_protocol::Goal::Minimize => Goal::Minimize,
        nasd_protocol::Goal::Maximize => Goal::Maximize,
    };
    let values = jobs.iter().flat_map(|job| &job.measures).filter(|(name, _)| name == metric);
    let percent = metric.contains("accuracy") && values.into_iter().all(|(_, value)| (0.0..=1.0).contains(value));
    Objective { name: metric.to_owned(), goal, percent }
}

fn named(measures: &[Measure]) -> Vec<(String, f64)> {
    measures.iter().map(|measure| (measure.name.clone(), measure.value)).collect()
}

/// A job that trained by itself; shared work has no architecture of its own to show.
fn row(id: JobId, entry: &JobEntry, task: &SearchTask, metric: &str) -> Option<JobRow> {
    let definition = task.definition();
    let Work::Train(training) = &entry.proposal.work else { return None };
    let mut row = JobRow {
        id: id.to_string(),
        architecture: definition.notation(&training.architecture),
        cost: entry.cost,
        ..JobRow::default()
    };
    match &entry.status {
        JobStatus::Told(Outcome::Trained(trained)) => {
            row.measures = named(&trained.measures);
            for (name, value) in named(&task.costs(&training.architecture).unwrap_or_default()) {
                if !row.measures.iter().any(|(known, _)| *known == name) {
                    row.measures.push((name, value));
                }
            }
            let value = |point: &nasd_protocol::Point| Some((point.fidelity, Measure::find(&point.measures, metric)?));
            row.curve = trained.curve.iter().filter_map(value).collect();
            row.fidelity = trained.curve.last().map_or(0, |point| point.fidelity);
            row.stopped = trained.ending != Ending::Complete;
        }
        JobStatus::Told(Outcome::Failed(failure)) => row.failed = Some(failure.message.clone()),
        _ => return None,
    }
    Some(row)
}

/// The mixtures of a job's last step, if it has some.
fn mixture(entry: &JobEntry) -> Option<Architecture> {
    let Work::TrainShared(steps) = &entry.proposal.work else { return None };
    let architecture = &steps.last()?.architecture;
    architecture.iter().any(|gene| matches!(gene, Gene::Mixture(_))).then(|| architecture.clone())
}

/// What an architecture looks like, as it is drawn.
pub(crate) fn cells(definition: &SpaceDefinition, genes: &Architecture) -> Vec<CellDrawing> {
    definition.outline(genes).into_iter().map(drawing).collect()
}

fn drawing(outline: CellOutline) -> CellDrawing {
    let edges = outline.edges.into_iter().map(|edge| DrawnEdge {
        from: edge.from,
        to: edge.to,
        label: edge.operation,
        weight: edge.weight,
    });
    CellDrawing {
        name: outline.name,
        edges: edges.collect(),
        nodes: outline.nodes.into_iter().map(|node| node.label).collect(),
    }
}

/// What the strategy charted, over the jobs told before.
fn charts(records: &[Record]) -> Vec<Chart> {
    let mut charts: Vec<Chart> = Vec::new();
    let mut told = 0;
    for record in records {
        match &record.event {
            Event::Told { .. } => told += 1,
            Event::Charted { name, value } => {
                let known = charts.iter_mut().find(|chart| chart.name == *name);
                match known {
                    // A call that was made again after a crash says the same again.
                    Some(chart) => match chart.points.last_mut().filter(|(jobs, _)| *jobs == told) {
                        Some(last) => last.1 = *value,
                        None => chart.points.push((told, *value)),
                    },
                    None => charts.push(Chart { name: name.clone(), points: vec![(told, *value)] }),
                }
            }
            _ => {}
        }
    }
    charts
}

/// What median stopping saved.
fn median_stop(search: &Search, ledger: &Ledger) -> Option<Approximation> {
    search.plan.median_stop.as_ref()?;
    let stopped = ledger.iter().filter(|(_, entry)| matches!(entry.stopped, Some((Ending::StoppedByHost, _))));
    let (jobs, saved) =
        stopped.fold((0, 0.0), |(jobs, saved), (_, entry)| (jobs + 1, saved + entry.duration - entry.cost));
    Some(Approximation { name: "median stopping".into(), jobs, saved, rank_agreement: None })
}
