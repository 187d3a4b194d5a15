//! Draws one of each picture into a folder, to look at: `cargo run -p nasd-report --example gallery -- FOLDER`.

use std::{error::Error, path::Path};

use nasd_report::{
    Goal,
    drawing::{CellDrawing, DrawnEdge, sheet},
    plot::{Axis, Curve, LearningCurves, LinePlot, Scatter, ScatterPoint, Series},
    png,
    report::{Approximation, JobRow, Objective, Recommended, RunSummary, TestMeasure},
};

/// A small fixed stream of numbers in [0, 1): the pictures are the same each time.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder to draw into")?;
    for (name, svg) in pictures()? {
        let path = Path::new(&folder).join(name);
        std::fs::write(path.with_extension("svg"), &svg)?;
        std::fs::write(path.with_extension("png"), png(&svg)?)?;
    }
    let run = run();
    let pictures = run.pictures()?;
    for picture in &pictures {
        let path = Path::new(&folder).join(&picture.name);
        std::fs::write(path.with_extension("svg"), &picture.svg)?;
        std::fs::write(path.with_extension("png"), picture.png()?)?;
    }
    std::fs::write(Path::new(&folder).join("report.md"), run.markdown(&pictures))?;
    std::fs::write(Path::new(&folder).join("report.json"), run.json()?)?;
    Ok(())
}

fn pictures() -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    Ok(vec![
        ("repetitions", best_so_far().svg()?),
        ("curves", curves(0.3).svg()?),
        ("curves-full", curves(0.0).svg()?),
        ("scatter", scatter().svg()?),
        (
            "darts",
            sheet(
                "Recommended by digits-darts/1: DARTS_V2",
                &[darts("normal cell", &DARTS_V2_NORMAL), darts("reduction cell", &DARTS_V2_REDUCE)],
            )?,
        ),
        ("nas-bench-201", sheet("", &[nas_bench_201()])?),
        ("mixture", sheet("Mixtures of digits-darts/1 after epoch 12", &[mixture()])?),
        ("long", sheet("", &[long()])?),
        ("many", many(14).svg()?),
        ("one-point", many(1).svg()?),
        (
            "empty",
            LinePlot {
                title: "Nothing told yet".into(),
                x: Axis::new("jobs").whole(),
                y: Axis::new("loss"),
                series: vec![],
            }
            .svg()?,
        ),
    ])
}

fn best_so_far() -> LinePlot {
    let mut stream = Stream(7);
    let mut series = Vec::new();
    for (name, slope) in [("regularized-evolution 0.1.0", 0.05), ("random 0.1.0", 0.02), ("darts 0.1.0", 0.04)] {
        let mut best: f64 = 0.0;
        let (mut points, mut marks, mut band) = (Vec::new(), Vec::new(), Vec::new());
        for job in 1..=60 {
            let value = if stream.next() < 0.03 {
                0.1
            } else {
                0.9 + slope * (1.0 - (-f64::from(job) / 25.0).exp()) + 0.02 * stream.next()
            };
            best = best.max(value);
            marks.push((f64::from(job), value));
            points.push((f64::from(job), best));
            let spread = 0.006 * (1.0 + 8.0 / f64::from(job));
            band.push((f64::from(job), best - spread, best + spread / 2.0));
        }
        series.push(Series { name: name.into(), points, band, marks, steps: true });
    }
    LinePlot {
        title: "Best so far: digits-evolution/3, nas-bench-201 on digits".into(),
        x: Axis::new("jobs told").whole(),
        y: Axis::new("best validation accuracy").percent(),
        series,
    }
}

fn curves(stopped: f64) -> LearningCurves {
    let mut stream = Stream(3);
    let mut curves = Vec::new();
    for job in 0..60 {
        let (top, rate) = (0.88 + 0.1 * stream.next(), 0.25 + 0.5 * stream.next());
        let is_stopped = stream.next() < stopped;
        let last = if is_stopped { 2 + (stream.next() * 5.0) as u32 } else { 12 };
        let top = if is_stopped { top - 0.06 } else { top };
        let points = (1..=last).map(|epoch| {
            let value = top * (1.0 - 0.8 * (-rate * f64::from(epoch)).exp()) + 0.02 * (stream.next() - 0.5);
            (f64::from(epoch), value.min(0.995))
        });
        curves.push(Curve { name: format!("job {job}"), points: points.collect(), stopped: is_stopped });
    }
    let last = |curve: &Curve| curve.points.last().map_or(0.0, |(_, y)| *y);
    let best = (0..curves.len()).max_by(|a, b| last(&curves[*a]).total_cmp(&last(&curves[*b])));
    LearningCurves {
        title: "Learning curves: digits-evolution/3".into(),
        x: Axis::new("training").unit("epochs").whole(),
        y: Axis::new("validation accuracy").percent(),
        curves,
        best,
    }
}

fn scatter() -> Scatter {
    let mut stream = Stream(11);
    let mut points = Vec::new();
    for job in 0..80 {
        let params = 73_306.0 * (1.0 + 17.0 * stream.next() * stream.next());
        let x = (params / 1e5).ln().max(0.0);
        points.push(ScatterPoint {
            x: params,
            y: 0.84 + 0.04 * x + 0.04 * stream.next(),
            label: format!("job {job}"),
            group: 0,
        });
    }
    for (name, params, y) in
        [("ResNet-20", 272_474.0, 0.9125), ("ResNet-32", 466_906.0, 0.9249), ("ResNet-56", 855_770.0, 0.9303)]
    {
        points.push(ScatterPoint { x: params, y, label: name.into(), group: 1 });
    }
    Scatter {
        title: "Accuracy against size: cifar10-evolution/1".into(),
        x: (Axis::new("parameters").log(), Goal::Minimize),
        y: (Axis::new("validation accuracy").percent(), Goal::Maximize),
        groups: vec!["this run (80)".into(), "published (3)".into()],
        points,
        has_front: true,
    }
}

type Genotype = [(&'static str, usize); 8];

/// Liu et al. 2019, the second genotype of the released code.
const DARTS_V2_NORMAL: Genotype = [
    ("sep_conv_3x3", 0),
    ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 0),
    ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 1),
    ("skip_connect", 0),
    ("skip_connect", 0),
    ("dil_conv_3x3", 2),
];
const DARTS_V2_REDUCE: Genotype = [
    ("max_pool_3x3", 0),
    ("max_pool_3x3", 1),
    ("skip_connect", 2),
    ("max_pool_3x3", 1),
    ("max_pool_3x3", 0),
    ("skip_connect", 2),
    ("skip_connect", 2),
    ("max_pool_3x3", 1),
];
const OPERATIONS: [&str; 8] = [
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
];

fn edge(from: usize, to: usize, label: &str, weight: Option<f32>) -> DrawnEdge {
    DrawnEdge { from, to, label: label.into(), weight }
}

fn darts_nodes() -> Vec<String> {
    ["c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}"].map(str::to_owned).to_vec()
}

fn darts(name: &str, genotype: &Genotype) -> CellDrawing {
    let mut edges: Vec<_> =
        genotype.iter().enumerate().map(|(index, (label, from))| edge(*from, 2 + index / 2, label, None)).collect();
    edges.extend((2..6).map(|node| edge(node, 6, "", None)));
    CellDrawing { name: name.into(), nodes: darts_nodes(), edges }
}

fn nas_bench_201() -> CellDrawing {
    let operations = ["nor_conv_3x3", "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none", "nor_conv_1x1"];
    let pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];
    let edges = pairs.iter().zip(operations).map(|((from, to), label)| edge(*from, *to, label, None)).collect();
    let nodes = ["input", "1", "2", "output"].map(str::to_owned).to_vec();
    CellDrawing {
        name: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|".into(),
        nodes,
        edges,
    }
}

fn mixture() -> CellDrawing {
    let mut stream = Stream(5);
    let mut edges = Vec::new();
    for to in 2..6 {
        for from in 0..to {
            let logits: Vec<f64> = OPERATIONS.iter().map(|_| (3.0 * stream.next()).exp()).collect();
            let sum: f64 = logits.iter().sum();
            let share = |logit: f64| Some((logit / sum) as f32);
            edges.extend(OPERATIONS.iter().zip(logits).map(|(label, logit)| edge(from, to, label, share(logit))));
        }
        edges.push(edge(to, 6, "", None));
    }
    CellDrawing { name: "normal cell".into(), nodes: darts_nodes(), edges }
}

fn long() -> CellDrawing {
    let long = "an_operation_with_a_name_that_somebody_generated_from_all_of_its_parameters_3x3_stride_2";
    let edges = vec![
        edge(0, 1, long, Some(0.7)),
        edge(0, 1, "conv <3x3> & 'more'", Some(f32::NAN)),
        edge(1, 2, "gate", Some(3.0)),
        edge(0, 2, "", None),
    ];
    CellDrawing { name: "long names".into(), nodes: vec![long.into(), String::new(), "out".into()], edges }
}

/// More series than a legend holds; one point each.
fn many(count: u32) -> LinePlot {
    let series = (0..count).map(|index| {
        let name = if count == 1 { "random".to_owned() } else { format!("strategy with a long name, number {index}") };
        Series { name, points: vec![(1.0, 0.5 + 0.01 * f64::from(index))], ..Series::default() }
    });
    let (x, y) = (Axis::new("jobs told").whole(), Axis::new("validation accuracy").percent());
    LinePlot { title: "One job each".into(), x, y, series: series.collect() }
}

/// A run of sixty jobs with all that a report shows.
fn run() -> RunSummary {
    let mut stream = Stream(17);
    let mut jobs = Vec::new();
    for index in 0..60 {
        let (top, rate) = (0.86 + 0.12 * stream.next(), 0.5 + stream.next());
        let stopped = stream.next() < 0.3;
        let fidelity = if stopped { 2 } else { 4 };
        let curve: Vec<_> =
            (1..=fidelity).map(|epoch| (epoch, top * (1.0 - 0.7 * (-rate * f64::from(epoch)).exp()))).collect();
        let value = curve.last().map_or(0.0, |(_, value)| *value);
        let params = (73_306.0 + 4e5 * stream.next() * top).round();
        jobs.push(JobRow {
            id: index.to_string(),
            architecture: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
                .into(),
            measures: vec![("accuracy".into(), value), ("params".into(), params), ("flops".into(), params * 37.0)],
            cost: f64::from(fidelity),
            fidelity,
            curve,
            stopped,
            failed: (index == 23).then(|| "the loss became NaN in epoch 2".to_owned()),
        });
    }
    let cell = nas_bench_201();
    RunSummary {
        run: "digits-evolution/1".into(),
        space: "nas-bench-201".into(),
        strategy: "regularized-evolution 0.1.0".into(),
        data: "digits".into(),
        objective: Objective { name: "accuracy".into(), goal: Goal::Maximize, percent: true },
        further_objectives: Vec::new(),
        cost_unit: "epochs".into(),
        fidelity_unit: "epochs".into(),
        jobs,
        recommended: vec![Recommended {
            architecture: cell.name.clone(),
            cells: vec![CellDrawing { name: "cell".into(), ..cell }],
        }],
        mixtures: Vec::new(),
        test: vec![
            TestMeasure { name: "accuracy".into(), mean: 0.9639, deviation: Some(0.0021) },
            TestMeasure { name: "loss".into(), mean: 0.1234, deviation: Some(0.0101) },
        ],
        repetitions: 3,
        comparison: None,
        known: None,
        charts: Vec::new(),
        approximations: vec![Approximation {
            name: "median stopping".into(),
            jobs: 18,
            saved: 36.0,
            rank_agreement: Some(0.71),
        }],
        facts: Vec::new(),
    }
}
