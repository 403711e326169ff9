//! What is shown while a file arrives: a bar for people, lines of JSON for programs.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// How progress is shown.
#[derive(Debug)]
pub enum Progress {
    /// A bar on a terminal.
    Bar(ProgressBar),
    /// A line of JSON a second.
    Json {
        /// When the last line was printed.
        last: Instant,
        /// How much has come.
        done: u64,
        /// How much there is.
        total: Option<u64>,
    },
    /// Nothing.
    Quiet,
}

impl Progress {
    /// Progress of a file named `name`.
    #[must_use]
    pub fn new(name: &str, json: bool, quiet: bool) -> Self {
        if json {
            return Self::Json { last: Instant::now(), done: 0, total: None };
        }
        if quiet || !std::io::stderr().is_terminal() {
            return Self::Quiet;
        }
        let bar = ProgressBar::new(0).with_message(name.to_owned());
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    /// So much has come, of so much.
    pub fn at(&mut self, now: u64, of: Option<u64>) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(of.unwrap_or(now));
                bar.set_position(now);
            }
            Self::Json { last, done, total } => {
                (*done, *total) = (now, of);
                if last.elapsed() >= Duration::from_secs(1) {
                    *last = Instant::now();
                    println!("{}", json!({"event": "progress", "bytes": now, "total": of}));
                }
            }
            Self::Quiet => {}
        }
    }

    /// The end.
    pub fn done(&self, report: &serde_json::Value) {
        match self {
            Self::Bar(bar) => bar.finish(),
            Self::Json { .. } => println!("{report}"),
            Self::Quiet => {}
        }
    }
}
