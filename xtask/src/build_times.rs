//! `cargo xtask build-times`: how long a first release build takes, with all stores, with the default ones, with each alone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::minutes;
use crate::{features, root, step};

/// How long the build with the default stores may take on two cores.
const BOUND: Duration = Duration::from_secs(8 * 60);
/// When a build is given up.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// One set of stores.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Build {
    name: String,
    arguments: Vec<String>,
}

/// What a build took.
#[derive(Clone, Debug)]
struct Built {
    name: String,
    took: Duration,
    crates: usize,
    bytes: u64,
}

/// Builds each set whose name contains `only` in a folder of its own, which is empty before and gone afterwards, and prints a
/// table; true when all were built, and the default one in time. Nothing else should run on the machine meanwhile.
///
/// # Errors
/// Where no set has such a name, or cargo cannot be started.
pub(crate) fn run(only: &str) -> Result<bool> {
    let builds: Vec<Build> = builds().into_iter().filter(|build| build.name.contains(only)).collect();
    if builds.is_empty() {
        let names: Vec<String> = self::builds().into_iter().map(|build| build.name).collect();
        bail!("nothing to build is named like {only:?}; there are {}", names.join(", "));
    }
    // What is downloaded is not counted.
    let fetched = step::run("build-times-fetch", root::command("cargo").args(["fetch", "--locked"]), LIMIT)?;
    if !fetched.ok {
        fetched.show_end();
        bail!("cargo fetch failed");
    }
    let mut built = Vec::new();
    for build in &builds {
        println!("building {} ...", build.name);
        let folder = root::logs()?.join("build-times").join(build.name.replace(' ', "-"));
        let outcome = build.run(&folder);
        remove(&folder)?;
        let one = outcome?;
        println!("    {}", minutes(one.took));
        built.push(one);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("\n{}", render(&built, cores));
    let late = built.iter().find(|one| one.name == DEFAULT && one.took > BOUND);
    if let Some(one) = late {
        println!("the default stores took {}, and may take {}", minutes(one.took), minutes(BOUND));
    }
    Ok(late.is_none())
}

const DEFAULT: &str = "default";

fn builds() -> Vec<Build> {
    let build = |name: &str, arguments: &[&str]| Build {
        name: name.to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
    };
    let mut builds = vec![
        build(DEFAULT, &[]),
        build("all stores", &["--features", "all-stores"]),
        build("memory alone", &["--no-default-features"]),
    ];
    builds.extend(
        features::features()
            .map(|feature| build(&format!("{feature} alone"), &["--no-default-features", "--features", feature])),
    );
    builds
}

impl Build {
    fn run(&self, folder: &Path) -> Result<Built> {
        remove(folder)?;
        let mut command = root::command("cargo");
        command.args(["build", "--release", "--locked", "--offline", "-p", "tenure-cli"]).args(&self.arguments);
        command.env("CARGO_TARGET_DIR", folder);
        let ran = step::run(&format!("build-times-{}", self.name.replace(' ', "-")), &mut command, LIMIT)?;
        if !ran.ok {
            ran.show_end();
            bail!("{} does not build, see {}", self.name, ran.log_name());
        }
        let binary = folder.join("release").join(format!("tenure{}", std::env::consts::EXE_SUFFIX));
        let bytes = fs::metadata(&binary).with_context(|| format!("{} is missing", binary.display()))?.len();
        Ok(Built { name: self.name.clone(), took: ran.took, crates: crates(&ran.output), bytes })
    }
}

/// How many crates were compiled.
fn crates(log: &str) -> usize {
    log.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count()
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn render(built: &[Built], cores: usize) -> String {
    let mut text = format!("| `cargo build --release`, {cores} cores | time | crates | binary |\n|---|---|---|---|\n");
    for Built { name, took, crates, bytes } in built {
        _ = writeln!(text, "| {name} | {} | {crates} | {} MiB |", minutes(*took), bytes >> 20);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default, all, and each store alone are built, once each, and the table has a row for each.
    #[test]
    fn every_store_is_built_alone() {
        let builds = builds();
        assert_eq!(builds.len(), 3 + features::features().count());
        let etcd = builds.iter().find(|build| build.name == "etcd alone").unwrap();
        assert_eq!(etcd.arguments, ["--no-default-features", "--features", "etcd"]);
        let took = Duration::from_secs(61);
        let built = builds.iter().map(|build| Built { name: build.name.clone(), took, crates: 7, bytes: 3 << 20 });
        let table = render(&built.collect::<Vec<_>>(), 2);
        assert_eq!(table.lines().count(), 2 + builds.len());
        assert!(
            table.contains("2 cores") && table.contains("| etcd alone | ") && table.contains("| 7 | 3 MiB |"),
            "{table}"
        );
    }

    /// A name that nothing has is refused with those that there are, before anything is built; what was compiled is counted.
    #[test]
    fn unknown_names_are_refused() {
        assert!(run("no such store").unwrap_err().to_string().contains("redis alone"));
        assert_eq!(crates("   Compiling a v1\n    Checking b v1\n   Compiling c v1\n    Finished x\n"), 2);
    }
}
