//! `tenure stores`: what is built in.

use anyhow::Result;
use serde_json::json;

use crate::output;

/// Flags of `tenure stores`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints the stores and buses, and whether this binary has them.
pub(crate) fn run(args: Args) -> Result<()> {
    let stores = tenure_open::schemes().iter().map(|scheme| ("store", scheme.name, scheme.compiled, scheme.example));
    let buses = [("bus", "sqlite", true, "sqlite:chat.db"), ("bus", "stdout", true, "stdout:")];
    let rows: Vec<_> = stores.chain(buses).collect();
    for (kind, name, compiled, example) in rows {
        if args.json {
            output::line(json!({ "kind": kind, "scheme": name, "compiled": compiled, "example": example }))?;
        } else {
            let state = if compiled { "built in" } else { "not built in" };
            output::line(format_args!("{kind:<6} {name:<12} {state:<13} {example}"))?;
        }
    }
    Ok(())
}
