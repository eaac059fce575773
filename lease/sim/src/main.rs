//! The simulator's command line: plays seeds, and shows the one that fails.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tenure_sim::kind::Kind;
use tenure_sim::mode::Mode;
use tenure_sim::model::Model;
use tenure_sim::mutant::Mutant;
use tenure_sim::mutants;
use tenure_sim::report::{Counts, Story};
use tenure_sim::run::{BOTH, Run, run_mutant, trace};

/// Plays elections under faults, deterministically: a seed always tells the same story.
#[derive(Debug, Parser)]
#[command(name = "tenure-sim", version)]
struct Options {
    /// How many seeds to play. Where no store is named, the first twelfth of them is played on each of records.
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
    /// Which state machine candidates run; with a mutant that one which it is a bug of.
    #[arg(long, value_enum)]
    machine: Option<Machine>,
    /// Which model of the store candidates ask; with a mutant that one which it is a bug of.
    #[arg(long, value_enum)]
    store: Option<StoreModel>,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Machine {
    /// Electors: candidates for one key.
    Elector,
    /// Slots: candidates for any one of several keys.
    Slots,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoreModel {
    /// A store that takes each step itself.
    Scripted,
    /// Records on a server that tells how old they are.
    Age,
    /// Records on a server without a clock.
    Silence,
    /// One after the other, all seeds on each.
    All,
}

impl Options {
    /// The models of the store to play on, and how many seeds on each.
    fn models(&self, mutant: &Mutant) -> Vec<(Model, u64)> {
        let few = self.seeds.div_ceil(12);
        match self.store {
            Some(StoreModel::Scripted) => vec![(Model::Scripted, self.seeds)],
            Some(StoreModel::Age) => vec![(Model::Age, self.seeds)],
            Some(StoreModel::Silence) => vec![(Model::Silence, self.seeds)],
            Some(StoreModel::All) => Model::ALL.map(|model| (model, self.seeds)).to_vec(),
            None if self.mutant.is_some() => vec![(mutant.model, self.seeds)],
            None => Model::ALL.map(|model| (model, if model.has_records() { few } else { self.seeds })).to_vec(),
        }
    }

    /// The kinds of machine to play, one after the other.
    fn kinds(&self) -> &'static [Kind] {
        let of_slots = mutants::SLOTS.iter().any(|mutant| self.mutant.as_deref() == Some(mutant.name));
        match self.machine {
            Some(Machine::Elector) => &[Kind::Elector],
            Some(Machine::Slots) => &[Kind::Slots],
            None if of_slots => &[Kind::Slots],
            None if self.mutant.is_some() => &[Kind::Elector],
            None => &[Kind::Elector, Kind::Slots],
        }
    }
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
            for mutant in mutants::every() {
                writeln!(out, "{:<28} {}", mutant.name, mutant.bug)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Some(name) => match mutants::every().find(|mutant| mutant.name == name) {
            Some(mutant) => mutant,
            None => {
                eprintln!("no mutant is called {name:?}; --mutant list prints them");
                return Ok(ExitCode::from(64));
            }
        },
    };
    for (model, seeds) in options.models(mutant) {
        for kind in options.kinds() {
            let passed = match options.seed {
                Some(seed) if options.trace => print_trace(seed, *kind, model, options.mode, mutant, out)?,
                seed => play(options, seed, seeds, *kind, model, mutant, out)?,
            };
            if !passed {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing was broken.
fn print_trace(
    seed: u64,
    kind: Kind,
    model: Model,
    modes: Modes,
    mutant: &Mutant,
    out: &mut impl Write,
) -> io::Result<bool> {
    for mode in modes.modes() {
        match trace(Story { seed, kind, model, mode: *mode }, mutant) {
            (_, Some(failure)) => {
                writeln!(out, "{failure}")?;
                return Ok(false);
            }
            (lines, None) => {
                for line in lines {
                    writeln!(out, "{line}")?;
                }
            }
        }
    }
    Ok(true)
}

/// Whether nothing was broken.
fn play(
    options: &Options,
    seed: Option<u64>,
    seeds: u64,
    kind: Kind,
    model: Model,
    mutant: &Mutant,
    out: &mut impl Write,
) -> io::Result<bool> {
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    let run = Run {
        kind,
        model,
        start: seed.unwrap_or(options.start),
        seeds: if seed.is_some() { 1 } else { seeds },
        modes: options.mode.modes(),
        threads,
    };
    let began = tokio::time::Instant::now();
    let (counts, failure) = run_mutant(run, mutant, |done| {
        eprintln!(
            "{kind}, {model}: {done} of {} seeds, {:.0} seeds/s",
            run.seeds,
            done as f64 / began.elapsed().as_secs_f64()
        );
    });
    print_counts(&run, &counts, began.elapsed(), out)?;
    match failure {
        None => {
            writeln!(out, "{kind}, {model}: no failure")?;
            Ok(true)
        }
        Some(failure) => {
            writeln!(out, "{failure}")?;
            let mode = if failure.story.mode == Mode::Inside { "inside" } else { "outside" };
            let which = match options.mutant.as_deref() {
                Some(name) => format!(" --mutant {name}"),
                None => String::new(),
            };
            let seed = failure.story.seed;
            writeln!(
                out,
                "again: tenure-sim --store {model} --machine {kind} --seed {seed} --mode {mode}{which} --trace"
            )?;
            Ok(false)
        }
    }
}

fn print_counts(run: &Run, counts: &Counts, took: Duration, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "machine          {:>12}", run.kind.to_string())?;
    writeln!(out, "store            {:>12}", run.model.to_string())?;
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
