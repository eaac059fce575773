//! Wrong calls: what each prints, to the letter, with which code; and that doing what the line says mends it.
//! docs/troubleshooting.md lists them.

mod files;
mod schemes;
mod servers;
mod users;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::fleet::tenure;
use crate::operators::{Ran, ran};

/// A command of the store at this URL that takes a lease for a moment.
fn lock(url: &str) -> Command {
    let mut command = tenure();
    command.args(["run", "--lease", "k", "--no-wait", "--ttl", "3s", "--store", url, "--", "true"]);
    command
}

/// The command fails with this code, and prints this line and nothing else.
fn refused(command: &mut Command, code: i32, line: &str) {
    let Ran { code: ended, out, err } = ran(command);
    assert_eq!((err.as_str(), ended, out.as_str()), (&*format!("tenure: {line}\n"), Some(code), ""), "{command:?}");
}

/// The command is mended: it succeeds, and has nothing to say.
fn mended(command: &mut Command) {
    let Ran { code, err, .. } = ran(command);
    assert_eq!((err.as_str(), code), ("", Some(0)), "{command:?}");
}

/// A command that goes on until the test has ended, however it ends.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.stdout(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    /// Asks it to end, and waits.
    fn end(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// The URL of the store in this file.
fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}
