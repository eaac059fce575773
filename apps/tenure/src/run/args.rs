//! The command line of `tenure run`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use tenure::{HolderId, LeaseKey, Note};

use super::parse;
use crate::exit::NOT_ACQUIRED;
use crate::logs::Format;
use crate::store::{self, StoreArgs};
use tenure_base_net::durations;

/// How it is called.
const USAGE: &str = "tenure run [OPTIONS] KEY -- CMD...
       tenure run [OPTIONS] KEY -c LINE
       tenure run [OPTIONS] --lease KEY -- CMD...";

/// Flags of `tenure run`. A key that stands first, without `--lease`, is moved there before this is parsed (positional_key.rs).
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE, after_help = "\
The command gets TENURE_KEY, TENURE_TERM (the fencing token), TENURE_HOLDER and TENURE_STATUS_FILE (see `tenure check`), \
and standard streams and terminal as if it ran alone. When it ends, whatever it left running is ended too.

--on-elected gets the same, and TENURE_EVENT=elected. --on-lost gets TENURE_EVENT=lost, the key, the term, the holder, \
TENURE_REASON (a code) and TENURE_DETAIL (a sentence), but no status file: the tenure is over. A hook's standard output \
goes nowhere; write to standard error. A hook that fails is told of there and changes no exit code. The lease is \
released, and with --restart campaigned for again, without waiting for a hook; `tenure run` exits when --on-lost has \
ended, or was killed after 30s, or a signal asks for the end.

Without --wait and --restart a store that cannot be reached at the start is exit code 69 at once. With them it is waited \
for as the lease is; once --wait is over that is 69 where the store never answered, else 76.

With --http, `/leader` answers {key, leader, term, is_self, remaining_ms, advertise}, 200 where this instance leads, \
else 503; `/debug/vars` answers {leader_election: {is_leader, identity, lease_holder, time_as_leader, transitions, \
...}}.

SIGTERM, SIGINT and SIGHUP end the command: it gets the signal, and SIGKILL after the stop timeout. SIGUSR1, SIGUSR2 and \
SIGWINCH are passed on, SIGTSTP stops it and SIGCONT continues it, unless the lease has run out meanwhile.

Under systemd (Type=notify, NotifyAccess=all) CMD says when it is ready and alive, and gets the sockets of LISTEN_FDS; \
until it runs, a standby asks for more time. docs/services.md has a unit.

Exit codes: the command's own, or 128 and the number of the signal that ended it; 64 called wrongly; 69 the store cannot \
be reached, or this machine could not start another process; 75 leadership was lost and the command was ended; 76 the \
lease was not to be had in time; 126 and 127 the command cannot be run or is not there.

Examples:
  tenure run reports/nightly -- ./make-reports

  a shell line; without waiting:
  tenure run reports/nightly -n -c 'make && ./send reports'

  one bot, hot standbys elsewhere:
  tenure run bot --restart --store redis://host -- ./bot

  four at a time:
  tenure run transcode --slots 4 -s redis://host -- ./transcode F

  once on many hosts, at the same minute: the store must be one that all of
  them share, named here or for everybody on a host in
  /etc/tenure/config.toml (store = \"redis://db.internal\"):
  tenure run cron/backup -s redis://host -n -q -E 0 --hold-for 5m -- ./backup

  a script that runs once at a time begins with:
  [ \"$TENURE_KEY\" = myscript ] || exec tenure run myscript -- \"$0\" \"$@\"

  with a health check, and an address for those who look for the leader:
  tenure run api --http :9000 --advertise 10.0.0.5:8080 \\
      --health-cmd 'curl -fs localhost:8080/up' -- ./api")]
pub(crate) struct Args {
    /// Key of the lease to hold, in place of KEY
    #[arg(long, short, value_name = "KEY", value_parser = store::parse_key)]
    pub(super) lease: LeaseKey,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// How long the lease lasts without renewal [env: TENURE_TTL] [default: 15s]
    #[arg(long, short, value_name = "DURATION", value_parser = durations::parse)]
    pub(super) ttl: Option<Duration>,
    /// How often it is renewed [default: a third of the ttl]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    pub(super) renew: Option<Duration>,
    /// How much earlier than the store the command's time is over [default: 2/15 of the ttl, from 200ms to 2s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    pub(super) margin: Option<Duration>,
    /// Wait so long for the lease and its store, then exit 76 (or 69) [default: for ever]
    #[arg(long, short, alias = "timeout", value_name = "DURATION", value_parser = durations::parse, conflicts_with = "no_wait")]
    pub(super) wait: Option<Duration>,
    /// Try once; where somebody else holds the lease say who, and exit 76
    #[arg(long, short, aliases = ["nonblock", "nb"])]
    pub(super) no_wait: bool,
    /// Exit with N in place of 76 where the lease was not to be had
    #[arg(long, short = 'E', value_name = "N", default_value_t = NOT_ACQUIRED)]
    pub(super) conflict_exit_code: u8,
    /// Keep the lease at least so long after it was acquired, even if the command ends sooner, or is ended because renewals
    /// fail; it then lasts on its own. `tenure resign` and --health-cmd hand it over all the same
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    pub(super) hold_for: Option<Duration>,
    /// Let N run at a time: the leases are KEY/0 to KEY/N-1, and one is enough
    #[arg(long, value_name = "N", value_parser = parse::slots)]
    pub(super) slots: Option<u32>,
    /// Campaign again after leadership was lost; with =always also after the command has ended
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "on-loss")]
    pub(super) restart: Option<Restart>,
    /// Signal that asks the command to end
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = parse::signal)]
    pub(super) stop_signal: Signal,
    /// How long the command may take to end before it is killed [default: a third of the ttl, at most 10s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    pub(super) stop_timeout: Option<Duration>,
    /// Name to hold the lease under [default: host, process and a random suffix]
    #[arg(long, value_name = "NAME", value_parser = parse::holder)]
    pub(super) holder: Option<HolderId>,
    /// Text to keep with the lease, as `tenure leases` shows it
    #[arg(long, value_name = "TEXT", value_parser = parse::note)]
    pub(super) note: Option<Note>,
    /// Serve /leader, /readyz, /healthz, /livez, /metrics and /debug/vars: HOST:PORT, or :PORT on
    /// loopback; :0 is any free one, which is told
    #[arg(long, value_name = "ADDR", value_parser = crate::http::parse_address)]
    pub(super) http: Option<SocketAddr>,
    /// Address of this instance, kept with the lease while it leads: `/leader` and `tenure leases` tell it to whoever routes
    #[arg(long, value_name = "ADDR", value_parser = crate::advertise::parse)]
    pub(super) advertise: Option<String>,
    /// Shell command to run beside CMD when leadership begins; it ends with CMD, and after 30s at the latest
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) on_elected: Option<String>,
    /// Shell command to run after each tenure, when nothing of CMD is left; it may take 30s
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) on_lost: Option<String>,
    /// Shell command that says with 0 that this instance is fit to lead: while it does not, the lease is not campaigned for,
    /// and handed over where it is held
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) health_cmd: Option<String>,
    /// Pause between two of them [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "health_cmd", value_parser = durations::parse)]
    pub(super) health_interval: Option<Duration>,
    /// How long one may take; longer means no [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "health_cmd", value_parser = durations::parse)]
    pub(super) health_timeout: Option<Duration>,
    /// Tell systemd that the unit is ready as soon as this instance stands by, rather than when it leads and CMD is ready
    #[arg(long)]
    pub(super) ready_as_standby: bool,
    /// Who tells systemd (Type=notify) that CMD is ready and alive: CMD itself, or tenure for one that does not, as soon as it
    /// was started
    #[arg(long, value_name = "WHO", default_value = "command", hide_possible_values = true)]
    pub(super) sdnotify: Sdnotify,
    /// Say nothing of waiting, and of who holds the lease: the exit code says it. Errors are told all the same
    #[arg(long, short, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Log to standard error: a level, or TARGET=LEVEL [env: TENURE_LOG] [default: only what a user must know]
    #[arg(long, value_name = "FILTER")]
    pub(super) log: Option<String>,
    /// Log what happens, as --log info
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// How logs are written; json also for what users are told [env: TENURE_LOG_FORMAT] [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<Format>,
    /// Line for /bin/sh to run, in place of CMD
    #[arg(long = "command", short = 'c', value_name = "LINE", conflicts_with = "command",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) line: Option<String>,
    /// Command to run, and its arguments
    #[arg(value_name = "CMD", required_unless_present = "line", trailing_var_arg = true)]
    pub(super) command: Vec<OsString>,
}

/// Who tells the service manager that the command is ready, and alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sdnotify {
    /// The command
    Command,
    /// This program: ready once the command was started
    Tenure,
}

/// When to campaign again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Restart {
    /// After leadership was lost
    OnLoss,
    /// Also after the command has ended
    Always,
}
