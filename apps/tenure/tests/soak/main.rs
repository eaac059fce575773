//! Rounds of faults against `tenure run`, counted by a checker that trusts none of it.
//!
//! Every child writes the boottime clock, its pid and its term to one file, every two milliseconds; the checker reads the
//! file afterwards. `TENURE_OTHER_BINARY` names another build of `tenure`, which is then every other candidate that needs no
//! other user, and plays hand-overs between the two. `TENURE_ROUNDS` says how many rounds of each fault are played (ten where it is not set; `cargo xtask
//! soak` plays a hundred).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checker;
mod faults;
mod fleet;
mod place;
mod user;
mod writer;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::faults::{FAULTS, Fault, OF_A_FILE, OF_TWO_BUILDS};
use crate::place::Place;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // The children of `tenure run` are this same program.
    if let [_, mode, file, ..] = arguments.as_slice()
        && mode == writer::MODE
    {
        writer::run(file, arguments.get(3).map(String::as_str));
    }
    let trials = Place::ALL.iter().flat_map(|place| {
        let of_a_file = if *place == Place::Sqlite { OF_A_FILE } else { &[] };
        let of_two_builds = if fleet::other_build().is_some() { OF_TWO_BUILDS } else { &[] };
        FAULTS
            .iter()
            .chain(of_a_file)
            .chain(of_two_builds)
            .map(|fault| Trial::test(format!("{}::{}", place.name(), fault.name), || play(*place, fault)))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Plays one fault in rounds and has the checker judge what the children wrote.
fn play(place: Place, fault: &'static Fault) -> Result<(), Failed> {
    let rounds = std::env::var("TENURE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let name = format!("{} {}", place.name(), fault.name);
    if fault.command.needs_root() && !user::may_be_another("soak") {
        return Ok(());
    }
    let Some(place) = place.open() else { return Ok(()) };
    let mut fleet = fleet::Fleet::start(place, fault.command)?;
    let mut takeovers = Vec::new();
    for round in 0..rounds {
        let took = (fault.strike)(&mut fleet).map_err(|why| format!("{name}, round {round}: {why}"))?;
        takeovers.push(took);
    }
    let file = fleet.end()?;
    let report = checker::check(&file)?;
    takeovers.sort_unstable();
    let (median, worst) = (takeovers[takeovers.len() / 2], takeovers[takeovers.len() - 1]);
    println!(
        "{name}: {rounds} rounds, {report}, takeover median {:.1} ms, worst {:.1} ms",
        median.as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3
    );
    if report.tenures < rounds {
        return Err(format!("{name}: only {} tenures in {rounds} rounds", report.tenures).into());
    }
    Ok(())
}
