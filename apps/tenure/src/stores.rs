//! `tenure stores`: lists the stores and buses that are compiled in.

use anyhow::Result;
use serde_json::json;

use crate::output;
use crate::table::{Align, Table};

/// Flags of `tenure stores`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One JSON object a line with --json: kind (store or bus), scheme, compiled, feature (what builds it in), example.

Examples:
  tenure stores
  tenure stores --json | jq -r 'select(.compiled) | .example'")]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints the stores and buses, and whether this binary has them.
pub(crate) fn run(args: Args) -> Result<()> {
    let stores = tenure_open::schemes().iter();
    let stores = stores.map(|scheme| ("store", scheme.name, scheme.compiled, scheme.feature, scheme.example));
    let buses = tenure_bus_open::schemes().iter();
    let buses = buses.map(|scheme| ("bus", scheme.name, scheme.compiled, None, scheme.example));
    let mut table = Table::new(&[
        ("KIND", Align::Left),
        ("SCHEME", Align::Left),
        ("BUILT IN", Align::Left),
        ("EXAMPLE", Align::Left),
    ]);
    let mut rows = Vec::new();
    for (kind, name, compiled, feature, example) in stores.chain(buses) {
        if args.json {
            output::line(
                json!({ "kind": kind, "scheme": name, "compiled": compiled, "feature": feature, "example": example }),
            )?;
        } else {
            let built_in = match feature {
                _ if compiled => "yes".to_owned(),
                Some(feature) => format!("no (--features {feature})"),
                None => "no".to_owned(),
            };
            rows.push([kind.to_owned(), name.to_owned(), built_in, example.to_owned()]);
        }
    }
    if args.json {
        return Ok(());
    }
    rows.iter().for_each(|row| table.fit(row));
    output::line(table.heading())?;
    for row in &rows {
        output::line(table.row(row))?;
    }
    Ok(())
}
