//! What the commands print: tables and a bar for people, JSON for programs.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use peer::cache::{Collected, Done, Entry, Listing, Step};
use peer::serve::unix_now;
use serde::Serialize;

/// So many characters of a digest are shown.
const SHORT: usize = 16;

/// Prints what is stored.
pub(super) fn listing(listing: &Listing, full: bool, json: bool) -> anyhow::Result<()> {
    if json {
        return print(listing);
    }
    let mut rows =
        vec![["TASK", "LENGTH", "PRESENT", "STATE", "PINNED", "LAST USE"].map(String::from)];
    rows.extend(listing.tasks.iter().map(|entry| row(entry, full)));
    table(&rows)?;
    let writable = if listing.writable { "" } else { "; the disk takes no writes now" };
    let (held, quota) = (human(listing.bytes), human(listing.quota));
    writeln!(std::io::stdout(), "{} tasks, {held} of {quota}{writable}", listing.tasks.len())?;
    Ok(())
}

fn row(entry: &Entry, full: bool) -> [String; 6] {
    let name = if full { entry.task.clone() } else { short(&entry.task) };
    let state = match (entry.complete, entry.present) {
        (true, _) => "complete",
        (false, 0) => "empty",
        (false, present) if present == entry.length => "all here",
        (false, _) => "partial",
    };
    let pinned = if entry.pinned { "yes" } else { "" };
    let ago = ago(unix_now().saturating_sub(entry.last_use));
    [name, human(entry.length), human(entry.present), state.into(), pinned.into(), ago]
}

/// Prints columns side by side.
fn table(rows: &[[String; 6]]) -> std::io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..6).map(width).collect();
    let mut out = std::io::stdout().lock();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Prints what was done to which tasks.
pub(super) fn done(done: &Done, what: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return print(done);
    }
    let mut out = std::io::stdout().lock();
    for task in &done.tasks {
        writeln!(out, "{what} {task}")?;
    }
    if done.bytes > 0 {
        writeln!(out, "{} freed", human(done.bytes))?;
    }
    for left in &done.left {
        eprintln!("left {}: {}", left.task, left.why);
    }
    Ok(())
}

/// Prints what a collection took away.
pub(super) fn collected(collected: &Collected, json: bool) -> anyhow::Result<()> {
    if json {
        return print(collected);
    }
    let Collected { tasks, bytes, left } = *collected;
    writeln!(
        std::io::stdout(),
        "{tasks} tasks evicted, {} freed, {} left",
        human(bytes),
        human(left)
    )?;
    Ok(())
}

/// What is shown while tasks are verified.
pub(super) struct Verifying {
    json: bool,
    bar: Option<ProgressBar>,
    tasks: u64,
    damaged: u64,
    unknown: u64,
}

impl Verifying {
    pub(super) fn new(json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { json, bar, tasks: 0, damaged: 0, unknown: 0 }
    }

    /// Shows a step.
    pub(super) fn step(&mut self, step: Step) -> anyhow::Result<()> {
        if self.json {
            print(&step)?;
        }
        match step {
            Step::Progress { bytes, of } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(of);
                    bar.set_position(bytes);
                }
            }
            Step::Task { task, damaged, unknown, .. } => {
                self.tasks += 1;
                self.damaged += damaged;
                self.unknown += unknown;
                if damaged > 0 && !self.json {
                    self.say(&format!("{task}: {damaged} damaged pieces dropped"));
                }
            }
            Step::Failed { .. } | Step::Done => {}
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// The end; says whether nothing was damaged.
    pub(super) fn finish(self) -> anyhow::Result<bool> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.json {
            let mut out = std::io::stdout();
            let Self { tasks, damaged, unknown, .. } = self;
            write!(out, "{tasks} tasks verified, {damaged} damaged pieces")?;
            if unknown > 0 {
                write!(out, ", {unknown} pieces without a known digest")?;
            }
            writeln!(out)?;
        }
        Ok(self.damaged == 0)
    }
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}

/// A task's name, its digest cut short.
fn short(task: &str) -> String {
    match task.split_once(':') {
        Some((kind, digest)) => format!("{kind}:{}", digest.get(..SHORT).unwrap_or(digest)),
        None => task.to_owned(),
    }
}

/// A size for people: three digits and a unit.
fn human(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut power = 0;
    while power + 1 < units.len() && bytes >> (10 * (power + 1)) > 0 {
        power += 1;
    }
    let whole = bytes >> (10 * power);
    if power == 0 || whole >= 100 {
        return format!("{whole} {}", units[power]);
    }
    let tenth = ((bytes >> (10 * (power - 1))) & 1023) * 10 / 1024;
    format!("{whole}.{tenth} {}", units[power])
}

/// A time for people.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        let sizes = [0, 1023, 1024, 1536, 100 << 20, (5 << 30) + (512 << 20), u64::MAX];
        let shown = sizes.map(human);
        assert_eq!(shown[..6], ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "100 MiB", "5.5 GiB"]);
        assert!(shown[6].ends_with("TiB"), "{}", shown[6]);
        assert_eq!(
            [5, 130, 7200, 400_000].map(ago),
            ["just now", "2 min ago", "2 h ago", "4 days ago"]
        );
    }

    #[test]
    fn names_are_cut_where_they_still_stand_for_a_task() {
        let whole = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(short(&whole), "sha256:abababababababab");
        assert_eq!(short("odd"), "odd");
    }
}
