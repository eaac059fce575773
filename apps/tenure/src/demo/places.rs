//! Where the demo keeps leases and envelopes: files of its own, or the servers that were named.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::Value;
use tenure_bus::{Bus, FollowFrom, Subjects};
use tenure_core::LeaseKey;
use tenure_twitch_sim::{Checker, Sim, Verdict};

use super::args::Args;
use crate::identity;

/// A bus that delivers nothing for this long has been read to its end.
const END_OF_BUS: Duration = Duration::from_millis(700);

/// The demo's store and bus.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) store: String,
    pub(crate) bus: String,
    /// Keeps the demo's subjects apart from those of other users of the same server.
    pub(crate) bus_prefix: String,
    pub(crate) lease: LeaseKey,
    /// The bus's file, where it is one.
    pub(crate) file: Option<PathBuf>,
    /// The shell command that restarts the store's server, if there is one.
    pub(crate) restart_store: Option<String>,
    /// The shell command that restarts the bus's server, if there is one.
    pub(crate) restart_bus: Option<String>,
}

/// What the bus holds besides the lines that the verdict counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Under how many terms messages were published.
    pub(crate) terms: u64,
    /// How many changed room states there are; they carry no identity that the ledger knows.
    pub(crate) room_states: u64,
}

impl Places {
    /// Files in `folder` for what was not named.
    pub(crate) fn new(args: &Args, folder: &Path) -> Result<Places> {
        let own = format!("demo-{:08x}", identity::random() as u32);
        let lease = |shared: bool| if shared { format!("{own}/ircLeader") } else { "system/ircLeader".to_owned() };
        let file = args.bus.is_none().then(|| folder.join("chat.db"));
        let bus = match &args.bus {
            None => tenure_bus_open::file_url(&folder.join("chat.db")),
            // A stream of the demo's own, apart from the limits and messages of others.
            Some(url) => tenure_bus_open::apart(url, &format!("TENURE_{}", own.to_uppercase().replace('-', "_"))),
        };
        if tenure_bus_open::is_standard_output(&bus) {
            bail!("the demo's bus must be one that its processes share and that can be read back: sqlite: or nats:");
        }
        Ok(Places {
            store: args.store.clone().unwrap_or_else(|| tenure_open::file_url(&folder.join("leases.db"))),
            bus,
            bus_prefix: if args.bus.is_some() { format!("{own}.") } else { String::new() },
            lease: LeaseKey::new(lease(args.store.is_some()))?,
            file,
            restart_store: args.restart_store.clone(),
            restart_bus: args.restart_bus.clone(),
        })
    }

    /// The checker's verdict on the ledger and the bus, and the other counts of the bus.
    pub(crate) async fn judge(&self, sim: &Sim, bus: &dyn Bus) -> Result<(Verdict, Tally)> {
        let mut checker = Checker::new(&sim.ledger());
        let (mut terms, mut tally) = (std::collections::BTreeSet::new(), Tally::default());
        let subject = Subjects::new(&self.bus_prefix).ingress;
        let mut stream = bus.follow(&subject, FollowFrom::Start).await.context("cannot read the demo's bus")?;
        while let Ok(Some(followed)) = tokio::time::timeout(END_OF_BUS, stream.next()).await {
            let followed = followed.context("cannot read the demo's bus")?;
            checker.envelope(&followed.body);
            terms.extend(followed.term);
            tally.room_states += u64::from(is_room_state(&followed.body));
        }
        tally.terms = terms.len() as u64;
        Ok((checker.verdict(), tally))
    }

    /// How to count what the demo left behind: lines for a terminal, ready to be pasted into a shell.
    pub(crate) fn look(&self, published: u64) -> Vec<String> {
        match &self.file {
            Some(chat) => vec![
                format!("Count for yourself; this prints {published}:"),
                format!("  sqlite3 {} \\", quoted(chat)),
                "    \"SELECT count(*) FROM chat".to_owned(),
                "     WHERE kind NOT LIKE '%.room.v1' AND kind NOT LIKE '%.gap.v1'\"".to_owned(),
            ],
            None => vec![
                format!("Count for yourself; this prints {published}:"),
                format!("  tenure tail --bus '{}' \\", tenure_bus_open::shown(&self.bus)),
                format!("    --bus-prefix {} --from start --no-follow --json \\", self.bus_prefix),
                "    | grep -cv -e chat.room.v1 -e chat.gap.v1".to_owned(),
            ],
        }
    }
}

/// The path as one word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,@".contains(&byte)) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Runs a command of the shell that restarts a server; its output goes where the demo's errors go.
pub(crate) async fn restart(command: &str) -> Result<()> {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", command]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let status = shell.kill_on_drop(true).status().await.context("cannot start a shell")?;
    anyhow::ensure!(status.success(), "the command {command:?} ended with {status}");
    Ok(())
}

fn is_room_state(body: &[u8]) -> bool {
    // Most envelopes need no parsing: the type stands in each one literally.
    const KIND: &[u8] = b"external.chat.room.v1";
    body.windows(KIND.len()).any(|window| window == KIND)
        && serde_json::from_slice::<Value>(body).is_ok_and(|envelope| envelope["type"] == "external.chat.room.v1")
}
