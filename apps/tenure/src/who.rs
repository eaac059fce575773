//! `tenure who`: prints who holds a lease.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;
use tenure_core::{KeyPrefix, LeaseKey, LeaseRecord};
use tenure_store::LeaseStore;

use crate::exit::Exit;
use crate::key::KeyArgs;
use crate::leases;
use crate::output;
use crate::store::{self, StoreArgs};
use crate::table::visible;

/// Flags of `tenure who`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit 0: the lease is held, and its holder's name is on the one line. Exit 1: nobody holds it, and stdout stays empty. \
Exit 69: the store cannot be reached. With --json the line is the object that `tenure leases --json` prints.

Example:
  tenure who reports/nightly || ./start-it")]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `tenure who`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    store::block_on(async {
        let key = args.key.key()?;
        let shown = visible(key.as_str());
        let Some(store) = args.store.open_to_read().await? else {
            say!("tenure: nobody holds {shown}: {}", args.store.missing());
            return Ok(ExitCode::FAILURE);
        };
        let Some(record) = store::record(&*store, key).await.map_err(Exit::unreachable)? else {
            let slots = slots_of(&*store, key).await.unwrap_or(0);
            match slots {
                0 => say!("tenure: nobody holds {shown}"),
                _ => say!(
                    "tenure: nobody holds {shown} itself; of its slots {slots} are held: `tenure leases --prefix {shown}/` lists them"
                ),
            }
            return Ok(ExitCode::FAILURE);
        };
        if args.json {
            output::line(Value::Object(leases::json(&record)))?;
        } else {
            output::line(visible(record.holder.as_str()))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// How many slots of the key are held, as `tenure run --slots` names them.
async fn slots_of(store: &dyn LeaseStore, key: &LeaseKey) -> Option<usize> {
    let prefix = KeyPrefix::new(format!("{}/", key.as_str())).ok()?;
    let held = store::answer(store.list(&prefix)).await.ok()?;
    let is_slot = |record: &&LeaseRecord| {
        let slot = record.key.as_str().strip_prefix(prefix.as_str());
        slot.is_some_and(|slot| slot.parse::<u32>().is_ok())
    };
    Some(held.iter().filter(is_slot).count())
}
