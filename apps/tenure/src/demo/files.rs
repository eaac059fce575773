//! The demo's folder: kept for a look after a verdict, removed where there is none.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder with the store, the bus and the logs. Dropping it removes it, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    kept: bool,
}

impl Files {
    /// Makes an empty folder, for this user alone.
    pub(super) fn new() -> Result<Files> {
        let folder = tempfile::Builder::new().prefix("tenure-demo-").tempdir();
        let folder = folder.context("cannot make a folder for the demo's files; TMPDIR names another place")?;
        Ok(Files { folder: folder.keep(), kept: false })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the files where they are.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// Keeps and names what a demo that failed has left, where the instances wrote logs.
    pub(super) fn keep_logs(&mut self) {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        if entries.into_iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == "log")) {
            self.keep();
            say!("tenure: the demo's files are in {}, {}", self.folder.display(), size(bytes(&self.folder)));
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            say!("tenure: cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// How many bytes lie in a folder without folders.
pub(super) fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// `213 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes are readable.
    #[test]
    fn sizes_have_a_unit() {
        assert_eq!([0, 1, 999_999, 1_000_000, 213_400_000].map(size), ["0 kB", "1 kB", "1000 kB", "1 MB", "213 MB"]);
    }

    /// Files that nobody keeps are removed.
    #[test]
    fn files_are_removed_unless_kept() {
        let mut files = Files::new().unwrap();
        std::fs::write(files.folder().join("x"), [0; 10]).unwrap();
        assert_eq!(bytes(files.folder()), 10);
        files.keep();
        let folder = files.folder().to_owned();
        drop(files);
        assert!(folder.exists());
        drop(Files { folder: folder.clone(), kept: false });
        assert!(!folder.exists());
    }
}
