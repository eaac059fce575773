//! `tenure stores`: lists the stores and buses, which of them are compiled in, and what each store can do.

use anyhow::Result;
use serde_json::json;
use tenure_open::Capabilities;

use crate::output;
use crate::table::{Align, Table};

/// Flags of `tenure stores`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
BUILT IN says which cargo feature builds in what this binary lacks. Of stores:
  HINTS   how a candidate learns early that a key came free: push (it is
          told), poll (it looks)
  EXPIRY  what tells that the lease of a holder that has vanished is over:
          script (the store itself), age (by the server's clock), silence (the
          candidate saw no renewal for a ttl; a new one waits that long)
  BATCH   how many leases one round trip renews
  DOCS    whether it keeps documents
  FENCE   whether docs/fencing.md has the snippet that checks a term inside
          the server
  CLOCK   whose wall clock seeds terms: server, or own (the candidate's)

One JSON object a line with --json: kind (store or bus), scheme, compiled,
feature (what builds it in, or null), example, and for stores that there are
hints, expiry, batch, documents, fence, clock (else null).

Examples:
  tenure stores
  tenure stores --json | jq -r 'select(.compiled) | .example'
  tenure stores --json | jq -r 'select(.expiry == \"age\") | .scheme'")]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// One store or bus.
struct Listed {
    kind: &'static str,
    scheme: &'static str,
    compiled: bool,
    feature: Option<&'static str>,
    example: &'static str,
    can: Option<Capabilities>,
}

/// Prints the stores and buses, and whether this binary has them.
pub(crate) fn run(args: Args) -> Result<()> {
    let stores = tenure_open::schemes().iter().map(|scheme| Listed {
        kind: "store",
        scheme: scheme.name,
        compiled: scheme.compiled,
        feature: scheme.feature,
        example: scheme.example,
        can: scheme.capabilities,
    });
    let buses = tenure_bus_open::schemes().iter().map(|scheme| Listed {
        kind: "bus",
        scheme: scheme.name,
        compiled: scheme.compiled,
        feature: None,
        example: scheme.example,
        can: None,
    });
    let listed: Vec<Listed> = stores.chain(buses).collect();
    if args.json {
        return Ok(listed.iter().try_for_each(|one| output::line(one.json()))?);
    }
    let columns = ["KIND", "SCHEME", "BUILT IN", "HINTS", "EXPIRY", "BATCH", "DOCS", "FENCE", "CLOCK", "EXAMPLE"];
    let aligned = columns.map(|name| (name, if name == "BATCH" { Align::Right } else { Align::Left }));
    let mut table = Table::new(&aligned);
    let rows: Vec<_> = listed.iter().map(Listed::cells).collect();
    rows.iter().for_each(|row| table.fit(row));
    output::line(table.heading())?;
    Ok(rows.iter().try_for_each(|row| output::line(table.row(row)))?)
}

impl Listed {
    fn json(&self) -> String {
        let can = self.can;
        json!({
            "kind": self.kind, "scheme": self.scheme, "compiled": self.compiled, "feature": self.feature,
            "example": self.example,
            "hints": can.map(|can| can.hints.word()), "expiry": can.map(|can| can.expiry.word()),
            "batch": can.map(|can| can.batch), "documents": can.map(|can| can.documents),
            "fence": can.map(|can| can.fence), "clock": can.map(|can| can.clock.word()),
        })
        .to_string()
    }

    fn cells(&self) -> [String; 10] {
        let built_in = match self.feature {
            _ if self.compiled => "yes".to_owned(),
            Some(feature) => format!("no (--features {feature})"),
            None => "no".to_owned(),
        };
        let told = |what: fn(Capabilities) -> String| self.can.map_or_else(|| "-".to_owned(), what);
        let yes = |can: bool| if can { "yes" } else { "no" }.to_owned();
        [
            self.kind.to_owned(),
            self.scheme.to_owned(),
            built_in,
            told(|can| can.hints.word().to_owned()),
            told(|can| can.expiry.word().to_owned()),
            told(|can| can.batch.to_string()),
            self.can.map_or_else(|| "-".to_owned(), |can| yes(can.documents)),
            self.can.map_or_else(|| "-".to_owned(), |can| yes(can.fence)),
            told(|can| can.clock.word().to_owned()),
            self.example.to_owned(),
        ]
    }
}
