//! A live picture of a few lines at the bottom of the terminal, painted over in place.
//!
//! The terminal is not taken over: what stood there stays above, and the last picture stays in the end. While the picture
//! lives the cursor is hidden and the keyboard is not echoed, so that typing cannot move it; both are as before once it is
//! dropped, and while the process is stopped.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

use super::style::{Line, Look};

/// The size of a terminal that does not tell its own.
const USUAL_SIZE: Size = Size { columns: 80, rows: 24 };
/// Begins and ends an update that the terminal shows at once; one that does not know it ignores it.
const BEGIN_UPDATE: &str = "\x1b[?2026h";
const END_UPDATE: &str = "\x1b[?2026l";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// How large the terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// A picture on the terminal of standard error.
#[derive(Debug)]
pub(super) struct Screen {
    look: Look,
    /// The lines that the terminal shows now.
    painted: Vec<String>,
    size: Size,
    /// Whether the cursor is hidden; only while this process has the terminal.
    active: bool,
    /// The keyboard's mode before echo was switched off.
    keyboard: Option<Termios>,
}

impl Screen {
    /// `None` where standard error is no terminal, one that cannot move its cursor, or one that belongs to another job.
    pub(super) fn open() -> Option<Screen> {
        let stderr = io::stderr();
        let term = std::env::var("TERM").unwrap_or_default();
        if !stderr.is_terminal() || term.is_empty() || term == "dumb" || !in_foreground(&stderr) {
            return None;
        }
        let look = Look::of(&stderr);
        Some(Screen { look, painted: Vec::new(), size: size(), active: false, keyboard: None })
    }

    pub(super) fn look(&self) -> Look {
        self.look
    }

    /// The size for the next picture.
    pub(super) fn size(&self) -> Size {
        size()
    }

    /// Shows these lines in place of those before. Lines that stay the same are not written again. What does not fit into
    /// the terminal is left out. In the background nothing is painted: the terminal is somebody else's then.
    pub(super) fn paint(&mut self, lines: &[Line]) {
        if !in_foreground(&io::stderr()) {
            (self.active, self.keyboard) = (false, None);
            self.painted.clear();
            return;
        }
        if !self.active {
            self.begin();
        }
        let size = size();
        let mut out = String::from(BEGIN_UPDATE);
        if size != self.size {
            // Nobody knows how the terminal has broken the old lines, so the picture begins anew on an empty screen.
            self.size = size;
            self.painted.clear();
            out.push_str("\x1b[H\x1b[2J");
        }
        // The last row is left to the cursor, and the last column empty: some terminals break a line there.
        let lines = lines.iter().take(size.rows.saturating_sub(1));
        let lines: Vec<String> = lines.map(|line| self.look.render(line, size.columns.saturating_sub(1))).collect();
        if !self.painted.is_empty() {
            out.push_str(&format!("\x1b[{}A", self.painted.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            if self.painted.get(at) != Some(line) {
                out.extend([line, "\x1b[K"]);
            }
            out.push_str("\r\n");
        }
        if lines.len() < self.painted.len() {
            out.push_str("\x1b[J");
        }
        out.push_str(END_UPDATE);
        self.painted = lines;
        write(&out);
    }

    /// Takes the picture away.
    pub(super) fn clear(&mut self) {
        self.paint(&[]);
    }

    /// Stops this process as Ctrl-Z would have, with the terminal as it was before. When it is continued, the next picture
    /// begins below what the shell has written.
    pub(super) fn stop_process(&mut self) {
        self.restore();
        self.painted.clear();
        // Sent to this thread: where another one took it, this one could paint once more before all of them stand still.
        let _ = signal_hook::low_level::raise(Signal::STOP.as_raw());
    }

    fn begin(&mut self) {
        let stdin = io::stdin();
        // In the background, to change the terminal would stop this process.
        if in_foreground(&stdin)
            && let Ok(mode) = tcgetattr(&stdin)
        {
            let mut silent = mode.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(&stdin, OptionalActions::Now, &silent);
            self.keyboard = Some(mode);
        }
        self.active = true;
        write(HIDE_CURSOR);
    }

    fn restore(&mut self) {
        let stdin = io::stdin();
        if let Some(mode) = self.keyboard.take()
            && in_foreground(&stdin)
        {
            let _ = tcsetattr(&stdin, OptionalActions::Now, &mode);
        }
        if std::mem::take(&mut self.active) {
            write(SHOW_CURSOR);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.restore();
    }
}

fn in_foreground(terminal: &impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|group| tenure_supervise::own_group() == Some(group))
}

fn size() -> Size {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: usize::from(size.ws_col), rows: usize::from(size.ws_row) }
        }
        _ => USUAL_SIZE,
    }
}

/// A terminal that has gone away shows nothing; the demo goes on.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
