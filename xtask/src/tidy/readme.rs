//! The commands that the documents show do exist.

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "readme",
    what: "README.md shows its two commands, and every `cargo xtask` command in a document exists",
    check,
};

/// The commands that a newcomer types first: to see the program work, and to check it.
const SHOWN: &[&str] = &["cargo run --release -- demo", "cargo xtask test"];
const TASKS: &[&str] = &["test", "tidy", "map", "bench", "build-times", "stores", "soak", "sim", "help"];

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    let readme = tree.files.iter().find(|file| file.path == "README.md");
    for command in SHOWN {
        if !readme.is_some_and(|file| file.text.contains(command)) {
            findings.push(Finding::new("README.md", 0, format!("does not show `{command}`")));
        }
    }
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for rest in line.split("cargo xtask ").skip(1) {
                let task: String =
                    rest.chars().take_while(|sign| sign.is_ascii_alphanumeric() || *sign == '-').collect();
                if !task.is_empty() && !TASKS.contains(&task.as_str()) {
                    findings.push(Finding::new(&file.path, number, format!("`cargo xtask {task}` does not exist")));
                }
            }
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A README without a command, and a document with one that does not exist, are found.
    #[test]
    fn a_command_that_does_not_exist_is_found() {
        let good = "cargo run --release -- demo --seconds 40\ncargo xtask test\n";
        assert_eq!(check(&Tree::of(&[("README.md", good)])), Verdict::Kept);
        assert!(matches!(check(&Tree::of(&[("README.md", "cargo xtask test")])), Verdict::Broken(_)));
        let other = check(&Tree::of(&[("README.md", good), ("CONTRIBUTING.md", "`cargo xtask polish`")]));
        assert!(matches!(other, Verdict::Broken(_)));
    }

    /// The list of tasks is the command line's own.
    #[test]
    fn the_known_tasks_are_those_of_the_command_line() {
        use clap::CommandFactory as _;
        let command = crate::Args::command();
        let mut names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        names.push("help");
        assert_eq!(names, TASKS);
    }
}
