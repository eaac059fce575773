//! Reads the sessions out of a guide: fenced blocks marked `console`, with commands after `$ ` and what they print.

use std::path::Path;

/// A guide's sessions, in their order.
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
}

/// One fenced block.
pub(crate) struct Block {
    /// Where it begins, for error messages.
    pub(crate) line: usize,
    /// The words after `console`.
    marks: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens in a terminal, and what is printed then.
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) act: Act,
    pub(crate) expected: Vec<String>,
    /// The line after the last expected one.
    end: usize,
}

impl Step {
    /// Where the expected lines stand, counted from 0.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        self.end - 1 - self.expected.len()..self.end - 1
    }
}

/// What happens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Somebody types a command.
    Command(String),
    /// Somebody presses Ctrl-C.
    Interrupt,
    /// Nothing: what runs already prints more.
    Nothing,
}

impl Document {
    pub(crate) fn read(path: &Path) -> Document {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Document { name, blocks: blocks(&std::fs::read_to_string(path).unwrap()) }
    }
}

impl Block {
    pub(crate) fn is(&self, mark: &str) -> bool {
        self.marks.iter().any(|own| own == mark)
    }

    /// The terminal that the block is typed in; `None` for one that is closed behind it.
    pub(crate) fn terminal(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| mark.strip_prefix("terminal="))
    }
}

/// Every block marked `console` in `text`.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let inside = lines.by_ref().take_while(|(_, line)| !line.trim_start().starts_with("```"));
        let inside: Vec<_> = inside.map(|(number, line)| (number, line.get(indent..).unwrap_or_default())).collect();
        let mut words = info.split([' ', ',']).filter(|word| !word.is_empty());
        if words.next() == Some("console") {
            let marks = words.map(str::to_owned).collect();
            blocks.push(Block { line: number, marks, steps: steps(number, &inside) });
        }
    }
    blocks
}

fn steps(first: usize, lines: &[(usize, &str)]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in lines {
        let act = match line.strip_prefix("$ ") {
            Some(command) => Some(Act::Command(command.to_owned())),
            None if *line == "^C" => Some(Act::Interrupt),
            None => None,
        };
        if let Some(act) = act {
            steps.push(Step { line: *number, act, expected: Vec::new(), end: number + 1 });
            continue;
        }
        if steps.is_empty() {
            steps.push(Step { line: first, act: Act::Nothing, expected: Vec::new(), end: first + 1 });
        }
        let Some(step) = steps.last_mut() else { continue };
        step.end = number + 1;
        // A command goes on with `> ` as a shell asks for it.
        match (&mut step.act, line.strip_prefix("> ")) {
            (Act::Command(command), Some(more)) if step.expected.is_empty() => {
                command.push('\n');
                command.push_str(more);
            }
            _ => step.expected.push((*line).to_owned()),
        }
    }
    steps
}

/// A document's blocks, commands, expected lines and marks are told apart.
pub(crate) fn documents_are_read() {
    let text = "Words.\n```sh\n$ no\n```\n```console redis,terminal=2\n$ one \\\n> two\nout\n$ three\n^C\nend\n```\n```console\nmore\n```\n";
    let [first, second] = &blocks(text)[..] else { panic!("not two blocks") };
    assert!(first.is("redis") && first.terminal() == Some("2") && !second.is("redis"));
    let acts: Vec<_> = first.steps.iter().map(|step| (&step.act, step.expected.as_slice())).collect();
    assert_eq!(acts.len(), 3);
    assert_eq!(acts[0], (&Act::Command("one \\\ntwo".to_owned()), &["out".to_owned()][..]));
    assert_eq!(acts[1], (&Act::Command("three".to_owned()), &[][..]));
    assert_eq!(acts[2], (&Act::Interrupt, &["end".to_owned()][..]));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(first.steps.iter().map(|step| &lines[step.span()]).collect::<Vec<_>>(), [&["out"][..], &[], &["end"]]);
    assert_eq!(lines[second.steps[0].span()], ["more"]);
    assert_eq!((&second.steps[0].act, second.steps[0].expected[0].as_str()), (&Act::Nothing, "more"));
}
