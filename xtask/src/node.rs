//! Checks for Node, and installs npm packages from lock files under `target/xtask`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{root, step};

/// The oldest release that is accepted.
const OLDEST: u32 = 20;

/// Whether Node is there and new enough.
///
/// # Errors
/// Where it is not, with what to install.
pub(crate) fn check() -> Result<()> {
    let wanted = format!("install Node {OLDEST} or later with npm");
    let version = root::command("node").arg("--version").output();
    let version = version.with_context(|| format!("node is not installed: {wanted}"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major: u32 = version.trim_start_matches('v').split('.').next().unwrap_or_default().parse().unwrap_or(0);
    if major < OLDEST {
        bail!("node is {version}: {wanted}");
    }
    Ok(())
}

/// Copies the files of a package in the workspace to a folder of this name under the logs and installs what its lock file
/// says; the same lock file is not installed twice. The log is `NAME-npm-ci.log`.
///
/// # Errors
/// Where a file cannot be copied or npm fails.
pub(crate) fn install(from: &str, name: &str) -> Result<PathBuf> {
    let folder = root::logs()?.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    copy(&root::root().join(from), &folder)?;
    let lock = fs::read(folder.join("package-lock.json")).with_context(|| format!("{from} has no lock file"))?;
    let installed = folder.join("installed-lock.json");
    if fs::read(&installed).is_ok_and(|last| last == lock) && folder.join("node_modules").is_dir() {
        return Ok(folder);
    }
    println!("npm ci for {from}");
    let mut npm = root::command("npm");
    npm.args(["ci", "--ignore-scripts"]).current_dir(&folder);
    let ran = step::run(&format!("{name}-npm-ci"), &mut npm, Duration::from_secs(300))?;
    if !ran.ok {
        ran.show_end();
        bail!("npm ci failed for {from}, see {}: it needs the network or npm's cache", ran.log_name());
    }
    fs::write(&installed, lock).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(folder)
}

/// The files of the folder, not what lies in folders below it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let to = to.join(entry.file_name());
            fs::copy(entry.path(), &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    Ok(())
}
