//! The fault arm of the suite: several processes contend for one key of a store, each through a proxy of its own, while
//! servers, connections, clients and clocks fail; a checker reads what every process wrote down.
//!
//! Each worker is an ordinary user of the library: it elects, acts while its leadership is current, carries its term to a
//! file that refuses older ones, and appends the beginning and the end of each act to a file of its own, with the
//! boottime clock and the term. [`main`] is the program, of the driver and of the workers alike.
//!
//! What is demanded of a store: acts of two tenures never overlap while the faults stay inside the fault model; outside
//! of it (data lost, the store's clock stepped, a failover that loses what was acknowledged) by at most a ttl. The fenced
//! file never goes back, and inside the model it refuses nobody whom nothing held up in the middle of an act. While nobody
//! can be answered nobody acts beyond the ttl. The key is taken again within a bound that each fault states. Nothing is left
//! behind: no task of a worker that has ended, no connection at the server, no thread and no descriptor of a worker that
//! lives long. No connection leads past the proxies.
//!
//! A further store is one file in `rigs/`, and its starter's name in the list of `rigs.rs`.

mod arena;
mod faults;
mod fleet;
mod journal;
mod judge;
mod play;
mod rig;
mod rigs;
mod row;
mod sink;
mod sockets;
mod worker;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::play::Plan;
use crate::rigs::RIGS;
use crate::row::Row;

/// Is the worker where its arguments say so, and otherwise a test with a trial for each store.
///
/// `TENURE_FAULT_ROUNDS` says how often each fault is played, and `TENURE_FAULT_MINUTES` for how long at least; without
/// them each fault that no other one covers is played once.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|mode| mode == worker::MODE) {
        return worker::main(&arguments[2..]);
    }
    let trials =
        RIGS.iter().map(|starter| Trial::test(starter.name.replace(", ", "_").replace(' ', "_"), || trial(starter)));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    let rows = row::all();
    if rows.len() > 1 {
        println!("\n{}", row::table(&rows));
    }
    conclusion.exit_code()
}

fn trial(starter: &'static rig::Starter) -> Result<(), Failed> {
    let row = match (starter.start)() {
        Ok(None) => return Ok(()),
        Ok(Some(rig)) => play::play(starter.name, rig, &Plan::from_environment()),
        Err(error) => Row::failed(starter.name, format!("does not start: {error}")),
    };
    println!("{row}");
    let failed = row.failure();
    row::add(row);
    failed.map_or(Ok(()), |why| Err(why.into()))
}
