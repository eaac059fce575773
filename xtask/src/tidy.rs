//! The rules that hold for the source itself. One rule per file, each with a test that shows that it can fail.

mod arrows;
mod corpora;
mod dead_files;
mod header;
mod leaks;
mod leftovers;
mod length;
mod lex;
mod manifests;
mod mod_files;
mod peers;
mod pure;
mod readme;
mod store_shape;
mod unsafe_code;

use std::path::Path;
use std::{fmt, fs};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::root;

/// A rule: its name, what it asks, and how it looks.
pub(crate) struct Rule {
    /// One or two words.
    pub(crate) name: &'static str,
    /// What holds where it is kept.
    pub(crate) what: &'static str,
    check: fn(&Tree) -> Verdict,
}

/// Every rule.
pub(crate) const RULES: &[Rule] = &[
    arrows::RULE,
    pure::RULE,
    peers::RULE,
    mod_files::RULE,
    header::RULE,
    length::RULE,
    dead_files::RULE,
    unsafe_code::RULE,
    leftovers::RULE,
    leaks::RULE,
    corpora::RULE,
    manifests::RULE,
    store_shape::RULE,
    readme::RULE,
];

/// What came of one rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds everywhere.
    Kept,
    /// It does not hold here.
    Broken(Vec<Finding>),
    /// It could not be looked at, and why.
    NotChecked(String),
}

impl Verdict {
    /// Kept where there are no findings.
    fn of(findings: Vec<Finding>) -> Self {
        if findings.is_empty() { Self::Kept } else { Self::Broken(findings) }
    }
}

/// One place where a rule does not hold, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    /// At a line; 0 means the file as a whole.
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// A rule and what came of it.
pub(crate) struct Checked {
    /// The rule.
    pub(crate) rule: &'static Rule,
    /// What came of it.
    pub(crate) outcome: Verdict,
}

/// Looks at every rule.
///
/// # Errors
/// Where the tree cannot be read.
pub(crate) fn run() -> Result<Vec<Checked>> {
    let tree = Tree::read()?;
    Ok(RULES.iter().map(|rule| Checked { rule, outcome: (rule.check)(&tree) }).collect())
}

/// One file of the project.
#[derive(Debug)]
struct SourceFile {
    /// From the root, with `/`.
    path: String,
    /// Its text; a file that is not UTF-8 has none.
    text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Code that runs in tests only.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }
}

/// The project's files and what cargo knows of its packages.
#[derive(Debug, Default)]
struct Tree {
    files: Vec<SourceFile>,
    /// `packages` of `cargo metadata --no-deps`.
    packages: Vec<Value>,
}

impl Tree {
    /// The files that git tracks or would track, and the packages.
    fn read() -> Result<Self> {
        let root = root::root();
        let mut files = Vec::new();
        for path in listed()? {
            let full = root.join(&path);
            // A file that was removed and not yet committed is still listed; a link is what it points to.
            let Ok(bytes) = fs::read(&full) else { continue };
            files.push(SourceFile { path, text: String::from_utf8(bytes).unwrap_or_default() });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let output = root::command("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
            .output()
            .context("cannot start cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata: not JSON")?;
        let mut packages = metadata["packages"].as_array().cloned().unwrap_or_default();
        // Folders from the root, so that rules need not know where the root is.
        for package in &mut packages {
            let manifest = package["manifest_path"].as_str().unwrap_or_default();
            let folder = Path::new(manifest).parent().and_then(|folder| folder.strip_prefix(&root).ok());
            package["folder"] = folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default().into();
        }
        Ok(Self { files, packages })
    }

    /// A tree of these files, for the tests of rules.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        Self { files, packages: Vec::new() }
    }

    fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.is_rust())
    }

    fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}

/// The paths that git knows or would add; without git, every file outside hidden and build folders.
fn listed() -> Result<Vec<String>> {
    let output = root::command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output();
    if let Ok(output) = output
        && output.status.success()
    {
        let text = String::from_utf8_lossy(&output.stdout);
        return Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect());
    }
    let root = root::root();
    let mut paths = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | ".git") {
                    folders.push(entry.path());
                }
            } else if let Ok(path) = entry.path().strip_prefix(&root) {
                paths.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name twice would make the table ambiguous.
    #[test]
    fn rules_have_names_of_their_own() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
