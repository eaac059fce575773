//! The flags of `tenure demo`.

/// Flags of `tenure demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Three real `tenure ingest` processes read a simulated Twitch; one publishes. Then its worker is \
killed, its host is lost, it is stopped past its lease and continued, all are restarted in turn, \
its chat connection is reset, and the bus is locked. In the end a checker, which knows only what \
the simulator sent and what the bus holds, counts what was lost and what was doubled. The files \
stay for a look with sqlite3, and how to remove them is said with their size.

On a terminal a picture shows what happens and what comes next, elsewhere lines on stderr do. Ctrl-C \
ends all that was started and removes the files. NO_COLOR, TERM=dumb and a locale without UTF-8 are \
kept to.

With --store and --bus the same plays over your servers, under names of the demo's own; they may \
be restarted meanwhile, and are where --restart-store and --restart-bus say how.

Examples:
  tenure demo
  tenure demo --seconds 40 --json
  tenure demo --store redis://127.0.0.1:6379 --bus nats://127.0.0.1:4222 \\
    --restart-bus 'docker restart nats'

Exit code: 0 if nothing was lost or doubled, else 1.")]
pub(crate) struct Args {
    /// How long to chat; longer where the faults need it
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: u64,
    /// Messages a second, over all channels
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(super) rate: u32,
    /// Channels
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=90))]
    pub(super) channels: u16,
    /// What the simulated chat follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Store of the leases [default: a SQLite file in the demo's folder]
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
    /// Bus for the envelopes [default: a SQLite file in the demo's folder]
    #[arg(long, value_name = "URL")]
    pub(super) bus: Option<String>,
    /// A shell command that restarts the store's server: one more fault
    #[arg(long, value_name = "CMD", requires = "store")]
    pub(super) restart_store: Option<String>,
    /// A shell command that restarts the bus's server: one more fault
    #[arg(long, value_name = "CMD", requires = "bus")]
    pub(super) restart_bus: Option<String>,
    /// Print one JSON object at the end, on stdout
    #[arg(long)]
    pub(super) json: bool,
}
