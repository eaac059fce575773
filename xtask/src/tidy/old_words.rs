//! Words that were replaced by the field's own terms do not come back as names in the code.

use super::rule::{Finding, Rule, Verdict};
use crate::tokens::{Token, shipped};
use crate::tree::{SourceFile, Tree};

pub(super) const RULE: Rule = Rule {
    name: "old words",
    what: "run, lease/supervise and stores/redis name nothing by the words that were given up for the field's own",
    check,
};

/// The words that one part of the tree has given up.
struct Scope {
    name: &'static str,
    /// How the paths of its files begin.
    paths: &'static [&'static str],
    words: &'static [Word],
}

/// Which names are refused. Names are split at `_` and at capitals; the case does not matter.
enum Word {
    /// A part of a name: `Keeper` is refused in `KeeperLink` and in `old_keeper`.
    Part(&'static str),
    /// These parts in a row.
    Parts(&'static [&'static str]),
    /// A whole name, as it is written, for words that also have a plain meaning: a type `Live`, not `is_live`.
    Whole(&'static str),
}

use Word::{Part, Parts, Whole};

const SCOPES: &[Scope] = &[
    Scope {
        name: "apps/tenure/src/run",
        paths: &["apps/tenure/src/run.rs", "apps/tenure/src/run/", "lease/supervise/"],
        words: &[
            Part("keeper"),
            Part("keepers"),
            Part("hire"),
            Part("hired"),
            Part("hires"),
            Part("hiring"),
            Part("bury"),
            Part("buried"),
            Part("buries"),
            Part("burial"),
            Part("vacancy"),
            Part("vacancies"),
            Part("reign"),
            Part("reigns"),
            Part("course"),
            Part("courses"),
            Part("heir"),
            Part("heirs"),
            Part("estate"),
            Part("estates"),
            Part("mourn"),
            Part("mourned"),
            Part("mourns"),
            Part("mourner"),
            Part("stage"),
            Part("stages"),
            Part("staged"),
        ],
    },
    Scope {
        name: "stores/redis",
        paths: &["stores/redis/"],
        words: &[
            Part("herald"),
            Part("heralds"),
            Whole("Live"),
            Whole("Words"),
            Whole("Plain"),
            Whole("plain"),
            Whole("Link"),
            Whole("Line"),
            Whole("Ways"),
            Whole("Facts"),
            Whole("Twins"),
            Parts(&["of", "question"]),
        ],
    },
];

fn check(tree: &Tree) -> Verdict {
    Verdict::of(SCOPES.iter().flat_map(|scope| findings(tree, scope)).collect())
}

/// For each part of the tree, the number of lines on which a word stands that it has given up.
pub(crate) fn counts(tree: &Tree) -> Vec<(&'static str, usize)> {
    let lines = |scope: &Scope| {
        let mut lines: Vec<(String, usize)> =
            findings(tree, scope).into_iter().map(|finding| (finding.path, finding.line)).collect();
        lines.dedup();
        lines.len()
    };
    SCOPES.iter().map(|scope| (scope.name, lines(scope))).collect()
}

fn findings(tree: &Tree, scope: &Scope) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| scope.paths.iter().any(|path| file.path.starts_with(path))) {
        for (line, name) in names(file) {
            let parts = parts(&name);
            if scope.words.iter().any(|word| word.is_in(&name, &parts)) {
                findings.push(Finding::new(&file.path, line, format!("{name}: say it with the field's word")));
            }
        }
    }
    findings
}

/// The names in a file's code, and the file's own name.
fn names(file: &SourceFile) -> Vec<(usize, String)> {
    let own = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
    let tokens = shipped(&file.text);
    let in_code = tokens.into_iter().filter(Token::is_name).map(|token| (token.line, token.text));
    std::iter::once((0, own)).chain(in_code).collect()
}

impl Word {
    fn is_in(&self, name: &str, parts: &[String]) -> bool {
        match self {
            Part(word) => parts.iter().any(|part| part == word),
            Parts(words) => parts.windows(words.len()).any(|row| row.iter().eq(words.iter())),
            Whole(word) => name == *word,
        }
    }
}

/// The parts of a name in lower case: `WatchdogLink` and `watchdog_link` have the same.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut before_is_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && before_is_lower) {
            parts.push(std::mem::take(&mut part));
        }
        if c != '_' {
            part.extend(c.to_lowercase());
        }
        before_is_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(path: &str, text: &str) -> bool {
        let tree = Tree::of(&[(path, text)]);
        SCOPES.iter().all(|scope| findings(&tree, scope).is_empty())
    }

    /// Each word is found as a name, in a name and as a file's name; in a comment, a string and elsewhere it is not.
    #[test]
    fn an_old_word_is_found() {
        let run = "apps/tenure/src/run/link.rs";
        for text in ["struct KeeperLink;", "fn hire() {}", "let old_heir = 1;", "const STAGE: u8 = 0;", "use a::Reign;"]
        {
            assert!(!is_kept(run, text), "{text}");
            assert!(is_kept("apps/tenure/src/demo.rs", text), "{text}");
        }
        assert!(!is_kept("apps/tenure/src/run/stage.rs", "") && !is_kept("lease/supervise/src/heir.rs", ""));
        for text in ["// the keeper", "let a = \"stage\";", "fn of_course_not_but_one_word(housekeeper: A) {}"] {
            assert_eq!(is_kept(run, text), !text.contains("course"), "{text}");
        }
    }

    /// Words with a plain meaning are refused as whole names only.
    #[test]
    fn a_plain_word_is_refused_as_a_whole_name() {
        let redis = "stores/redis/src/store.rs";
        for text in
            ["struct Live;", "use a::Words;", "struct Plain;", "mod plain;", "fn of_question() {}", "Herald::new()"]
        {
            assert!(!is_kept(redis, text), "{text}");
        }
        for text in ["let is_live = true;", "fn plain_text() {}", "fn question_of() {}"] {
            assert!(is_kept(redis, text), "{text}");
        }
    }
}
