//! The demo as it looks: on terminals of several sizes, and where there is none.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::time::Instant;

use crate::demo::processes_with;
use crate::fleet::{DEADLINE, tenure};

/// How the program ends an update of the screen.
const END_UPDATE: &str = "\x1b[?2026l";

/// A demo on a terminal, and somebody who looks and types.
struct Terminal {
    demo: Child,
    keys: File,
    /// What the terminal shows, and all that was written to it.
    seen: Arc<Mutex<(vt100::Parser, String)>>,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn new(columns: u16, rows: u16, environment: &[(&str, &str)], flags: &[&str]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, size(columns, rows)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = || -> OwnedFd {
            rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let demo = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_tenure"), "demo", "--channels", "3", "--rate", "200"])
            .args(flags)
            .env("TMPDIR", folder.path())
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .env_remove("LC_ALL")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::from(terminal()))
            .stdout(Stdio::from(terminal()))
            .stderr(Stdio::from(terminal()))
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new((vt100::Parser::new(rows, columns, 0), String::new())));
        let mut output = File::from(rustix::io::fcntl_dupfd_cloexec(&master, 3).unwrap());
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let mut seen = shared.lock().unwrap();
                seen.0.process(&buffer[..count]);
                seen.1.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Terminal { demo, keys: File::from(master), seen, folder }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.seen.lock().unwrap().0.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keys, size(columns, rows)).unwrap();
    }

    /// The rows of the screen.
    fn rows(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let (_, columns) = seen.0.screen().size();
        seen.0.screen().rows(0, columns).collect()
    }

    /// All that was written so far.
    fn written(&self) -> String {
        self.seen.lock().unwrap().1.clone()
    }

    fn wait(&self, what: &str, mut condition: impl FnMut(&Terminal) -> bool) {
        let give_up = Instant::now() + DEADLINE;
        while !condition(self) {
            assert!(Instant::now() < give_up, "no {what}: {:#?}", self.rows());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn shows(&self, text: &str) {
        self.wait(text, |terminal| terminal.rows().iter().any(|row| row.contains(text)));
    }

    /// Exactly one picture is on the screen, and none of its lines was broken by the terminal.
    fn shows_one_picture(&self) {
        self.wait("single picture", |terminal| {
            terminal.rows().iter().filter(|row| row.contains("tenure demo")).count() == 1
        });
        let seen = self.seen.lock().unwrap();
        let (rows, _) = seen.0.screen().size();
        assert!((0..rows).all(|row| !seen.0.screen().row_wrapped(row)), "{}", seen.0.screen().contents());
    }

    fn ends(&mut self) -> ExitStatus {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.demo.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < give_up, "it does not end: {:#?}", self.rows());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.keys).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn hides_cursor(&self) -> bool {
        self.seen.lock().unwrap().0.screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The demo's end ends all that it started.
        let _ = self.demo.kill();
        let _ = self.demo.wait();
    }
}

/// Whether a text selects a colour or another weight.
fn coloured(text: &str) -> bool {
    let after = text.split("\x1b[").skip(1);
    after.into_iter().any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The first picture has the score and what comes next; it fits terminals of every size, follows a change of size, and is
/// not moved by typing.
#[test]
fn the_picture_is_complete_from_the_start_and_fits() {
    for (columns, rows) in [(80, 24), (140, 40), (52, 10)] {
        let mut terminal = Terminal::new(columns, rows, &[], &["--seconds", "60"]);
        terminal.wait("first picture", |terminal| terminal.written().contains(END_UPDATE));
        let first = terminal.written();
        let first = first.split(END_UPDATE).next().unwrap();
        for word in ["sent", "published", "lost", "doubled", "next"] {
            assert!(first.contains(word), "{word} is not in the first picture: {first:?}");
        }
        terminal.shows_one_picture();
        assert!(terminal.hides_cursor() && !terminal.echoes());
        terminal.types("typed\n\n\n\n");
        terminal.shows("all is well");
        terminal.shows_one_picture();
        terminal.resize(columns - 10, rows - 2);
        let written = terminal.written().len();
        terminal.wait("picture of the new size", |terminal| terminal.written()[written..].contains(END_UPDATE));
        terminal.shows_one_picture();
        assert!(!terminal.written().contains("typed"), "{:#?}", terminal.rows());
    }
}

/// Ctrl-C ends the demo as it ends any command: by the signal, with the terminal as it was, and with nothing left.
#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    let mut terminal = Terminal::new(80, 24, &[], &["--seconds", "60"]);
    terminal.shows("all is well");
    let processes = format!("TENURE_BUS=sqlite:{}", terminal.folder.path().display());
    assert_eq!(processes_with(&processes).len(), 6);
    terminal.types("\x03");
    let status = terminal.ends();
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{status}");
    terminal.shows("broken off after");
    terminal.shows("lost 0, doubled 0");
    terminal.wait("terminal as it was", |terminal| terminal.echoes() && !terminal.hides_cursor());
    assert_eq!(processes_with(&processes), [] as [i32; 0]);
    assert_eq!(std::fs::read_dir(terminal.folder.path()).unwrap().count(), 0, "files are left");
}

/// Ctrl-Z gives the terminal back as it was; continued, the picture goes on below.
#[test]
fn ctrl_z_gives_the_terminal_back() {
    let terminal = Terminal::new(80, 24, &[], &["--seconds", "60"]);
    terminal.shows("all is well");
    let demo = i32::try_from(terminal.demo.id()).unwrap();
    crate::fleet::send(demo, Signal::TSTP);
    terminal.wait("stop", |_| crate::demo::is_stopped(demo));
    terminal.wait("terminal as it was", |terminal| terminal.echoes() && !terminal.hides_cursor());
    let written = terminal.written().len();
    crate::fleet::send(demo, Signal::CONT);
    terminal.wait("picture", |terminal| terminal.written()[written..].contains("tenure demo"));
    assert!(!terminal.echoes() && terminal.hides_cursor());
}

/// Colour is left out where it is not wanted, signs where the locale has none, and every sequence on a terminal that knows
/// none.
#[test]
fn the_picture_keeps_to_what_the_terminal_can() {
    let plain = Terminal::new(80, 24, &[("NO_COLOR", "1")], &["--seconds", "60"]);
    plain.shows("all is well");
    assert!(!coloured(&plain.written()) && plain.written().contains('─'));
    drop(plain);
    let ascii = Terminal::new(80, 24, &[("LANG", "C")], &["--seconds", "60"]);
    ascii.shows("all is well");
    assert!(ascii.written().is_ascii() && coloured(&ascii.written()));
    drop(ascii);
    let dumb = Terminal::new(80, 24, &[("TERM", "dumb")], &["--seconds", "60"]);
    dumb.shows("next, in");
    assert!(!dumb.written().contains('\x1b') && dumb.written().contains("lost 0, doubled 0"));
}

/// Without a terminal there are lines in the order of time, the score and what comes next among the first; then a page
/// that says where the files are, how to remove them, and a query that gives the number beside it.
#[test]
fn without_a_terminal_lines_are_in_order_and_the_query_counts_right() {
    let folder = tempfile::tempdir().unwrap();
    let both = File::create(folder.path().join("out")).unwrap();
    let status = tenure()
        .args(["demo", "--seconds", "8", "--rate", "300"])
        .env("TMPDIR", folder.path())
        .env("LANG", "C")
        .env_remove("LC_ALL")
        .stdout(both.try_clone().unwrap())
        .stderr(both)
        .status()
        .unwrap();
    let text = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert!(status.success(), "{text}");
    let times: Vec<f64> =
        text.lines().map_while(|line| line.split_once(" s  ")).map(|(time, _)| time.trim().parse().unwrap()).collect();
    assert!(times.len() > 15 && times.is_sorted(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[..3].iter().any(|line| line.contains("lost 0, doubled 0")), "{text}");
    assert!(lines[..5].iter().any(|line| line.contains("next, in") && line.contains("kill -9")), "{text}");
    assert!(text.is_ascii() && lines.iter().all(|line| line.len() <= 80), "{text}");
    for took_over in ["worker", "host", "stopped"] {
        let begins = lines.iter().position(|line| line.contains(took_over)).unwrap();
        assert!(lines[begins + 1..].iter().any(|line| line.contains("leads after")), "{text}");
    }
    let (_, prints) = text.split_once("this prints ").unwrap();
    let number: i64 = prints.split(':').next().unwrap().parse().unwrap();
    let command = prints.split_once(":\n").unwrap().1.split("Remove the files").next().unwrap();
    let sql = command.split('"').nth(1).unwrap();
    let chat = command.split_whitespace().nth(1).unwrap();
    let bus = rusqlite::Connection::open(chat).unwrap();
    let counted: i64 = bus.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(counted > 1_000 && counted == number, "{counted} {number}");
    // The whole command works as it is printed, where there is such a shell.
    if Command::new("sqlite3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), number.to_string());
    }
    drop(bus);
    let (size, remove) = text.split_once("Remove the files, ").unwrap().1.split_once(":\n").unwrap();
    assert!(size.ends_with(" kB") || size.ends_with(" MB"), "{size}");
    assert!(Command::new("sh").args(["-c", remove]).status().unwrap().success());
    assert!(!Path::new(chat).exists());
}

/// A demo that cannot start says why in one line, and leaves no files.
#[test]
fn a_demo_that_cannot_start_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = tenure()
        .args(["demo", "--store", "redis://127.0.0.1:1", "--json"])
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert!(output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left");
}
