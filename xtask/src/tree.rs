//! The project's files, and what cargo knows of its packages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::root;

/// One file of the project.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The path from the root, with `/`.
    pub(crate) path: String,
    /// The file's text; empty where the file is not UTF-8.
    pub(crate) text: String,
}

impl SourceFile {
    /// Rust, whether it is compiled or not.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Code that runs in tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }
}

/// The project's files and what cargo knows of its packages.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Sorted by path.
    pub(crate) files: Vec<SourceFile>,
    /// `packages` of `cargo metadata --no-deps`.
    pub(crate) packages: Vec<Value>,
}

impl Tree {
    /// The files below `root` that git tracks or would track, and the packages of its workspace.
    ///
    /// # Errors
    /// Where a folder cannot be read, or cargo refuses the workspace.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for path in listed(root)? {
            let full = root.join(&path);
            // A file that was removed and not yet committed is still listed, so it is skipped; a link is read as the
            // file that it points to.
            let Ok(bytes) = fs::read(&full) else { continue };
            files.push(SourceFile { path, text: String::from_utf8(bytes).unwrap_or_default() });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let output = root::command("cargo")
            .current_dir(root)
            .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
            .output()
            .context("cannot start cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata: not JSON")?;
        let mut packages = metadata["packages"].as_array().cloned().unwrap_or_default();
        // Folders are relative to the root, so that rules need not know where the root is.
        for package in &mut packages {
            let manifest = package["manifest_path"].as_str().unwrap_or_default();
            let folder = Path::new(manifest).parent().and_then(|folder| folder.strip_prefix(root).ok());
            package["folder"] = folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default().into();
        }
        Ok(Self { files, packages })
    }

    /// A tree of the given files, for the tests of rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut files: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files, packages: Vec::new() }
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// The text of the file at this path.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        Some(&self.files[at].text)
    }

    /// Whether there is a file at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}

/// The paths that git knows or would add; without git, every file outside hidden and build folders.
fn listed(root: &Path) -> Result<Vec<String>> {
    let output = root::command("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    if let Ok(output) = output
        && output.status.success()
    {
        let text = String::from_utf8_lossy(&output.stdout);
        return Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect());
    }
    let mut paths = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | ".git") {
                    folders.push(entry.path());
                }
            } else if let Ok(path) = entry.path().strip_prefix(root) {
                paths.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(paths)
}
