//! What a process's log said last at `warn` and above: for who asks what went wrong.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// So many lines are remembered.
pub const LINES: usize = 500;

/// So many bytes of lines are remembered.
pub const SIZE: usize = 50 << 10;

/// The last lines.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<String>>);

impl Recent {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Remembers a line, and forgets the oldest if there are too many. Of one that is too long it
    /// remembers the beginning.
    pub fn note(&self, line: &str) {
        let mut end = line.len().min(SIZE);
        while !line.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let line = line.get(..end).unwrap_or_default();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut size: usize = lines.iter().map(String::len).sum();
        while lines.len() >= LINES || size.saturating_add(line.len()) > SIZE {
            let Some(oldest) = lines.pop_front() else { break };
            size = size.saturating_sub(oldest.len());
        }
        lines.push_back(line.to_owned());
    }

    /// The lines, oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

/// Writes lines to stderr, and those at `warn` and above into a [`Recent`] too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembering(pub(crate) &'static Recent);

/// Where one line goes.
#[derive(Debug)]
pub(crate) struct Line(Option<&'static Recent>);

impl MakeWriter<'_> for Remembering {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(None)
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        // The graver, the less.
        Line((*meta.level() <= Level::WARN).then_some(self.0))
    }
}

impl Write for Line {
    /// A line comes whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(recent) = self.0 {
            recent.note(String::from_utf8_lossy(bytes).trim_end());
        }
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go() {
        let recent = Recent::default();
        for number in 0..(LINES + 10) {
            recent.note(&number.to_string());
        }
        let lines = recent.lines();
        assert_eq!((lines.len(), &*lines[0], &*lines[LINES - 1]), (LINES, "10", "509"));
        recent.note(&"x".repeat(SIZE - 4));
        assert_eq!(recent.lines().len(), 2, "one of three bytes has room beside it");
        recent.note(&"\u{e9}".repeat(SIZE));
        let lines = recent.lines();
        assert_eq!((lines.len(), lines[0].len()), (1, SIZE), "cut off");
        recent.note(&format!("a{}", "\u{e9}".repeat(SIZE)));
        assert_eq!(recent.lines()[0].len(), SIZE - 1, "not within a letter");
    }

    #[test]
    fn only_what_is_grave_is_remembered() {
        static RECENT: Recent = Recent::new();
        let writer = tracing_subscriber::fmt().with_ansi(false).with_writer(Remembering(&RECENT));
        tracing::subscriber::with_default(writer.finish(), || {
            tracing::info!("all is well");
            tracing::warn!(why = "it is late", "something is not");
        });
        let lines = RECENT.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("something is not") && lines[0].contains("it is late"));
        assert!(!lines[0].ends_with('\n'));
    }
}
