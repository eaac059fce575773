//! Records a guide: what is printed today takes the place of what its blocks marked `recorded` showed, and a film of the
//! whole is written beside it, in the second version of asciicast.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tenure_core::Time;

use crate::document::{Act, Step};

/// What was typed and printed so far.
pub(crate) struct Recorder {
    guide: PathBuf,
    began: Time,
    film: String,
    /// How much time to read was added to the film, in seconds.
    paused: f64,
    /// The lines of the guide, and what stands there from now on.
    replaced: Vec<(Range<usize>, Vec<String>)>,
    terminal: String,
}

impl Recorder {
    /// Begins the recording of a guide.
    pub(crate) fn new(guide: &Path) -> Recorder {
        let header = serde_json::json!({ "version": 2, "width": 120, "height": 36, "title": "Tenure: one lease, two terminals" });
        Recorder {
            guide: guide.to_owned(),
            began: tenure::now(),
            film: format!("{header}\n"),
            paused: 0.0,
            replaced: Vec::new(),
            terminal: String::new(),
        }
    }

    /// Somebody types in this terminal.
    pub(crate) fn typed(&mut self, terminal: &str, act: &Act) {
        self.paused += 1.0;
        if self.terminal != terminal {
            terminal.clone_into(&mut self.terminal);
            let title = if terminal.starts_with("once-") { "another terminal" } else { terminal };
            self.show(&format!("\n\u{1b}[2m--- {title} ---\u{1b}[0m\n"));
        }
        match act {
            Act::Command(command) => self.show(&format!("\u{1b}[1m$ {}\u{1b}[0m\n", command.replace('\n', "\n> "))),
            Act::Interrupt => self.show("^C\n"),
            Act::Nothing => {}
        }
    }

    /// This was printed, where the guide expected what `step` says; it takes the place of that where it is `kept`.
    pub(crate) fn printed(&mut self, step: &Step, lines: &[String], kept: bool) {
        for line in lines {
            self.show(&format!("{line}\n"));
        }
        if kept {
            self.replaced.push((step.span(), lines.to_vec()));
        }
    }

    /// Writes guide and film.
    pub(crate) fn write(self) -> std::io::Result<()> {
        let text = std::fs::read_to_string(&self.guide)?;
        let mut lines: Vec<&str> = text.lines().collect();
        for (span, printed) in self.replaced.iter().rev() {
            lines.splice(span.clone(), printed.iter().map(|line| line.trim_end()));
        }
        std::fs::write(&self.guide, lines.join("\n") + "\n")?;
        std::fs::write(self.guide.with_extension("cast"), self.film)
    }

    fn show(&mut self, text: &str) {
        let at = tenure::now().since(self.began).as_secs_f64() + self.paused;
        let event = serde_json::json!([(at * 1e3).round() / 1e3, "o", text.replace('\n', "\r\n")]);
        let _ = writeln!(self.film, "{event}");
    }
}
