//! `cargo xtask bench`: builds the benchmarks and `tenure` in release, fetches the peers on Node and in Python, runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{node, root, step};

/// The options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether to measure few and short pairs.
    pub(crate) quick: bool,
    /// Only groups whose name contains this.
    pub(crate) only: Option<String>,
    /// Whether to write the results into BENCHMARKS.md.
    pub(crate) write: bool,
}

/// The options of the table of hand-overs.
#[derive(Clone, Debug)]
pub(crate) struct Handoff {
    /// How often each thing is done.
    pub(crate) rounds: Option<u32>,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// Only this store.
    pub(crate) only: Option<String>,
    /// Whether to write the table into BENCHMARKS.md.
    pub(crate) write: bool,
}

/// The peers in Python, each with its version.
const PYTHON_FILE: &str = "benches/peers/requirements.txt";
/// What stands between markers in BENCHMARKS.md: the results of the groups, and the table of hand-overs.
const RESULTS: &str = "results";
const HANDOFF: &str = "handoff";

/// Measures; true when the benchmarks ran to their end.
///
/// # Errors
/// Where something cannot be built, started or written.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.write && (options.quick || options.only.is_some()) {
        bail!("--write takes whole results: leave --quick and --only out");
    }
    let logs = root::logs()?;
    let peer = match node_peer() {
        Ok(folder) => Some(folder),
        Err(error) => {
            println!("SKIPPED: rows beside Node: {error:#}");
            None
        }
    };
    let python = python_or_none(&logs);
    build()?;
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
    if let Some(peer) = &peer {
        command.arg("--node").arg(peer);
    }
    if let Some(python) = &python {
        command.arg("--python").arg(python);
    }
    command.arg("--tenure").arg(release_folder().join("tenure"));
    let ok = command.status().context("cannot start the benchmarks")?.success();
    if ok && options.write {
        let results = fs::read_to_string(&markdown).with_context(|| format!("cannot read {}", markdown.display()))?;
        write_page(RESULTS, &results)?;
    }
    Ok(ok)
}

/// Measures hand-overs on every store, and prints their table; true when the benchmarks ran to their end.
///
/// # Errors
/// Where something cannot be built, started or written.
pub(crate) fn hand_over(options: &Handoff) -> Result<bool> {
    if options.write && (options.json || options.only.is_some() || options.rounds.is_some()) {
        bail!("--write takes the whole table: leave --json, --only and --rounds out");
    }
    let python = python_or_none(&root::logs()?);
    build()?;
    let mut command = root::command(&release_folder().join("tenure-benches").to_string_lossy());
    command.arg("handoff").args(python.iter().flat_map(|python| ["--python".as_ref(), python.as_os_str()]));
    if let Some(rounds) = options.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if options.json {
        command.arg("--json");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start the benchmarks")?;
    let table = String::from_utf8_lossy(&output.stdout);
    print!("{table}");
    if output.status.success() && options.write {
        write_page(HANDOFF, &table)?;
    }
    Ok(output.status.success())
}

/// Builds what measures and what is measured, with all stores.
fn build() -> Result<()> {
    println!("building tenure-benches and tenure-cli in release");
    let mut build = root::command("cargo");
    build.args(["build", "--release", "--locked", "-p", "tenure-benches", "-p", "tenure-cli"]);
    build.args(["--features", "tenure-cli/all-stores"]);
    let built = step::run("bench-build", &mut build, Duration::from_secs(1800))?;
    if !built.ok {
        built.show_end();
        bail!("the benchmarks do not build");
    }
    Ok(())
}

fn python_or_none(logs: &Path) -> Option<PathBuf> {
    python_peers(logs).inspect_err(|error| println!("SKIPPED: rows beside Python: {error:#}")).ok()
}

fn write_page(what: &str, results: &str) -> Result<()> {
    let path = root::root().join("BENCHMARKS.md");
    let page = fs::read_to_string(&path).context("cannot read BENCHMARKS.md")?;
    let page = with_results(&page, what, results).context("BENCHMARKS.md has lost the lines around its results")?;
    fs::write(&path, page).context("cannot write BENCHMARKS.md")?;
    println!("BENCHMARKS.md holds these results now");
    Ok(())
}

/// Installs the peer on Node.
fn node_peer() -> Result<PathBuf> {
    node::check()?;
    node::install("benches/node", "node")
}

/// Where cargo puts release builds.
fn release_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root::root().join("target"), PathBuf::from).join("release")
}

/// Installs the peers in Python under target/, in the versions of their file; the same file is not installed twice.
fn python_peers(logs: &Path) -> Result<PathBuf> {
    let folder = logs.join("python");
    let (program, installed) = (folder.join("bin/python"), folder.join("installed-requirements.txt"));
    let file = root::root().join(PYTHON_FILE);
    let wanted = fs::read(&file).with_context(|| format!("cannot read {PYTHON_FILE}"))?;
    if fs::read(&installed).is_ok_and(|last| last == wanted) && program.is_file() {
        return Ok(program);
    }
    println!("pip install for the peers in Python");
    let mut make = root::command("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut install = root::command(&program.to_string_lossy());
    install.args(["-m", "pip", "install", "--disable-pip-version-check", "--requirement"]).arg(&file);
    for (name, command) in [("bench-venv", &mut make), ("bench-pip", &mut install)] {
        let ran = step::run(name, command, Duration::from_secs(300)).context("Python 3 with venv and pip is needed")?;
        if !ran.ok {
            ran.show_end();
            bail!("Python 3 with venv and pip is needed: see {}", ran.log_name());
        }
    }
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(program)
}

/// The page with new results between its markers; `None` where a marker is missing.
fn with_results(page: &str, what: &str, results: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {what}: begin -->"), format!("<!-- {what}: end -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text around the results stays; a page without markers is refused.
    #[test]
    fn results_replace_results() {
        let page = "# Speed\n<!-- handoff: begin -->\nold\n<!-- handoff: end -->\nHow.\n";
        let new = with_results(page, HANDOFF, "new\n").unwrap();
        assert_eq!(new, "# Speed\n<!-- handoff: begin -->\nnew\n<!-- handoff: end -->\nHow.\n");
        assert_eq!(with_results(page, RESULTS, "new"), None);
    }
}
