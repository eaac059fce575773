//! The simulator's command line: plays seeds, and shows the one that fails.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tenure_sim::mode::Mode;
use tenure_sim::mutant::Mutant;
use tenure_sim::mutants;
use tenure_sim::report::Counts;
use tenure_sim::run::{BOTH, Run, run_mutant, trace};

/// Plays elections under faults, deterministically: a seed always tells the same story.
#[derive(Debug, Parser)]
#[command(name = "tenure-sim", version)]
struct Options {
    /// How many seeds to play.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Play this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Print all that happens (with --seed).
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Which faults may happen.
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    /// On how many threads; all processors where not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Put this known bug in; "list" prints them.
    #[arg(long)]
    mutant: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Modes {
    /// Only faults that the fault model covers.
    Inside,
    /// Also those that it does not.
    Outside,
    /// Each seed in both.
    Both,
}

impl Modes {
    fn modes(self) -> &'static [Mode] {
        match self {
            Modes::Inside => &[Mode::Inside],
            Modes::Outside => &[Mode::Outside],
            Modes::Both => BOTH,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    // A reader that has seen enough and closed the pipe is no error.
    show(&options, &mut io::stdout().lock()).unwrap_or(ExitCode::FAILURE)
}

fn show(options: &Options, out: &mut impl Write) -> io::Result<ExitCode> {
    let mutant = match options.mutant.as_deref() {
        None => &Mutant::HONEST,
        Some("list") => {
            for mutant in mutants::ALL {
                writeln!(out, "{:<28} {}", mutant.name, mutant.bug)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Some(name) => match mutants::ALL.iter().find(|mutant| mutant.name == name) {
            Some(mutant) => mutant,
            None => {
                eprintln!("no mutant is called {name:?}; --mutant list prints them");
                return Ok(ExitCode::from(64));
            }
        },
    };
    match options.seed {
        Some(seed) if options.trace => print_trace(seed, options.mode, mutant, out),
        seed => play(options, seed, mutant, out),
    }
}

fn print_trace(seed: u64, modes: Modes, mutant: &Mutant, out: &mut impl Write) -> io::Result<ExitCode> {
    for mode in modes.modes() {
        match trace(seed, *mode, mutant) {
            (_, Some(failure)) => {
                writeln!(out, "{failure}")?;
                return Ok(ExitCode::FAILURE);
            }
            (lines, None) => {
                for line in lines {
                    writeln!(out, "{line}")?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn play(options: &Options, seed: Option<u64>, mutant: &Mutant, out: &mut impl Write) -> io::Result<ExitCode> {
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    let run = Run {
        start: seed.unwrap_or(options.start),
        seeds: if seed.is_some() { 1 } else { options.seeds },
        modes: options.mode.modes(),
        threads,
    };
    let began = tokio::time::Instant::now();
    let (counts, failure) = run_mutant(run, mutant, |done| {
        eprintln!("{done} of {} seeds, {:.0} seeds/s", run.seeds, done as f64 / began.elapsed().as_secs_f64());
    });
    print_counts(&run, &counts, began.elapsed(), out)?;
    match failure {
        None => {
            writeln!(out, "no failure")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(failure) => {
            writeln!(out, "{failure}")?;
            let mode = if failure.mode == Mode::Inside { "inside" } else { "outside" };
            let which = match options.mutant.as_deref() {
                Some(name) => format!(" --mutant {name}"),
                None => String::new(),
            };
            writeln!(out, "again: tenure-sim --seed {} --mode {mode}{which} --trace", failure.seed)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print_counts(run: &Run, counts: &Counts, took: Duration, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "seeds            {:>12} from {}", run.seeds, run.start)?;
    writeln!(out, "{counts}")?;
    writeln!(
        out,
        "took             {:>10.1} s ({:.0} simulations/s on {} threads)",
        took.as_secs_f64(),
        counts.runs as f64 / took.as_secs_f64(),
        run.threads
    )
}
