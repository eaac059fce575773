//! Who is measured on a server: ours, and its peers.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::contender::Manner;
use super::ttl::TTL;
use crate::handoff::candidate_process;
use crate::servers::Access;

/// Makes the command that starts a candidate for a key, on a server that is reached so.
type Starter<'a> = dyn Fn(&Access, &str) -> Result<Command> + Send + Sync + 'a;

/// One kind of candidate on one server.
pub(super) struct Side<'a> {
    pub(super) name: &'static str,
    /// How it is used, where that is not by its defaults.
    pub(super) how: &'static str,
    pub(super) is_ours: bool,
    pub(super) manner: Manner,
    /// Starts a candidate for this key.
    pub(super) command: Box<Starter<'a>>,
    /// After how long nobody takes over any more.
    pub(super) patience: Duration,
    /// How many of its losses are waited for at a time.
    pub(super) lanes: u32,
}

impl Side<'_> {
    /// A key of its own: what one kind of candidate leaves behind is in no other's way. It is the name of a Lease as well.
    pub(super) fn key(&self, what: &str) -> String {
        let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' };
        format!("bench-{}-{what}", self.name).chars().map(sign).collect()
    }
}

/// A peer that is not on this machine.
pub(super) struct Missing {
    pub(super) name: &'static str,
    /// How to get it.
    pub(super) why: String,
}

/// After how many ttls it is given up that anybody takes over.
const PATIENCE_IN_TTLS: u32 = 5;
/// More of them would disturb each other by more than the milliseconds that they are read to.
const LANES: u32 = 8;

/// A candidate of this program's own.
pub(super) fn of_this_program<'a>(name: &'static str, how: &'static str, kind: &'static str) -> Side<'a> {
    let command = move |access: &Access, key: &str| {
        let mut command = candidate_process::command(kind, &access.url, key)?;
        command.arg(TTL.as_millis().to_string()).envs(access.environment.iter().cloned());
        Ok(command)
    };
    told(name, how, command)
}

/// A candidate that is told what to do.
pub(super) fn told<'a>(
    name: &'static str,
    how: &'static str,
    command: impl Fn(&Access, &str) -> Result<Command> + Send + Sync + 'a,
) -> Side<'a> {
    let (manner, command) = (Manner::Told, Box::new(command));
    Side { name, how, is_ours: false, manner, command, patience: TTL * PATIENCE_IN_TTLS, lanes: LANES }
}
