//! Completions in real shells: somebody types the beginning of a word and presses the tab key.

use std::path::Path;
use std::process::Command;

use tenure_test_servers::{find, or_skip};

use crate::fleet::tenure;
use crate::operators::ran;
use crate::pty::Pty;

const PROMPT: &str = "ready> ";

/// What is typed, and what the tab key makes of it.
const LINES: &[(&str, &str)] = &[
    ("tenure res", "tenure resign "),
    ("tenure run --stop-s", "tenure run --stop-signal "),
    ("tenure run --stop-signal QU", "tenure run --stop-signal QUIT "),
    ("tenure run --stop-signal US", "tenure run --stop-signal USR"),
    ("tenure run --restart=al", "tenure run --restart=always "),
    ("tenure run --sdnotify t", "tenure run --sdnotify tenure "),
    ("tenure run --store redis:", "tenure run --store redis://"),
    ("tenure run --store=redis:", "tenure run --store=redis://"),
    ("tenure leases --store sq", "tenure leases --store sqlite:"),
    ("tenure ingest --log-format j", "tenure ingest --log-format json "),
    ("tenure ingest --standby c", "tenure ingest --standby cold "),
    ("tenure ingest --bus st", "tenure ingest --bus stdout:"),
    ("tenure tail --from st", "tenure tail --from start "),
    ("tenure run --log deb", "tenure run --log debug "),
    ("tenure fence ch", "tenure fence check "),
    ("tenure completions zs", "tenure completions zsh "),
    ("tenure run --lease k -- a-command-of-t", "tenure run --lease k -- a-command-of-this-test "),
    ("tenure man some-f", "tenure man some-folder/"),
];

/// The file of a URL.
const FILES: &[(&str, &str)] = &[
    ("tenure run --store sqlite:some-f", "tenure run --store sqlite:some-folder/"),
    ("tenure run --store=sqlite:some-f", "tenure run --store=sqlite:some-folder/"),
];

fn script(shell: &str) -> String {
    let ended = ran(tenure().args(["completions", shell]));
    assert_eq!(ended.code, Some(0), "{shell}: {}", ended.err);
    ended.out
}

/// A folder with a command and a folder to be completed.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a-command-of-this-test", "tenure"] {
        let file = folder.path().join(name);
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::create_dir(folder.path().join("some-folder")).unwrap();
    folder
}

/// The shell, in that folder, whose commands it finds.
fn shell(program: &Path, folder: &Path) -> Command {
    let mut shell = Command::new("env");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    shell.arg("-C").arg(folder).arg(program).env("PATH", path).env("HOME", folder);
    shell
}

/// bash completes commands, flags, words, signals, and what stands behind `--`; nothing else is in its way.
#[test]
fn bash_completes() {
    let Some(bash) = or_skip("completions", true, find("bash", "install the Debian package bash")) else { return };
    let folder = folder();
    std::fs::write(folder.path().join("tenure.bash"), script("bash")).unwrap();
    let mut bash = shell(&bash, folder.path());
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", PROMPT);
    let mut terminal = Pty::start(&bash);
    terminal.sees(PROMPT);
    terminal.types("bind 'set bell-style none'; source ./tenure.bash\n");
    terminal.sees(PROMPT);
    completes(&mut terminal, LINES);
    completes(&mut terminal, FILES);
}

/// zsh completes the same, and puts `=` behind a flag.
#[test]
fn zsh_completes() {
    let Some(zsh) = or_skip("completions", false, find("zsh", "install the Debian package zsh")) else { return };
    let folder = folder();
    std::fs::write(folder.path().join("_tenure"), script("zsh")).unwrap();
    let mut zsh = shell(&zsh, folder.path());
    zsh.args(["-f", "-i"]).env("PS1", PROMPT).env("ZDOTDIR", folder.path());
    let mut terminal = Pty::start(&zsh);
    terminal.sees(PROMPT);
    terminal.types(
        "unsetopt prompt_cr beep; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d ./dump; echo loa''ded\n",
    );
    terminal.sees("loaded");
    terminal.sees(PROMPT);
    let lines = LINES.iter().map(|(typed, completed)| match typed.ends_with("--stop-s") {
        true => (*typed, "tenure run --stop-signal="),
        false => (*typed, *completed),
    });
    completes(&mut terminal, &lines.collect::<Vec<_>>());
    completes(&mut terminal, FILES);
}

/// fish offers the words that are typed above, each for its line.
#[test]
fn fish_completes() {
    let Some(fish) = or_skip("completions", false, find("fish", "install the Debian package fish")) else { return };
    let folder = folder();
    std::fs::write(folder.path().join("tenure.fish"), script("fish")).unwrap();
    for (typed, completed) in LINES {
        let mut fish = shell(&fish, folder.path());
        fish.args(["--no-config", "-c", "source tenure.fish; complete -C $argv[1]", typed]);
        let offered = ran(&mut fish);
        let begun = completed.trim_end().rsplit_once([' ', '=']).unwrap().1;
        let mut words = offered.out.lines().map(|line| line.split('\t').next().unwrap());
        assert!(words.any(|word| word.contains(begun)), "{typed}: {offered:?}");
    }
}

/// Types each line and the tab key, and waits for what that makes of it.
fn completes(terminal: &mut Pty, lines: &[(&str, &str)]) {
    for (typed, completed) in lines {
        terminal.types(typed);
        terminal.sees(typed);
        terminal.types("\t");
        terminal.sees(completed.strip_prefix(typed).unwrap());
        // Ctrl-U gives the line up; what is typed then shows that it is gone.
        terminal.types("\x15#\n");
        terminal.sees(PROMPT);
    }
}
