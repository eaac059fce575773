//! `cargo xtask bench`: builds the benchmarks in release, fetches the peer on Node, runs both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{root, step};

/// What a run measures.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Few and short pairs.
    pub(crate) quick: bool,
    /// Only groups whose name contains this.
    pub(crate) only: Option<String>,
    /// Puts the results into BENCHMARKS.md.
    pub(crate) write: bool,
}

/// The files of the peer on Node.
const NODE_FILES: &[&str] = &["package.json", "package-lock.json", ".npmrc", "peer.mjs"];
/// Between these lines BENCHMARKS.md holds what was measured last.
const BEGIN: &str = "<!-- results: begin -->";
const END: &str = "<!-- results: end -->";

/// Measures; true when the benchmarks ran to their end.
///
/// # Errors
/// Where something cannot be built, started or written.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.write && (options.quick || options.only.is_some()) {
        bail!("--write takes whole results: leave --quick and --only out");
    }
    let logs = root::logs()?;
    let node = match node_peer(&logs) {
        Ok(folder) => Some(folder),
        Err(error) => {
            println!("SKIPPED: rows beside Node: {error:#}");
            None
        }
    };
    println!("building tenure-benches in release");
    let mut build = root::command("cargo");
    build.args(["build", "--release", "--locked", "-p", "tenure-benches"]);
    let built = step::run("bench-build", &mut build, Duration::from_secs(1800))?;
    if !built.ok {
        built.show_end();
        bail!("the benchmarks do not build");
    }
    let json = logs.join("bench.json");
    let markdown = logs.join("bench.md");
    let mut command = root::command("cargo");
    command.args(["run", "--quiet", "--release", "--locked", "-p", "tenure-benches", "--"]);
    command.arg("--json").arg(&json).arg("--markdown").arg(&markdown);
    if options.quick {
        command.arg("--quick");
    }
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if let Some(node) = &node {
        command.arg("--node").arg(node);
    }
    let ok = command.status().context("cannot start the benchmarks")?.success();
    if ok && options.write {
        let path = root::root().join("BENCHMARKS.md");
        let page = fs::read_to_string(&path).context("cannot read BENCHMARKS.md")?;
        let results = fs::read_to_string(&markdown).with_context(|| format!("cannot read {}", markdown.display()))?;
        let page = with_results(&page, &results).context("BENCHMARKS.md has lost the lines around its results")?;
        fs::write(&path, page).context("cannot write BENCHMARKS.md")?;
        println!("BENCHMARKS.md holds these results now");
    }
    Ok(ok)
}

/// Installs the peer on Node under target/, from its lock file; the same lock file is not installed twice.
fn node_peer(logs: &Path) -> Result<PathBuf> {
    let version = root::command("node").arg("--version").output().context("node is not installed: install Node 20")?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major: u32 = version.trim_start_matches('v').split('.').next().unwrap_or_default().parse().unwrap_or(0);
    if major < 20 {
        bail!("node is {version}: install Node 20 or later");
    }
    let folder = logs.join("node");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let from = root::root().join("benches/node");
    let lock = fs::read(from.join("package-lock.json")).context("benches/node/package-lock.json")?;
    let installed = folder.join("installed-lock.json");
    for name in NODE_FILES {
        fs::copy(from.join(name), folder.join(name)).with_context(|| format!("cannot copy benches/node/{name}"))?;
    }
    if fs::read(&installed).is_ok_and(|last| last == lock) && folder.join("node_modules").is_dir() {
        return Ok(folder);
    }
    println!("npm ci for the peer on Node");
    let mut npm = root::command("npm");
    npm.args(["ci", "--ignore-scripts"]).current_dir(&folder);
    let ran = step::run("bench-npm-ci", &mut npm, Duration::from_secs(300))?;
    if !ran.ok {
        ran.show_end();
        bail!("npm ci failed: see {}", ran.log_name());
    }
    fs::write(&installed, lock).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(folder)
}

/// The page with other results between its markers; `None` where a marker is missing.
fn with_results(page: &str, results: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands around the results stays; a page without markers is refused.
    #[test]
    fn results_replace_results() {
        let page = format!("# Speed\n{BEGIN}\nold\n{END}\nHow.\n");
        let new = with_results(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Speed\n{BEGIN}\nnew\n{END}\nHow.\n"));
        assert_eq!(with_results("# Speed", "new"), None);
    }
}
