//! What a search found, and how it ranked, beside results that are known already.
//!
//! A search that judges architectures cheaply (with shared weights, on short trainings) is only as good as its ranking.
//! Where the true results are in a table, this says how good: Kendall's tau between the two orders, with an interval,
//! beside the orders that counting FLOPs and parameters gives for nothing.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    Goal,
    plot::{Axis, Scatter, ScatterPoint, without_outliers},
    statistics::quantile,
    table::{MISSING, Table},
};

/// Resamples behind an interval (Efron's bootstrap).
const RESAMPLES: usize = 1_000;
/// Fewer architectures than this have no order worth a number.
pub const FEWEST: usize = 10;

/// Kendall's tau-b of two orders of the same things (Kendall 1945): 1 for the same, -1 for the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Things ordered.
    pub n: usize,
    /// The coefficient.
    pub tau: f64,
    /// Low end of the bootstrap's 95 % interval.
    pub low: f64,
    /// High end of it.
    pub high: f64,
}

impl Agreement {
    /// Of two judgements of the same things. `below(n)` draws an index below `n`. None of fewer than [`FEWEST`], or where one
    /// of the two sees no difference.
    pub fn of(judged: &[(f64, f64)], below: &mut dyn FnMut(usize) -> usize) -> Option<Self> {
        let judged: Vec<(f64, f64)> = judged.iter().copied().filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
        let n = judged.len();
        if n < FEWEST {
            return None;
        }
        let value = tau(&judged)?;
        let mut resampled: Vec<f64> = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            let sample: Vec<(f64, f64)> = (0..n).filter_map(|_| judged.get(below(n)).copied()).collect();
            resampled.extend(tau(&sample));
        }
        Some(Self { n, tau: value, low: quantile(&resampled, 0.025)?, high: quantile(&resampled, 0.975)? })
    }
}

fn tau(judged: &[(f64, f64)]) -> Option<f64> {
    let (first, second): (Vec<f64>, Vec<f64>) = judged.iter().copied().unzip();
    let (tau, _) = kendalls::tau_b_with_comparator(&first, &second, f64::total_cmp).ok()?;
    tau.is_finite().then_some(tau)
}

/// One way of judging, by what it said of architectures whose results are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// Such as `10 validation minibatches, recalibrated`.
    pub by: String,
    /// What it said, and what is known.
    pub points: Vec<(f64, f64)>,
    /// Over all.
    pub all: Option<Agreement>,
    /// Among those that are known to be better than the threshold.
    pub best: Option<Agreement>,
}

/// A recommended architecture, looked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    /// In the space's notation.
    pub architecture: String,
    /// Known results by data set, the one searched by first.
    pub results: Vec<(String, f64)>,
    /// Share of all known architectures that are not better, by the data set searched by; from 0 to 1.
    pub percentile: f64,
}

/// A search beside known results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnownResults {
    /// The table's name.
    pub table: String,
    /// The data set by which things are compared.
    pub data_set: String,
    /// The measure, such as `accuracy`.
    pub measure: String,
    /// Its better end.
    pub goal: Goal,
    /// Length of the trainings behind it, in epochs.
    pub epochs: u32,
    /// Number of architectures in the table.
    pub size: usize,
    /// The best of them.
    pub optimum: Option<f64>,
    /// Those better than it are ranked for themselves, too.
    pub threshold: Option<f64>,
    /// What was recommended, best first.
    pub found: Vec<Found>,
    /// Ways of judging, the search's own first, then counts.
    pub judgements: Vec<Judgement>,
}

impl KnownResults {
    fn is_percent(&self) -> bool {
        self.measure.contains("accuracy")
    }

    fn value(&self, value: f64) -> String {
        if self.is_percent() { format!("{:.2} %", value * 100.0) } else { format!("{value:.4}") }
    }

    /// What was recommended, a row each.
    pub fn found_table(&self) -> Table {
        let mut table = Table::new().code("recommended");
        let names: Vec<&String> = self.found.iter().flat_map(|found| &found.results).map(|(name, _)| name).collect();
        let mut data_sets: Vec<&String> = Vec::new();
        names.into_iter().for_each(|name| {
            if !data_sets.contains(&name) {
                data_sets.push(name);
            }
        });
        for name in &data_sets {
            table = table.number((*name).clone());
        }
        table = table.number(format!("percentile of {}", self.size));
        for found in &self.found {
            let result = |name: &String| found.results.iter().find(|(known, _)| known == name);
            let shown = |name: &String| result(name).map_or(MISSING.to_owned(), |(_, value)| self.value(*value));
            let mut cells = vec![found.architecture.clone()];
            cells.extend(data_sets.iter().map(|name| shown(name)));
            cells.push(format!("{:.2}", 100.0 * found.percentile));
            table.row(cells);
        }
        table
    }

    /// How well each way of judging ranks.
    pub fn ranking_table(&self) -> Table {
        let mut table = Table::new().text("judged by").number("architectures").number("Kendall's tau, all");
        if let Some(threshold) = self.threshold {
            let than = if self.goal == Goal::Maximize { "above" } else { "below" };
            let label = format!("{than} {}", self.value(threshold));
            table = table.number(format!("of them {label}")).number(format!("tau, {label}"));
        }
        let shown = |agreement: &Option<Agreement>| {
            let agreement = agreement.as_ref()?;
            Some(format!("{:.2} ({:.2} to {:.2})", agreement.tau, agreement.low, agreement.high))
        };
        let missing = || MISSING.to_owned();
        for judgement in &self.judgements {
            let mut cells = vec![judgement.by.clone(), judgement.points.len().to_string()];
            cells.push(shown(&judgement.all).unwrap_or_else(missing));
            if self.threshold.is_some() {
                let n = judgement.best.as_ref().map_or_else(missing, |agreement| agreement.n.to_string());
                cells.extend([n, shown(&judgement.best).unwrap_or_else(missing)]);
            }
            table.row(cells);
        }
        table
    }

    /// The values are test results of trainings of so many epochs; the best there is.
    fn premise(&self) -> String {
        let optimum =
            self.optimum.map_or(String::new(), |optimum| format!("; the best there is: {}", self.value(optimum)));
        format!("Test {} after {} epochs, {}{optimum}.", self.measure, self.epochs, self.data_set)
    }

    /// A section of a report in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("## Looked up in {}\n\n{}\n", self.table, self.premise());
        if !self.found.is_empty() {
            let _ = write!(out, "\n{}", self.found_table().markdown());
        }
        if !self.judgements.is_empty() {
            let _ = write!(out, "\n{}", self.ranking_table().markdown());
            let _ = writeln!(out, "\nIn brackets: 95 % of {RESAMPLES} bootstrap resamples.");
        }
        out
    }

    /// What was judged over what is known: the search's own ways, at most three.
    pub fn scatter(&self, run: &str) -> Option<Scatter> {
        let drawn: Vec<&Judgement> = self.judgements.iter().filter(|judgement| !judgement.is_count()).take(3).collect();
        // A few hopeless architectures would press all others into a corner.
        let range = |of: fn(&(f64, f64)) -> f64| {
            let kept = without_outliers(drawn.iter().flat_map(|one| &one.points).map(of).collect());
            kept.first().copied().unwrap_or_default()..=kept.last().copied().unwrap_or_default()
        };
        let (judged, known) = (range(|point| point.0), range(|point| point.1));
        let is_shown = |point: &&(f64, f64)| judged.contains(&point.0) && known.contains(&point.1);
        let point = |(group, (judged, known)): (usize, &(f64, f64))| ScatterPoint {
            x: *known,
            y: *judged,
            label: String::new(),
            group,
        };
        let points: Vec<ScatterPoint> = drawn
            .iter()
            .enumerate()
            .flat_map(|(group, one)| one.points.iter().filter(is_shown).map(move |at| (group, at)))
            .map(point)
            .collect();
        let common = common_start(&drawn.iter().map(|judgement| judgement.by.as_str()).collect::<Vec<_>>());
        let name = |judgement: &&Judgement| {
            let by = judgement.by.get(common..).unwrap_or(&judgement.by);
            match judgement.points.iter().filter(|point| !is_shown(point)).count() {
                0 => by.to_owned(),
                outside => format!("{by} ({outside} outside)"),
            }
        };
        let axis = |name: String| if self.is_percent() { Axis::new(name).percent() } else { Axis::new(name) };
        (!points.is_empty()).then(|| Scatter {
            title: format!("Judged by the search, and known: {run}"),
            x: (axis(format!("test {} after {} epochs", self.measure, self.epochs)), self.goal),
            y: (axis(format!("judged {}", self.measure)), self.goal),
            groups: drawn.iter().map(name).collect(),
            points,
            has_front: false,
        })
    }
}

impl Judgement {
    /// Of what was said by `by`, and what is known; those that are known to be better than the threshold for themselves too.
    pub fn new(
        by: impl Into<String>,
        points: Vec<(f64, f64)>,
        is_best: impl Fn(f64) -> bool,
        below: &mut dyn FnMut(usize) -> usize,
    ) -> Self {
        let all = Agreement::of(&points, below);
        let best: Vec<(f64, f64)> = points.iter().copied().filter(|(_, known)| is_best(*known)).collect();
        let best = Agreement::of(&best, below);
        Self { by: by.into(), points, all, best }
    }

    /// Whether it is no judgement of the search but a count.
    fn is_count(&self) -> bool {
        self.by.starts_with("counting ")
    }
}

/// Length of what several names begin with alike, up to a comma; 0 of one name.
fn common_start(names: &[&str]) -> usize {
    let Some((first, others)) = names.split_first().filter(|(_, others)| !others.is_empty()) else { return 0 };
    let ends = first.match_indices(", ").map(|(at, comma)| at + comma.len());
    let is_common = |end: &usize| others.iter().all(|other| first.get(..*end) == other.get(..*end));
    ends.filter(is_common).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small linear congruential generator: the tests need any draws, the same each time.
    fn draws() -> impl FnMut(usize) -> usize {
        let mut state = 1u64;
        move |n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        }
    }

    #[test]
    fn orders_that_agree_and_orders_that_do_not() {
        let up: Vec<(f64, f64)> = (0..20).map(|i| (f64::from(i), f64::from(i * i))).collect();
        let same = Agreement::of(&up, &mut draws()).unwrap();
        assert_eq!((same.n, same.tau, same.high), (20, 1.0, 1.0));
        let down: Vec<(f64, f64)> = up.iter().map(|(a, b)| (*a, -b)).collect();
        assert_eq!(Agreement::of(&down, &mut draws()).unwrap().tau, -1.0);
        assert_eq!(Agreement::of(&up[..9], &mut draws()), None);
        let flat: Vec<(f64, f64)> = up.iter().map(|(a, _)| (*a, 1.0)).collect();
        assert_eq!(Agreement::of(&flat, &mut draws()), None);
    }

    #[test]
    fn ties_count_as_in_tau_b_and_the_interval_holds_the_value() {
        // By hand: of 45 pairs 41 agree and 2 do not, one is tied in each; (41 - 2) / sqrt(44 * 44).
        let first = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0];
        let second = [1.0, 3.0, 2.0, 4.0, 4.0, 7.0, 6.0, 8.0, 10.0, 9.0];
        let judged: Vec<(f64, f64)> = first.into_iter().zip(second).collect();
        let agreement = Agreement::of(&judged, &mut draws()).unwrap();
        assert!((agreement.tau - 0.886_363_636_363_636_4).abs() < 1e-12, "{}", agreement.tau);
        assert!(agreement.low < agreement.tau && agreement.tau <= agreement.high, "{agreement:?}");
        assert_eq!(Agreement::of(&judged, &mut draws()), Some(agreement));
    }

    #[test]
    fn a_legend_names_what_differs() {
        let cut = |names: &[&str]| common_start(names);
        assert_eq!(cut(&["shared, 10, batch", "shared, 10, running"]), "shared, 10, ".len());
        assert_eq!(cut(&["shared, 10, batch", "shared, 20, batch"]), "shared, ".len());
        assert_eq!((cut(&["a, b"]), cut(&["a, b", "c, b"]), cut(&[])), (0, 0, 0));
    }

    #[test]
    fn the_section_says_what_was_found_and_how_it_ranked() {
        let points: Vec<(f64, f64)> = (0..12).map(|i| (f64::from(i) / 100.0, 0.8 + f64::from(i) / 100.0)).collect();
        let known = KnownResults {
            table: "nas-bench-201".into(),
            data_set: "cifar-10".into(),
            measure: "accuracy".into(),
            goal: Goal::Maximize,
            epochs: 200,
            size: 15_625,
            optimum: Some(0.9437),
            threshold: Some(0.91),
            found: vec![Found {
                architecture: "a".into(),
                results: vec![("cifar-10".into(), 0.9376), ("cifar-100".into(), 0.7111)],
                percentile: 0.9,
            }],
            judgements: vec![Judgement::new("all minibatches", points, |known| known > 0.91, &mut draws())],
        };
        assert_eq!(
            known.markdown(),
            "## Looked up in nas-bench-201\n\n\
             Test accuracy after 200 epochs, cifar-10; the best there is: 94.37 %.\n\n\
             | recommended | cifar-10 | cifar-100 | percentile of 15625 |\n\
             | :-- | --: | --: | --: |\n\
             | `a` | 93.76 % | 71.11 % | 90.00 |\n\n\
             | judged by | architectures | Kendall's tau, all | of them above 91.00 % | tau, above 91.00 % |\n\
             | :-- | --: | --: | --: | --: |\n\
             | all minibatches | 12 | 1.00 (1.00 to 1.00) | – | – |\n\n\
             In brackets: 95 % of 1000 bootstrap resamples.\n"
        );
        assert_eq!(known.scatter("a/1").unwrap().points.len(), 12);
    }
}
