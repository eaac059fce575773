//! The terminal: a shell with job control on a pseudo-terminal, and somebody who types.

use std::process::Command;

use rustix::process::Signal;

use super::{KEY, LONG, Scene, Tree, send, state, until};
use crate::fleet::alive;
use crate::pty::Pty;

const PROMPT: &str = "ready> ";
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// A shell on a terminal.
struct Shell {
    terminal: Pty,
    run: String,
}

impl Shell {
    /// Starts one, with `$RUN` for `tenure run` in this scene.
    fn new(scene: &Scene, flags: &str) -> Shell {
        let mut shell = Command::new("bash");
        shell.args(["--norc", "--noprofile", "-i"]).env("PS1", PROMPT).env("BEATS", scene.file("beats"));
        let terminal =
            Pty::start(shell.env("TMPDIR", scene.folder.path()).env_remove("TENURE_STORE").env("TENURE_CONFIG", ""));
        let tenure = env!("CARGO_BIN_EXE_tenure");
        let run = format!("{tenure} run --lease {KEY} --store {} {flags} --", scene.store());
        let mut shell = Shell { terminal, run };
        shell.sees(PROMPT);
        shell
    }

    fn types(&mut self, text: &str) {
        self.terminal.types(text);
    }

    fn screen(&self) -> String {
        self.terminal.screen()
    }

    /// Waits until the screen shows this, and forgets everything up to it.
    fn sees(&mut self, text: &str) {
        self.terminal.sees(text);
    }

    /// The shell has the keyboard again, with this exit code of what it ran last.
    fn answers(&mut self, code: i32) {
        self.sees(PROMPT);
        self.types("echo \"code=$?\"\n");
        self.sees(&format!("\ncode={code}\r"));
        self.sees(PROMPT);
    }
}

/// A command that reads the keyboard.
const READER: &str = "sh -c 'while read line; do echo \"got:$line\"; done'";
/// A command that beats and starts nothing: a shell that is just starting something cannot be stopped.
const BEATER: &str = "bash -c 'mkfifo $BEATS.pipe; exec 9<>$BEATS.pipe; while :; do read up rest < /proc/uptime; \
                      echo $up $$ $TENURE_TERM >> $BEATS; read -t 0.005 -u 9; done'";

/// The command reads the keyboard, Ctrl-C ends it as it ends any command, and the shell goes on.
#[test]
fn the_keyboard_is_the_commands() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "");
    shell.types(&format!("{} {READER}\n", shell.run));
    shell.types("hello\n");
    shell.sees("got:hello");
    shell.types(CTRL_C);
    shell.answers(130);
    assert!(scene.leases().is_empty());
}

/// Ctrl-Z stops the command as a job of the shell, `fg` continues it with its keyboard, all under one tenure.
#[test]
fn ctrl_z_stops_and_fg_continues() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, &format!("--ttl {LONG}"));
    shell.types(&format!("{} {READER}\n", shell.run));
    shell.types("one\n");
    shell.sees("got:one");
    for text in ["two", "three"] {
        shell.types(CTRL_Z);
        shell.sees("Stopped");
        shell.answers(128 + 19);
        shell.types("fg\n");
        shell.types(&format!("{text}\n"));
        shell.sees(&format!("got:{text}"));
    }
    assert_eq!(scene.leases().len(), 1);
    shell.types("\x04");
    shell.answers(0);
}

/// A job that stays stopped past its deadline is dead then, and `fg` does not bring it back.
#[test]
fn fg_after_the_deadline_continues_nothing() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "--ttl 2s");
    shell.types(&format!("{} {BEATER}\n", shell.run));
    let tree = scene.next_tree(None);
    shell.types(CTRL_Z);
    shell.sees("Stopped");
    until("the command's end", || !alive(tree.command));
    let beats = scene.beats().len();
    shell.types("fg\n");
    shell.answers(75);
    assert_eq!(scene.beats().len(), beats);
    tree.gone();
}

/// The same with the watchdog stopped too: what is continued first looks at the clock first.
#[test]
fn fg_after_the_deadline_of_a_frozen_tree_continues_nothing() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "--ttl 2s");
    shell.types(&format!("{} {BEATER}\n", shell.run));
    let tree: Tree = scene.next_tree(None);
    shell.types(CTRL_Z);
    shell.sees("Stopped");
    send(tree.watchdog, Signal::STOP);
    until("a stop", || state(tree.watchdog) == Some('T'));
    until("the end of the lease", || scene.leases().is_empty());
    let beats = scene.beats().len();
    shell.types("fg\n");
    shell.answers(75);
    assert_eq!(scene.beats().len(), beats);
    tree.gone();
}

/// In a pipeline the others keep the terminal; Ctrl-C ends everything.
#[test]
fn a_pipeline_shares_the_terminal() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "");
    shell.types(&format!(
        "{} sh -c 'echo one; echo two; exec sleep 1000' | sed s/^/piped:/ -u; echo ended\n",
        shell.run
    ));
    shell.sees("piped:two");
    shell.types(CTRL_C);
    shell.sees(PROMPT);
    until("the lease's end", || scene.leases().is_empty());
}

/// A script that is no job-control shell keeps working: it has the terminal again after the command.
#[test]
fn a_script_has_the_terminal_afterwards() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "");
    let script = format!("{} {READER}; read after; echo \"after:$after\"", shell.run);
    std::fs::write(scene.file("script"), script).unwrap();
    shell.types(&format!("sh {}\n", scene.file("script").display()));
    shell.types("in\n");
    shell.sees("got:in");
    shell.types("\x04");
    until("the command's end", || scene.leases().is_empty());
    shell.types("out\n");
    shell.sees("after:out");
    shell.answers(0);
}

/// A run in the background waits quietly, and gets the keyboard when it is brought to the front.
#[test]
fn a_background_job_comes_to_the_front() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "");
    shell.types(&format!("{} {READER} &\n", shell.run));
    until("the command", || !scene.leases().is_empty());
    // The shell tells of it with its next prompt.
    until("a stopped job", || {
        shell.types("\n");
        std::thread::sleep(std::time::Duration::from_millis(20));
        shell.screen().contains("Stopped")
    });
    shell.types("fg\n");
    shell.types("front\n");
    shell.sees("got:front");
    shell.types(CTRL_C);
    shell.answers(130);
}

/// Under `nohup` a run in the background outlives its terminal, and goes on renewing.
#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let scene = Scene::new();
    let mut shell = Shell::new(&scene, "--ttl 2s");
    shell.types(&format!("nohup {} {BEATER} > /dev/null 2>&1 &\n", shell.run));
    let tree = scene.next_tree(None);
    // What the shell gets when its window is closed; it tells all of its jobs, and takes the terminal along.
    send(i32::try_from(shell.terminal.child.id()).unwrap(), Signal::HUP);
    shell.terminal.child.wait().unwrap();
    let deadline = || scene.leases().first().map(|lease| (lease.term, lease.remaining));
    let (term, _) = deadline().unwrap();
    let closed_at = tokio::time::Instant::now();
    until("a ttl and more", || closed_at.elapsed() > std::time::Duration::from_millis(2500));
    assert!(tree.all().iter().all(|pid| alive(*pid)), "the hangup ended it");
    let beats = scene.beats().len();
    until("more beats", || scene.beats().len() > beats + 10);
    assert_eq!(deadline().unwrap().0, term);
    send(tree.tenure, Signal::TERM);
    tree.gone();
}
