//! The report: a row for every figure that was asked for, missed ones too.

use std::process::Command;

use serde::Serialize;

/// The figures of one bench (DESIGN, "Proof").
#[derive(Debug, Serialize)]
pub struct Report {
    name: String,
    commit: String,
    machine: String,
    rounds: usize,
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    case: String,
    metric: String,
    /// The median over the rounds.
    value: Option<f64>,
    /// The smallest and the largest of them.
    spread: Option<[f64; 2]>,
    baseline: Option<String>,
    limit: Option<f64>,
    holds: bool,
    #[serde(skip)]
    sense: &'static str,
}

impl Row {
    /// The figure `metric` of `case`, by what the rounds gave; nothing measured is a figure that
    /// does not hold once it has a limit.
    #[must_use]
    pub fn of(case: &str, metric: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let spread = values.first().zip(values.last()).map(|(least, most)| [*least, *most]);
        Self {
            case: case.to_owned(),
            metric: metric.to_owned(),
            value: median(&values),
            spread,
            baseline: None,
            limit: None,
            holds: true,
            sense: " ",
        }
    }

    /// What it was measured against.
    #[must_use]
    pub fn against(mut self, baseline: &str) -> Self {
        self.baseline = Some(baseline.to_owned());
        self
    }

    /// The figure that was asked for is at most `limit`. A row without a limit only reports.
    #[must_use]
    pub fn at_most(self, limit: f64) -> Self {
        let holds = self.value.is_some_and(|value| value <= limit);
        Self { limit: Some(limit), holds, sense: "≤", ..self }
    }

    /// The figure that was asked for is at least `limit`.
    #[must_use]
    pub fn at_least(self, limit: f64) -> Self {
        let holds = self.value.is_some_and(|value| value >= limit);
        Self { limit: Some(limit), holds, sense: "≥", ..self }
    }

    fn cells(&self) -> [String; 6] {
        let number = |value: f64| match value.abs() {
            size if size >= 100.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        let [least, most] = self.spread.map_or_else(Default::default, |both| both.map(number));
        [
            self.case.clone(),
            self.metric.clone(),
            self.value.map_or_else(|| "-".to_owned(), number),
            format!("{least} … {most}"),
            self.limit.map_or_else(String::new, |limit| {
                let missed = if self.holds { "" } else { "  MISSED" };
                format!("{} {}{missed}", self.sense, number(limit))
            }),
            self.baseline.clone().unwrap_or_default(),
        ]
    }
}

impl Report {
    /// An empty report of the bench `name`, which measures in `rounds` rounds.
    #[must_use]
    pub fn new(name: &str, rounds: usize) -> Self {
        let (commit, machine) = (commit(), machine());
        Self { name: name.to_owned(), commit, machine, rounds, rows: Vec::new() }
    }

    /// Adds a figure.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints the table and writes `target/bench/NAME.json`. A missed limit is told, not an error.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(&self) -> anyhow::Result<()> {
        let file = crate::folder()?.join(format!("{}.json", self.name));
        std::fs::write(&file, format!("{}\n", serde_json::to_string_pretty(self)?))?;
        println!(
            "\n{}: {} rounds at {} on {}\n",
            self.name, self.rounds, self.commit, self.machine
        );
        print!("{}", self.table());
        println!("\nwritten to {}", file.display());
        Ok(())
    }

    fn table(&self) -> String {
        let head = ["case", "metric", "median", "spread", "limit", "baseline"].map(String::from);
        let lines: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let width =
            |cell: usize| lines.iter().map(|line| line[cell].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        let mut table = String::new();
        for line in &lines {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            table.push('\n');
        }
        table
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The commit that was measured; `+` if there were changes on top of it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let here = env!("CARGO_MANIFEST_DIR");
        let out = Command::new("git").arg("-C").arg(here).args(arguments).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    if changed { commit + "+" } else { commit }
}

/// Processor, cores, kernel.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} × {model}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_median_and_its_limit_counts() {
        let row = Row::of("case", "cpu_ratio", [3.0, 1.0, 2.0]).at_most(2.0);
        assert_eq!((row.value, row.spread, row.holds), (Some(2.0), Some([1.0, 3.0]), true));
        assert!(!row.clone().at_most(1.9).holds);
        assert!(row.clone().at_least(2.0).holds);
        assert!(!row.at_least(2.1).holds);
        assert_eq!(Row::of("case", "x", [1.0, 2.0]).value, Some(1.5));
        assert!(!Row::of("case", "x", []).at_most(1.0).holds, "nothing measured is not a pass");
    }

    #[test]
    fn the_file_has_the_form_that_was_promised() {
        let mut report = Report::new("example", 5);
        report.add(Row::of("1 GiB, 1 client", "cpu_ratio", [1.7]).against("nginx").at_most(2.0));
        report.add(Row::of("1 GiB", "first_byte_ms", [3.0]));
        let json = serde_json::to_value(&report).expect("JSON");
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
        };
        let sorted = |names: &[&str]| {
            let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(keys(&json), sorted(&["name", "commit", "machine", "rounds", "rows"]));
        let row = ["case", "metric", "value", "spread", "baseline", "limit", "holds"];
        assert_eq!(keys(&json["rows"][0]), sorted(&row));
        assert_eq!(json["rows"][1]["limit"], serde_json::Value::Null);
        assert_eq!(json["rows"][0]["spread"], serde_json::json!([1.7, 1.7]));
    }
}
