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
    let round_trip = match round_trip::measure(site) {
        Ok(took) => took,
        Err(error) => {
            let mut row = Row::new(site.name, table::OURS);
            row.release = Cell::Failed(format!("{error:#}"));
            return rows.push(row);
        }
    };
    let told = |measured: Result<Cell>| measured.unwrap_or_else(|error| Cell::Failed(format!("{error:#}")));
    for found in peers::of(site, options) {
        let side = match found {
            Ok(side) => side,
            Err(missing) => {
                rows.push(Row::missing(site.name, missing.name, &missing.why));
                continue;
            }
        };
        eprintln!("measuring: {}, {}", site.name, side.name);
        let mut row = Row::of(site, &side, round_trip);
        if options.wants(Change::Release) {
            row.release = told(release::measure(&side, &site.access(), options.rounds).map(Cell::Took));
        }
        if options.wants(Change::Killed) {
            let how = if side.is_ours { killed(site, options) } else { lost(site, &side, Loss::Killed, options) };
            row.killed = told(how);
        }
        if options.wants(Change::Lost) {
            row.lost = told(lost(site, &side, Loss::Host, options));
        }
        if options.wants(Change::Cut) {
            row.cut = told(lost(site, &side, Loss::Network, options));
        }
        rows.push(row);
    }
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
