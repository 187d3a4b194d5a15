//! A run's report in Markdown.

use std::{collections::BTreeMap, fmt::Write};

use super::{Picture, RunSummary, TestMeasure, pictures::KNOWN};
use crate::{
    table::{MISSING, Table, code, escaped, short, significant},
    text::clean,
};

/// Rows of the table of best jobs.
const BEST: usize = 10;

impl RunSummary {
    /// The whole report. Pictures are linked as `NAME.svg`, so they belong into the same folder.
    pub fn markdown(&self, pictures: &[Picture]) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# {}\n", line(&self.run));
        out.push_str(&self.head().markdown());
        self.write_found(&mut out);
        write_pictures(&mut out, pictures, |name| name.starts_with("recommended") || name == "mixtures");
        if let Some(comparison) = &self.comparison {
            let _ = write!(out, "\n{}", comparison.markdown(2));
        }
        if let Some(known) = &self.known {
            let _ = write!(out, "\n{}", known.markdown());
            write_pictures(&mut out, pictures, |name| name == KNOWN);
        }
        let front = self.front_table();
        if !front.is_empty() {
            let names: Vec<&str> = self.objectives().map(|objective| objective.name.as_str()).collect();
            let _ = write!(out, "\n## Pareto front of {}\n\n{}", line(&names.join(", ")), front.markdown());
        }
        let best = self.best_table(BEST);
        if !best.is_empty() {
            let _ = write!(out, "\n## Best jobs\n\n{}", best.markdown());
        }
        if pictures.iter().any(|picture| !is_drawing(&picture.name)) {
            out.push_str("\n## Course\n");
            write_pictures(&mut out, pictures, |name| !is_drawing(name));
        }
        self.write_approximations(&mut out);
        self.write_failures(&mut out);
        out
    }

    fn head(&self) -> Table {
        let failed = self.jobs.iter().filter(|job| job.failed.is_some()).count();
        let stopped = self.jobs.iter().filter(|job| job.stopped).count();
        let goal = match self.objective.goal {
            crate::Goal::Maximize => "as high as possible",
            crate::Goal::Minimize => "as low as possible",
        };
        let mut jobs = self.jobs.len().to_string();
        for (count, what) in [(stopped, "stopped early"), (failed, "failed")] {
            if count > 0 {
                let _ = write!(jobs, ", {count} {what}");
            }
        }
        let mut table = Table::new().text("search").text(self.run.clone());
        for (name, value) in [
            ("space", self.space.clone()),
            ("data", self.data.clone()),
            ("strategy", self.strategy.clone()),
            ("objective", format!("validation {}, {goal}", self.objective.name)),
        ] {
            table.row([name.to_owned(), value]);
        }
        // Work on shared weights is no job that trained an architecture; the facts count it.
        if !self.jobs.is_empty() {
            table.row(["jobs".to_owned(), jobs]);
            table.row(["cost of all jobs".to_owned(), format!("{} {}", short(self.cost()), self.cost_unit)]);
        }
        for (name, value) in &self.facts {
            table.row([name.clone(), value.clone()]);
        }
        table
    }

    fn write_found(&self, out: &mut String) {
        let best = self.best(1);
        if self.recommended.is_empty() && self.test.is_empty() && best.is_empty() {
            out.push_str("\nNothing was found yet.\n");
            return;
        }
        out.push_str("\n## Found\n");
        if let [best, ..] = best.as_slice() {
            let value = self.value(best).map_or(MISSING.to_owned(), |value| self.with_unit(value));
            let (name, id) = (line(&self.objective.name), line(&best.id));
            let _ = writeln!(out, "\nBest validation {name}: **{value}** (job {id}).");
        }
        for (rank, recommended) in self.recommended.iter().enumerate() {
            let rank = if self.recommended.len() > 1 { format!(" {}", rank + 1) } else { String::new() };
            let _ = writeln!(out, "\nRecommended{rank}: {}", plain_code(&recommended.architecture));
        }
        if !self.test.is_empty() {
            let show = |measure: &TestMeasure| {
                let is_objective = measure.name == self.objective.name;
                let value = if is_objective { self.number(measure.mean) } else { short(measure.mean) };
                let spread = measure.deviation.map_or(String::new(), |deviation| {
                    format!(" ± {}", if is_objective { self.deviation(deviation) } else { significant(deviation, 2) })
                });
                let unit = if is_objective && self.objective.percent { " %" } else { "" };
                format!("{} **{value}{spread}{unit}**", line(&measure.name))
            };
            let measures: Vec<_> = self.test.iter().map(show).collect();
            let seeds = if self.repetitions > 1 { format!(" ({} seeds)", self.repetitions) } else { String::new() };
            let _ = writeln!(out, "\nOn held-out test data{seeds}: {}.", measures.join(", "));
        }
    }

    fn write_approximations(&self, out: &mut String) {
        if self.approximations.is_empty() {
            return;
        }
        let mut table = Table::new().text("approximation").number("jobs changed");
        table = table.number(format!("saved ({})", self.cost_unit)).number("saved of the full cost (%)");
        table = table.number("rank agreement (Kendall's tau)");
        // The full cost is what would have been spent without any of them.
        let full: f64 =
            self.cost() + self.approximations.iter().map(|a| a.saved).filter(|s| s.is_finite()).sum::<f64>();
        for approximation in &self.approximations {
            let part = if full > 0.0 { significant(100.0 * approximation.saved / full, 2) } else { MISSING.to_owned() };
            let tau = approximation.rank_agreement.map_or(MISSING.to_owned(), |tau| significant(tau, 2));
            let saved = short(approximation.saved);
            table.row([approximation.name.clone(), approximation.jobs.to_string(), saved, part, tau]);
        }
        let _ = write!(out, "\n## Approximations\n\n{}", table.markdown());
    }

    fn write_failures(&self, out: &mut String) {
        let mut failures: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for job in &self.jobs {
            let reason = job.failed.iter();
            reason.for_each(|reason| failures.entry(reason.as_str()).or_default().push(&job.id));
        }
        if failures.is_empty() {
            return;
        }
        let mut table = Table::new().number("jobs").text("which").text("why");
        for (reason, ids) in failures {
            let more = if ids.len() > 10 { ", …" } else { "" };
            let named = ids.iter().take(10).copied().collect::<Vec<_>>().join(", ");
            table.row([ids.len().to_string(), format!("{named}{more}"), reason.to_owned()]);
        }
        let _ = write!(out, "\n## Failed jobs\n\n{}", table.markdown());
    }
}

fn is_drawing(name: &str) -> bool {
    name.starts_with("recommended") || name == "mixtures" || name == KNOWN
}

fn write_pictures(out: &mut String, pictures: &[Picture], wanted: impl Fn(&str) -> bool) {
    for picture in pictures.iter().filter(|picture| wanted(&picture.name)) {
        let _ = writeln!(out, "\n![{}]({}.svg)", line(&picture.title), picture.name);
    }
}

fn line(text: &str) -> String {
    escaped(&clean(text))
}

/// A notation outside a table: bars need no escape there.
fn plain_code(text: &str) -> String {
    code(&clean(text)).replace("\\|", "|")
}
