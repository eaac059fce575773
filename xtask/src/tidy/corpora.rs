//! Captured chat holds real people's names: tests read it from its own folder, and no part of it is in the project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::rule::{Finding, Rule, Verdict};
use crate::root;
use crate::tree::Tree;

pub(super) const RULE: Rule =
    Rule { name: "corpora", what: "no line and no message id of the corpora stands in a file of the project", check };

/// Shorter lines, such as `PING :tmi.twitch.tv`, are not specific to the corpora.
const LONG: usize = 80;

fn check(tree: &Tree) -> Verdict {
    let folder = env::var_os("TENURE_CORPORA").map_or_else(|| root::root().join("../shared/corpora"), PathBuf::from);
    let mut lines = Vec::new();
    read_lines(&folder, &mut lines);
    if lines.is_empty() {
        return Verdict::NotChecked("no corpora: set TENURE_CORPORA to their folder".to_owned());
    }
    Verdict::of(findings(tree, &Known::of(&lines)))
}

/// The captured lines and message ids by which a copied line is recognized.
struct Known<'a> {
    long: BTreeSet<&'a str>,
    ids: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(lines: &'a [String]) -> Self {
        let long = lines.iter().map(|line| line.trim()).filter(|line| line.len() >= LONG).collect();
        let ids = lines.iter().flat_map(|line| uuids(line)).collect();
        Self { long, ids }
    }
}

fn findings(tree: &Tree, known: &Known<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in (1..).zip(file.text.lines()) {
            // A line may stand in quotes, as it is or with its quotes escaped.
            let plain = line.replace("\\\"", "\"");
            let whole = [line, plain.as_str()]
                .iter()
                .flat_map(|line| [line.trim(), line.trim().trim_end_matches([',', ';', ')']).trim_matches('"')])
                .any(|line| known.long.contains(line));
            if whole || uuids(line).any(|id| known.ids.contains(id)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    "holds captured chat: read it from the corpora, or invent a line",
                ));
            }
        }
    }
    findings
}

/// The lines of every `.lines.txt` below a folder.
fn read_lines(folder: &Path, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_lines(&path, lines);
        } else if path.to_string_lossy().ends_with(".lines.txt") {
            let bytes = fs::read(&path).unwrap_or_default();
            lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
        }
    }
}

/// The UUIDs in a line.
fn uuids(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'))
        .filter(|word| word.len() == 36 && [8, 13, 18, 23].iter().all(|&at| word.as_bytes()[at] == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copied line is found, quoted or not, and so is a message's id in an invented one.
    #[test]
    fn captured_chat_is_found() {
        let id = "01234567-89ab-4cde-8f01-23456789abcd";
        let line = format!(
            "@badges=;display-name=Someone;id={id} :someone!someone@someone.example PRIVMSG #room :hello \"there\""
        );
        let lines = vec![line.clone()];
        let known = Known::of(&lines);
        let found = |text: &str| findings(&Tree::of(&[("a/tests/b.rs", text)]), &known).len();
        assert_eq!(found(&line), 1);
        assert_eq!(found(&format!("    \"{}\",", line.replace('"', "\\\""))), 1);
        assert_eq!(found(&format!("@id={id} :x PRIVMSG #y :z")), 1);
        assert_eq!(found("@id=11111111-89ab-4cde-8f01-23456789abcd :x PRIVMSG #y :z"), 0);
    }
}
