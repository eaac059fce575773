//! Every command and every flag that a document names exists: what does not run in a session is at least looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The commands of the binary, each with its flags; `""` has those of `tenure` itself.
pub(crate) struct Known {
    commands: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    /// Asks the binary for its help, and for that of each command.
    pub(crate) fn of_the_binary() -> Known {
        let mut commands = BTreeMap::new();
        let mut left = vec![String::new()];
        while let Some(command) = left.pop() {
            let help = help(&command);
            let names =
                help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
            for name in
                names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()))
            {
                // `help` has a command for each command; nobody documents those.
                if name != "help" {
                    left.push(format!("{command} {name}").trim().to_owned());
                }
            }
            commands.insert(command, flags(&help).collect());
        }
        Known { commands }
    }

    /// What a document names and the binary does not have.
    pub(crate) fn unknown(&self, text: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for (number, code) in code(text) {
            for part in code.split(['|', ';', '\n']).flat_map(|part| part.split("&&")) {
                let words: Vec<&str> = part.split_whitespace().skip_while(|word| *word == "$").collect();
                // Its packages have the same names.
                if words.first() == Some(&"cargo") {
                    continue;
                }
                let Some(at) = words.iter().position(|word| *word == "tenure" || *word == "`tenure") else {
                    // A flag alone, as in a table: some command must have it.
                    if let [first, ..] = words[..]
                        && first.starts_with("--")
                        && !flags(first).all(|flag| self.commands.values().any(|known| known.contains(&flag)))
                    {
                        unknown.push(format!("line {number}: no command has {first}"));
                    }
                    continue;
                };
                let words = &words[at + 1..];
                let mut command = String::new();
                let mut rest = words;
                while let [word, more @ ..] = rest {
                    let longer = format!("{command} {word}").trim().to_owned();
                    if !self.commands.contains_key(&longer) {
                        break;
                    }
                    (command, rest) = (longer, more);
                }
                let is_name =
                    |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
                if command.is_empty() && words.first().is_some_and(|word| is_name(word) && *word != "help") {
                    unknown.push(format!("line {number}: there is no `tenure {}`", words[0]));
                    continue;
                }
                // What follows `--` belongs to another program.
                for word in rest.iter().take_while(|word| **word != "--") {
                    for flag in
                        flags(word.trim_start_matches('[')).filter(|_| word.trim_start_matches('[').starts_with("--"))
                    {
                        if !self.commands[&command].contains(&flag) {
                            unknown.push(format!("line {number}: `tenure {command}` has no {flag}"));
                        }
                    }
                }
            }
        }
        unknown
    }
}

fn help(command: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tenure")).args(command.split_whitespace()).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The flags in a text: each `--name` in it.
fn flags(text: &str) -> impl Iterator<Item = String> + '_ {
    text.match_indices("--").filter_map(|(at, _)| {
        let begins = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        let name: String = text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        (begins && name.starts_with(|c: char| c.is_ascii_lowercase())).then(|| format!("--{name}"))
    })
}

/// What a fenced block holds.
#[derive(Clone, Copy)]
enum Fence {
    Session,
    Script,
    Other,
}

/// The code of a document with the numbers of its lines: fenced blocks of shells, and what stands between backticks.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut fence: Option<Fence> = None;
    let mut continues = false;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            fence = match fence {
                Some(_) => None,
                None if info.starts_with("console") => Some(Fence::Session),
                None if info.starts_with("sh") || info.starts_with("bash") => Some(Fence::Script),
                None => Some(Fence::Other),
            };
            continues = false;
            continue;
        }
        match fence {
            // What a session prints is no command.
            Some(Fence::Session) if !continues && !line.starts_with("$ ") => {}
            Some(Fence::Session | Fence::Script) => {
                let line = line.split(" # ").next().unwrap_or_default();
                let text = line.strip_suffix('\\').unwrap_or(line).to_owned();
                match found.last_mut().filter(|_| continues) {
                    Some((_, command)) => command.push_str(&text.replacen("> ", " ", 1)),
                    None => found.push((number, text)),
                }
                continues = line.ends_with('\\');
            }
            Some(Fence::Other) => {}
            None => found.extend(line.split('`').skip(1).step_by(2).map(|span| (number, span.to_owned()))),
        }
    }
    found
}

/// A flag and a command that do not exist are found, on continued lines and in running text as well; others are not.
pub(crate) fn unknown_flags_are_found() {
    let known = |name: &str, flags: &[&str]| (name.to_owned(), flags.iter().map(|flag| (*flag).to_owned()).collect());
    let commands = [known("", &["--help"]), known("run", &["--lease", "--ttl"]), known("fence check", &["--term"])];
    let known = Known { commands: BTreeMap::from(commands) };
    let found = |text: &str| known.unknown(text).len();
    assert_eq!(found("`tenure run --lease K`, `--ttl`, `tenure`, and `--term N`"), 0);
    assert_eq!(found("```console\n$ tenure run --lease K -- rsync --delete\n$ flock --nonblock x\n```"), 0);
    assert_eq!(found("`cargo doc -p tenure --open`"), 0);
    assert_eq!(found("`tenure run --leese K`"), 1);
    assert_eq!(found("`tenure walk`"), 1);
    assert_eq!(found("`--color`"), 1);
    assert_eq!(found("```sh\ntenure run \\\n  --leese K\n```"), 1);
    assert_eq!(found("```console\n$ date && tenure run --verbose\n```"), 1);
    assert_eq!(found("```console\n$ date\ntenure is fine\n```"), 0);
    assert_eq!(found("```text\ntenure walk --far\n```"), 0);
}
