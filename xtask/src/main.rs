//! The project's own tasks: `cargo xtask test`, `tidy`, `map`, `bench`, `build-times`, `stores`, `soak` and `sim`.

mod bench;
mod build_times;
mod circles;
mod clock;
mod crate_files;
mod features;
mod lex;
mod live;
mod map;
mod module;
mod node;
mod outcome;
mod processes;
mod progress;
mod report;
mod root;
mod setup;
mod step;
mod store_table;
mod suites;
mod tidy;
mod tokens;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own tasks. Logs go to target/xtask/.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs every check of the project and closes with one table
    ///
    /// Sets up what it needs first (as root on Debian it installs the packages, and says so; elsewhere it names what is
    /// missing), then: format, clippy with warnings as errors, what each store compiles alone, all tests of all crates, doc tests, the tidy rules, the
    /// simulator, clients on Node that are not ours, and the documentation. With CI=true a missing tool is a failure, not a skip. Exit status 1 when anything
    /// failed.
    Test {
        /// A tenth of the simulator's seeds, and no documentation build
        #[arg(long)]
        quick: bool,
        /// How many seeds the simulator plays
        #[arg(long, default_value_t = 20_000)]
        seeds: u64,
    },
    /// Checks the rules that hold for the source itself
    Tidy {
        /// Prints what the rules are and checks nothing
        #[arg(long)]
        list: bool,
    },
    /// Prints the map of the source in Markdown: crates with their lines and arrows, circles, sizes and words
    Map {
        /// Of the tree in this folder in place of this one
        #[arg(long, value_name = "FOLDER")]
        root: Option<PathBuf>,
        /// The arrows between the files of this crate in place of the map
        #[arg(long, value_name = "FOLDER")]
        files: Option<String>,
    },
    /// Measures the product beside its peers and prints the table of BENCHMARKS.md
    ///
    /// Builds in release, measures in alternating pairs, and writes target/xtask/bench.json. The peer on Node needs
    /// `node` 20 and `npm`, those in Python `python3` with `venv` and `pip`, the rows about servers `redis-server` and
    /// `nats-server`, the rows beside flock util-linux and bash; without them the rows are left out, and the table says so.
    ///
    /// `cargo xtask bench handoff` prints another table: one lease that changes hands, on every store in one run, beside what
    /// people use on the same server. A server or a peer that is missing is a row that says how to get it.
    Bench {
        /// The one table in place of all groups
        #[arg(value_enum)]
        what: Option<Table>,
        /// How often each thing is done, of the table
        #[arg(long, requires = "what")]
        rounds: Option<u32>,
        /// The table as JSON
        #[arg(long, requires = "what")]
        json: bool,
        /// Three short pairs in place of nine: shows that it works, measures nothing
        #[arg(long)]
        quick: bool,
        /// Only the groups whose name contains this: parse, envelope, sqlite, memory, channels, nats, renew, handoff,
        /// takeover, run, idle. Of the table: this store
        #[arg(long, value_name = "GROUP")]
        only: Option<String>,
        /// Puts the results into BENCHMARKS.md, between its markers
        #[arg(long)]
        write: bool,
    },
    /// Times a first release build with the default stores, with all, and with each alone
    ///
    /// Each in a folder of its own below target/xtask/build-times, which is removed afterwards. Leave the machine alone meanwhile.
    BuildTimes {
        /// Only those whose name contains this: default, all stores, memory alone, etcd alone, ...
        #[arg(long, value_name = "NAME", default_value = "")]
        only: String,
    },
    /// Runs the suite and its fault arm on every lease store, and closes with one table of them
    Stores,
    /// Plays rounds of faults over every store, and counts who acted when
    ///
    /// `run`: kill -9 and SIGSTOP of each process of `tenure run`, a store that is away for three ttls, grandchildren of their
    /// own sessions. `stores`: the fault arm of the stores, several users of the library over each real server, with servers,
    /// connections, clients and clocks that fail; it closes with a row for each store. Short rounds of both are part of
    /// `cargo xtask test`.
    Soak {
        /// What is soaked
        #[arg(value_enum, default_value_t = Soaked::Run)]
        what: Soaked,
        /// How many rounds of each fault on each store [default: 100 of run, 5 of stores]
        #[arg(long)]
        rounds: Option<u64>,
        /// Start all rounds again until so many minutes have passed
        #[arg(long, default_value_t = 0)]
        minutes: u64,
        /// Only those whose name contains this, such as `sqlite` or `redis::tenure_is_killed`
        #[arg(long, default_value = "")]
        only: String,
        /// Every other candidate of `run` is this binary, an older build: both must honour each other's leases
        #[arg(long, value_name = "FILE")]
        other: Option<PathBuf>,
    },
    /// Plays the simulator in release: `cargo xtask sim --seeds 1000000`
    Sim {
        /// How many seeds
        #[arg(long, default_value_t = 20_000)]
        seeds: u64,
        /// Further arguments for the simulator, such as `--seed 42 --trace`
        #[arg(last = true)]
        rest: Vec<String>,
    },
}

/// A table of `cargo xtask bench` that is no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Table {
    /// Hand-overs on every store
    Handoff,
}

/// What `cargo xtask soak` can soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Soaked {
    /// `tenure run`, over a file and a server
    Run,
    /// Every store against its real server
    Stores,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Test { quick, seeds } => {
            suites::test(&suites::Plan { quick, seeds: if quick { seeds / 10 } else { seeds } })
        }
        Task::Tidy { list } => tidy_alone(list),
        Task::Map { root, files } => tree::Tree::read(&root.unwrap_or_else(root::root)).map(|tree| {
            print!("{}", files.map_or_else(|| map::render(&tree), |folder| map::render_files(&tree, &folder)));
            true
        }),
        Task::Bench { what: Some(Table::Handoff), rounds, json, only, write, quick: _ } => {
            bench::hand_over(&bench::Handoff { rounds, json, only, write })
        }
        Task::Bench { quick, only, write, .. } => bench::run(&bench::Options { quick, only, write }),
        Task::BuildTimes { only } => build_times::run(&only),
        Task::Stores => suites::stores(),
        Task::Soak { what: Soaked::Run, rounds, minutes, only, other } => {
            suites::soak(rounds.unwrap_or(100), Duration::from_secs(60 * minutes), &only, other.as_deref())
        }
        Task::Soak { what: Soaked::Stores, rounds, minutes, only, other: _ } => {
            suites::soak_stores(rounds.unwrap_or(5), Duration::from_secs(60 * minutes), &only)
        }
        Task::Sim { seeds, rest } => suites::simulate(seeds, &rest),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo xtask tidy`: every finding on a line of its own; true when there is none.
fn tidy_alone(list: bool) -> Result<bool> {
    if list {
        for rule in tidy::RULES {
            println!("{:<12} {}", rule.name, rule.what);
        }
        return Ok(true);
    }
    let mut clean = true;
    for verdict in tidy::run()? {
        match verdict.outcome {
            tidy::Verdict::Kept => {}
            tidy::Verdict::NotChecked(reason) => println!("SKIPPED: tidy {}: {reason}", verdict.rule.name),
            tidy::Verdict::Broken(findings) => {
                clean = false;
                for finding in findings {
                    println!("{finding}  [{}]", verdict.rule.name);
                }
            }
        }
    }
    println!("{}", if clean { "tidy: every rule kept" } else { "tidy: broken, see above" });
    Ok(clean)
}
