//! Tells a step's progress: one line painted over on a terminal, else a line every 20 s.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::clock::minutes;

/// How often a line is told where there is no terminal.
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// How often the line on a terminal is painted.
const PAINTED_EVERY: Duration = Duration::from_millis(500);

/// Writes the progress of one step to standard error. Dropping it takes the line off the terminal.
#[derive(Debug)]
pub(crate) struct Live {
    /// The terminal's width; `None` without a terminal.
    columns: Option<usize>,
    told: Duration,
}

impl Live {
    /// Nothing is written before the first time is due.
    pub(crate) fn start() -> Live {
        let stderr = std::io::stderr();
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let columns = if stderr.is_terminal() && !dumb { Some(columns()) } else { None };
        Live { columns, told: Duration::ZERO }
    }

    /// Whether the progress is to be told now.
    pub(crate) fn is_due(&self, elapsed: Duration) -> bool {
        elapsed - self.told >= if self.columns.is_some() { PAINTED_EVERY } else { TOLD_EVERY }
    }

    /// Tells it.
    pub(crate) fn tell(&mut self, elapsed: Duration, progress: &str) {
        self.told = elapsed;
        let line = format!("      {:>5}  {progress}", minutes(elapsed));
        let mut stderr = std::io::stderr().lock();
        _ = match self.columns {
            // The last column stays free: some terminals break the line there.
            Some(columns) => write!(stderr, "\r{}\x1b[K", shortened(&line, columns.saturating_sub(1))),
            None => writeln!(stderr, "{}", shortened(&line, 160)),
        };
        _ = stderr.flush();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.columns.is_some() && self.told > Duration::ZERO {
            eprint!("\r\x1b[K");
        }
    }
}

/// The line, or as much of it as fits with dots behind it.
fn shortened(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(columns.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line never takes a second row.
    #[test]
    fn a_line_is_cut_to_the_terminal() {
        assert_eq!(shortened("0:20  1 of 2", 20), "0:20  1 of 2");
        assert_eq!(shortened("0:20  1 of 2 tests done", 10), "0:20  1...");
    }
}
