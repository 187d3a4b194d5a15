//! A run's report: order, derived numbers, tables, links and JSON.

use super::*;
use crate::drawing::DrawnEdge;

fn job(id: &str, accuracy: f64, cost: f64) -> JobRow {
    JobRow {
        id: id.into(),
        architecture: format!("|none~0|{id}|"),
        measures: vec![("accuracy".into(), accuracy), ("params".into(), 73_306.0 + accuracy * 1e5)],
        cost,
        fidelity: 4,
        curve: vec![(1, accuracy / 2.0), (4, accuracy)],
        ..JobRow::default()
    }
}

fn summary() -> RunSummary {
    let failed =
        JobRow { id: "3".into(), failed: Some("loss became NaN in epoch 2".into()), cost: 2.0, ..job("3", 0.99, 0.0) };
    let stopped = JobRow { stopped: true, ..job("4", 0.6, 1.0) };
    let edges = vec![DrawnEdge { from: 0, to: 1, label: "sep_conv_3x3".into(), weight: None }];
    let cell = CellDrawing { name: "normal cell".into(), nodes: vec!["in".into(), "out".into()], edges };
    RunSummary {
        run: "digits-evolution/1".into(),
        space: "nas-bench-201".into(),
        strategy: "regularized-evolution 0.1.0".into(),
        data: "digits".into(),
        objective: Objective { name: "accuracy".into(), goal: Goal::Maximize, percent: true },
        further_objectives: Vec::new(),
        cost_unit: "epochs".into(),
        fidelity_unit: "epochs".into(),
        jobs: vec![job("1", 0.81, 4.0), job("2", 0.9625, 4.0), failed, stopped, job("5", f64::NAN, 4.0)],
        recommended: vec![Recommended { architecture: "|a~0|+|b~0|".into(), cells: vec![cell] }],
        mixtures: Vec::new(),
        test: vec![TestMeasure { name: "accuracy".into(), mean: 0.95, deviation: Some(0.0123) }],
        repetitions: 3,
        comparison: None,
        known: None,
        charts: Vec::new(),
        approximations: vec![Approximation {
            name: "median stopping".into(),
            jobs: 1,
            saved: 3.0,
            rank_agreement: None,
        }],
        facts: vec![("journal digest".into(), "b3:12".into())],
    }
}

#[test]
fn best_so_far_counts_failed_jobs_costs_and_ignores_their_values() {
    let progress = summary().best_so_far();
    let expected = [(1, 4.0, 0.81), (2, 8.0, 0.9625), (3, 10.0, 0.9625), (4, 11.0, 0.9625), (5, 15.0, 0.9625)];
    assert_eq!(progress.iter().map(|at| (at.jobs, at.cost, at.best)).collect::<Vec<_>>(), expected);
}

#[test]
fn the_best_are_ranked_by_the_goal() {
    let mut summary = summary();
    let ids = |summary: &RunSummary| summary.best(9).iter().map(|job| job.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&summary), ["2", "1", "4"]);
    summary.objective.goal = Goal::Minimize;
    assert_eq!(ids(&summary), ["4", "1", "2"]);
}

#[test]
fn the_report_reads_as_a_whole() {
    let summary = summary();
    let pictures = summary.pictures().unwrap();
    let expected = "\
# digits-evolution/1

| search | digits-evolution/1 |
| :-- | :-- |
| space | nas-bench-201 |
| data | digits |
| strategy | regularized-evolution 0.1.0 |
| objective | validation accuracy, as high as possible |
| jobs | 5, 1 stopped early, 1 failed |
| cost of all jobs | 15 epochs |
| journal digest | b3:12 |

## Found

Best validation accuracy: **96.25 %** (job 2).

Recommended: `|a~0|+|b~0|`

On held-out test data (3 seeds): accuracy **95.00 ± 1.23 %**.

![Recommended by digits-evolution/1](recommended.svg)

## Best jobs

| job | accuracy (%) | params | training (epochs) | architecture |
| --: | --: | --: | --: | :-- |
| 2 | 96.25 | 169,556 | 4 | `\\|none~0\\|2\\|` |
| 1 | 81.00 | 154,306 | 4 | `\\|none~0\\|1\\|` |
| 4 | 60.00 | 133,306 | 4 | `\\|none~0\\|4\\|` |

## Course

![Best so far, over jobs](best-so-far.svg)

![Best so far, over cost](best-so-far-cost.svg)

![Learning curves](learning-curves.svg)

![Accuracy against parameters](objective-params.svg)

## Approximations

| approximation | jobs changed | saved (epochs) | saved of the full cost (%) | rank agreement (Kendall's tau) |
| :-- | --: | --: | --: | --: |
| median stopping | 1 | 3 | 17 | – |

## Failed jobs

| jobs | which | why |
| --: | :-- | :-- |
| 1 | 3 | loss became NaN in epoch 2 |
";
    assert_eq!(summary.markdown(&pictures), expected);
}

#[test]
fn the_json_has_what_was_told_and_what_follows() {
    let value: serde_json::Value = serde_json::from_str(&summary().json().unwrap()).unwrap();
    assert_eq!(value["best"], "2");
    assert_eq!(value["failed_jobs"], 1);
    assert_eq!(value["objective"]["goal"], "maximize");
    assert_eq!(value["best_so_far"][1]["cost"], 8.0);
    assert!(value["jobs"][4]["measures"][0][1].is_null(), "a number that is not finite is null");
}

#[test]
fn an_empty_run_has_a_report_without_pictures() {
    let empty = RunSummary { jobs: vec![], recommended: vec![], test: vec![], approximations: vec![], ..summary() };
    assert!(empty.pictures().unwrap().is_empty());
    assert!(empty.markdown(&[]).ends_with("Nothing was found yet.\n"));
}
