//! A reader at the keyboard: types what a guide says into shells, in a folder of its own, and looks at what is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::compare;
use crate::document::{Act, Block, Step};
use crate::record::Recorder;

/// The longest that a step may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often the reader looks.
const LOOK: Duration = Duration::from_millis(20);
/// Marks the end of a command's output, followed by its exit code.
const MARK: &str = "\u{1}exit ";
/// The ports in the guides. Each becomes a free one, for somebody else may be using it.
const PORTS: &[u16] = &[4222, 6379, 6667, 6668, 8080, 8081, 8082];

/// A session: everything that a guide's reader has in front of them.
pub(crate) struct Session {
    folder: TempDir,
    ports: BTreeMap<u16, u16>,
    terminals: BTreeMap<String, Terminal>,
    closed: usize,
    /// Writes down what was printed, where that is wanted.
    recorder: Option<Recorder>,
}

/// One terminal with a shell in it.
struct Terminal {
    shell: Child,
    keyboard: Option<std::process::ChildStdin>,
    screen: PathBuf,
    /// How many lines of the screen the guide has told of.
    told: usize,
    /// Whether the last command was still running when the guide looked away.
    busy: bool,
    /// The exit code of the last command, where it was not 0 and the guide has not said so yet.
    unsaid: Option<String>,
}

/// What a command has printed.
struct Printed {
    lines: Vec<String>,
    /// Its exit code, once it has ended.
    ended: Option<String>,
    /// How many lines of the screen this is.
    all: usize,
}

impl Session {
    /// A session in a folder of its own; `recorder` is told what is printed.
    pub(crate) fn new(recorder: Option<Recorder>) -> Session {
        let ports = PORTS.iter().map(|port| (*port, tenure_test_servers::free_port())).collect();
        Session { folder: tempfile::tempdir().unwrap(), ports, terminals: BTreeMap::new(), closed: 0, recorder }
    }

    /// Has `own` stand in for a port in the guide, from the next terminal on.
    pub(crate) fn set_port(&mut self, documented: u16, own: u16) {
        self.ports.insert(documented, own);
    }

    /// Types a block's commands and compares; the error says where and how the guide is wrong.
    pub(crate) fn play(&mut self, block: &Block) -> Result<(), String> {
        let name = block.terminal().map(str::to_owned).unwrap_or_else(|| {
            self.closed += 1;
            format!("once-{}", self.closed)
        });
        if !self.terminals.contains_key(&name) {
            let terminal = self.open(&name);
            self.terminals.insert(name.clone(), terminal);
        }
        let steps = block.steps.iter().enumerate();
        let last = block.steps.len().saturating_sub(1);
        for (number, step) in steps {
            // What is left running at the end of a terminal's block goes on; everything else is waited for.
            let stays = block.terminal().is_some() && number == last;
            self.step(&name, step, stays, block)?;
        }
        if let Some(code) = self.terminals.get_mut(&name).and_then(|terminal| terminal.unsaid.take()) {
            return Err(format!(
                "line {}: ended with {code}, and the guide does not say so with `echo $?`",
                block.line
            ));
        }
        Ok(())
    }

    /// Ends the session and gives the recorder back.
    pub(crate) fn end(mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    fn step(&mut self, name: &str, step: &Step, stays: bool, block: &Block) -> Result<(), String> {
        let recorded = block.is("recorded");
        let loosely = recorded || block.is("numbers");
        let command = match &step.act {
            Act::Command(command) => Some(self.here(command)),
            Act::Interrupt | Act::Nothing => None,
        };
        let expected: Vec<String> = step.expected.iter().map(|line| self.here(line)).collect();
        let terminal = self.terminals.get_mut(name).unwrap();
        if command.is_some() && terminal.busy {
            // A shell reads on when what ran has ended; the guide has told of all that it printed.
            let Printed { lines, ended, all } = terminal.wait(|printed| printed.ended.is_some());
            if !lines.is_empty() || ended.is_none() {
                return Err(complaint(step, "what ran before has printed more, or goes on", &[], &lines, ended));
            }
            terminal.busy = false;
            terminal.told += all;
            terminal.unsaid = ended.filter(|code| code != "0");
        }
        if let Some(code) = terminal.unsaid.take()
            && command.as_deref() != Some("echo $?")
        {
            let line = step.line;
            return Err(format!("before line {line}: ended with {code}, and the guide does not say so with `echo $?`"));
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.typed(name, &step.act);
        }
        match (&step.act, &command) {
            (_, Some(command)) => terminal.enter(command),
            (Act::Interrupt, None) => terminal.interrupt(),
            (_, None) => {}
        }
        let shown = |printed: &Printed| match stays && printed.ended.is_none() {
            true => compare::covered(&expected, &printed.lines, loosely),
            false => None,
        };
        let printed = terminal.wait(|printed| printed.ended.is_some() || shown(printed).is_some());
        if let Some(covered) = shown(&printed) {
            if let Some(recorder) = &mut self.recorder {
                recorder.printed(step, &printed.lines[..covered], recorded);
            }
            terminal.told += covered;
            terminal.busy = true;
            return Ok(());
        }
        let Printed { lines, ended, all } = printed;
        if ended.is_some() && compare::equal(&expected, &lines, loosely) {
            if let Some(recorder) = &mut self.recorder {
                recorder.printed(step, &lines, recorded);
            }
            terminal.told += all;
            terminal.busy = false;
            terminal.unsaid = ended.filter(|code| code != "0");
            return Ok(());
        }
        let why = if ended.is_some() { "printed something else" } else { "did not print this in time" };
        Err(complaint(step, why, &expected, &lines, ended))
    }

    /// The text with this session's ports in place of the guide's.
    fn here(&self, text: &str) -> String {
        let mut here = text.to_owned();
        for (documented, own) in &self.ports {
            here = here.replace(&format!(":{documented}"), &format!(":{own}"));
        }
        here
    }

    fn open(&self, name: &str) -> Terminal {
        let screen = self.folder.path().join(format!(".screen-{name}"));
        let file = File::create(&screen).unwrap();
        let tenure = PathBuf::from(env!("CARGO_BIN_EXE_tenure"));
        let path = std::env::var("PATH").unwrap_or_default();
        let work = self.folder.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        let mut shell = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(&work)
            .env_clear()
            .env("PATH", format!("{}:{path}", tenure.parent().unwrap().display()))
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            // The settings of the host are none of the guide's.
            .env("TENURE_CONFIG", "")
            .env("LANG", "C.UTF-8")
            .env("COLUMNS", "120")
            // By this the session finds what it has to end.
            .env("DOCS_SESSION", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut keyboard = shell.stdin.take().unwrap();
        // Interrupts are for what the shell runs, as in a terminal; clients find the session's servers.
        let redis = self.ports[&6379];
        writeln!(keyboard, "trap : INT; redis-cli() {{ command redis-cli -p {redis} \"$@\"; }}").unwrap();
        Terminal { shell, keyboard: Some(keyboard), screen, told: 0, busy: false, unsaid: None }
    }
}

/// How the guide is wrong.
fn complaint(step: &Step, why: &str, expected: &[String], printed: &[String], ended: Option<String>) -> String {
    let mut text = format!("line {}: {why}: {:?}\n--- the guide says\n", step.line, step.act);
    for line in expected {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "--- printed");
    for line in printed {
        let _ = writeln!(text, "{line}");
    }
    let _ = match ended {
        Some(code) => writeln!(text, "--- and ended with {code}"),
        None => writeln!(text, "--- and is still running"),
    };
    text
}

impl Terminal {
    /// Types a command. It reads no input, and its exit code is there for the next one.
    fn enter(&mut self, command: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        let typed =
            format!("(exit ${{code:-0}})\n{{ {command}\n}} < /dev/null\ncode=$?; printf '\\n\\001exit %d\\n' $code\n");
        keyboard.write_all(typed.as_bytes()).unwrap();
    }

    fn interrupt(&self) {
        let _ = kill_process_group(self.pid(), Signal::INT);
    }

    /// What was printed when `enough` says so, or when the time is over.
    fn wait(&self, enough: impl Fn(&Printed) -> bool) -> Printed {
        let mut waited = Duration::ZERO;
        loop {
            let printed = self.printed();
            if enough(&printed) || waited > DEADLINE {
                return printed;
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// What was printed since the guide last told of it.
    fn printed(&self) -> Printed {
        let screen = String::from_utf8_lossy(&std::fs::read(&self.screen).unwrap()).into_owned();
        // A line that is not whole yet is not printed yet.
        let whole = screen.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut lines: Vec<String> = whole.split('\n').skip(self.told).map(as_in_a_terminal).collect();
        let Some(at) = lines.iter().position(|line| line.starts_with(MARK)) else {
            return Printed { all: lines.len(), lines, ended: None };
        };
        let ended = lines[at][MARK.len()..].to_owned();
        lines.truncate(at);
        // The mark begins a line of its own.
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Printed { lines, ended: Some(ended), all: at + 1 }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.shell.id()).unwrap()).unwrap()
    }
}

impl Drop for Session {
    /// Ends everything that the session has started, wherever it went.
    fn drop(&mut self) {
        for terminal in self.terminals.values_mut() {
            terminal.keyboard = None;
        }
        let marker = format!("DOCS_SESSION={}", self.folder.path().display());
        for signal in [Signal::TERM, Signal::KILL] {
            for _ in 0..100 {
                let left = processes_with(&marker);
                if left.is_empty() {
                    break;
                }
                for pid in left {
                    let _ = kill_process(pid, signal);
                }
                std::thread::sleep(LOOK);
                for terminal in self.terminals.values_mut() {
                    let _ = terminal.shell.try_wait();
                }
            }
        }
        for terminal in self.terminals.values_mut() {
            let _ = terminal.shell.kill();
            let _ = terminal.shell.wait();
        }
    }
}

/// A shell that reads a script says of a killed program where that was; one in a terminal does not.
fn as_in_a_terminal(line: &str) -> String {
    let is_notice = line.starts_with("bash: line ") && line.contains(" Killed ");
    if is_notice { "Killed".to_owned() } else { line.to_owned() }
}

/// The processes that were started with `marker` in their environment.
fn processes_with(marker: &str) -> Vec<Pid> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
    })
    .filter_map(Pid::from_raw)
    .collect()
}
