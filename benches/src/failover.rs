//! One lease that changes hands, on every store in one run: it is released, its holder's process is killed, its host is
//! lost, its network is cut; beside what people use on the same server.

mod contender;
mod losses;
mod memory;
mod options;
mod peers;
mod release;
mod round_trip;
mod side;
mod site;
mod table;
mod ttl;

use anyhow::{Result, ensure};

use crate::latency::Took;
use crate::takeover::singleton::{Killed, Singleton};
use losses::Loss;
pub(crate) use options::Options;
use options::{Change, Store};
use release::Releases;
use side::Side;
use site::Site;
use table::{Cell, Row, Table};
use ttl::TTL_ARGUMENT;

/// Measures every store that is wanted, and prints the table.
///
/// # Errors
/// Where something went wrong, after all else was measured and printed. A server or a peer that is missing is a row that says
/// so, and no error.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut table = Table::new(options.rounds);
    for store in options.stores() {
        eprintln!("measuring: {}", store.name());
        match store {
            Store::Memory => table.rows.push(memory::measure(options.rounds)?),
            _ => match Site::start(store) {
                Ok(site) => measure(&site, options, &mut table.rows),
                Err(error) => table.rows.push(Row::missing(store.name(), "Tenure", &format!("{error:#}"))),
            },
        }
    }
    table.judge();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&table)?);
    } else {
        print!("{}", table.markdown());
    }
    ensure!(table.failures() == 0, "{} of the figures are missing: see the table", table.failures());
    Ok(())
}

/// All rows of one server: ours first.
fn measure(site: &Site, options: &Options, rows: &mut Vec<Row>) {
    let (mut sides, mut missing) = (Vec::new(), Vec::new());
    for found in peers::of(site, options) {
        match found {
            Ok(side) => sides.push(side),
            Err(peer) => missing.push(Row::missing(site.name, peer.name, &peer.why)),
        }
    }
    let told = |measured: Result<Cell>| measured.unwrap_or_else(|error| Cell::Failed(format!("{error:#}")));
    let mut measured: Vec<Row> = sides.iter().map(|side| Row::of(site, side)).collect();
    if options.wants(Change::Release) {
        match release::measure(site, &sides, options.rounds) {
            Ok(Releases { sides, round_trip }) => {
                for (row, took) in measured.iter_mut().zip(sides) {
                    row.round_trip = Some(round_trip);
                    row.release = told(took.map(Cell::Took));
                }
            }
            Err(error) => measured[0].release = told(Err(error)),
        }
    }
    for (row, side) in measured.iter_mut().zip(&sides) {
        eprintln!("measuring: {}, losses of {}", site.name, side.name);
        if options.wants(Change::Killed) {
            row.killed =
                told(if side.is_ours { killed(site, options) } else { lost(site, side, Loss::Killed, options) });
        }
        if options.wants(Change::Lost) {
            row.lost = told(lost(site, side, Loss::Host, options));
        }
        if options.wants(Change::Cut) {
            row.cut = told(lost(site, side, Loss::Network, options));
        }
    }
    rows.append(&mut measured);
    rows.append(&mut missing);
}

fn lost(site: &Site, side: &Side, loss: Loss, options: &Options) -> Result<Cell> {
    if loss == Loss::Network && !site.has_network() {
        return Ok(Cell::DoesNotApply("no network".to_owned()));
    }
    losses::measure(site, side, loss, options.rounds)
}

/// `tenure run`, whose watchdog outlives it and releases the lease once everything of it is dead.
fn killed(site: &Site, options: &Options) -> Result<Cell> {
    let Some(tenure) = options.tenure() else { return Ok(Cell::Skipped(options::NO_TENURE.to_owned())) };
    let mut pair = Singleton::start(&tenure, &site.access(), TTL_ARGUMENT)?;
    // The first one warms up and is not counted.
    pair.take_over(Killed::Tenure)?;
    let took = (0..options.rounds).map(|_| pair.take_over(Killed::Tenure)).collect::<Result<Vec<_>>>()?;
    Ok(Cell::Took(Took::of(took)))
}
