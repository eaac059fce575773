//! `cargo xtask bench`: builds the benchmarks and `tenure` in release, fetches the peers on Node and in Python, runs them.

use std::fs;
use std::path::{Path, PathBuf};
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

/// The peers in Python, each with its version.
const PYTHON_FILE: &str = "benches/peers/requirements.txt";
/// The markers in BENCHMARKS.md, between which the last results stand.
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
    let peer = match node_peer() {
        Ok(folder) => Some(folder),
        Err(error) => {
            println!("SKIPPED: rows beside Node: {error:#}");
            None
        }
    };
    let python = match python_peers(&logs) {
        Ok(program) => Some(program),
        Err(error) => {
            println!("SKIPPED: rows beside Python: {error:#}");
            None
        }
    };
    println!("building tenure-benches and tenure-cli in release");
    let mut build = root::command("cargo");
    build.args(["build", "--release", "--locked", "-p", "tenure-benches", "-p", "tenure-cli"]);
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
    if let Some(peer) = &peer {
        command.arg("--node").arg(peer);
    }
    if let Some(python) = &python {
        command.arg("--python").arg(python);
    }
    command.arg("--tenure").arg(release_folder().join("tenure"));
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
fn with_results(page: &str, results: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text around the results stays; a page without markers is refused.
    #[test]
    fn results_replace_results() {
        let page = format!("# Speed\n{BEGIN}\nold\n{END}\nHow.\n");
        let new = with_results(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Speed\n{BEGIN}\nnew\n{END}\nHow.\n"));
        assert_eq!(with_results("# Speed", "new"), None);
    }
}
