//! The command line of the simulator, for a program to embed.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde::Serialize;

use crate::config::{SimConfig, StartRule, TimedFault};
use crate::error::SimError;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::limits::Budget;
use crate::sim::Sim;

const EXAMPLES: &str = "\
Examples:
  2,000 lines a second in 20 rooms, beginning when three readers are in all:
      tenure twitch-sim --listen 127.0.0.1:6667 --channels 20 --rate 2000 \\
        --wait-for 3
  The lines of a file, once, in order:
      tenure twitch-sim --replay lines.txt --rate 200 --wait-for 1 \\
        --ledger ledger.jsonl
  Every reader misses other lines, and 5 s into the chat all are cut:
      tenure twitch-sim --rate 100 --fault '{\"fault\":\"drop\",\"every\":10}' \\
        --fault '5:{\"fault\":\"cut\"}'
  While it runs:
      curl http://HOST:PORT/fault \\
        -d '{\"fault\":\"half_open\",\"select\":{\"nick\":\"justinfan1\"}}'
      curl http://HOST:PORT/stats

Faults: cut half_open stall mute_pongs reconnect split duplicate reorder drop partial_join part odd refuse tls_stall \
expire_login clock_skew close_room (\"how\": \"suspended\", \"renamed\" or \"banned\") open_room heal.

Selections: \"all\" {\"id\":1} {\"nick\":\"n\"} {\"port\":1} {\"peer\":\"host:port\"}.";

/// Runs a simulated Twitch: chat over IRC and WebSocket, made up from a seed or replayed, with faults on request.
///
/// The first line on stdout is JSON with the addresses. It ends on SIGINT or SIGTERM.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where IRC listens; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where IRC with TLS listens
    #[arg(long, value_name = "ADDR", requires = "tls_ca")]
    pub tls_listen: Option<SocketAddr>,
    /// Where WebSocket listens; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub ws_listen: SocketAddr,
    /// Where WebSocket with TLS listens [default: beside --tls-listen, on any port]
    #[arg(long, value_name = "ADDR", requires = "tls_ca")]
    pub wss_listen: Option<SocketAddr>,
    /// Where to write the certificate that clients must trust (a new authority is made at each start)
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Where /stats, /ledger, /fault, /stop and /healthz listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// How many rooms there are, named sim_channel_001 and so on [default: 1; with --replay the file's own]
    #[arg(long, value_name = "N")]
    pub channels: Option<usize>,
    /// A room of this name; repeatable
    #[arg(long, value_name = "NAME")]
    pub channel: Vec<String>,
    /// A room that answers JOIN with "suspended"; repeatable
    #[arg(long, value_name = "NAME")]
    pub suspended: Vec<String>,
    /// A room that leaves JOIN unanswered, as one that was renamed; repeatable
    #[arg(long, value_name = "NAME")]
    pub renamed: Vec<String>,
    /// A room that answers JOIN with "banned"; repeatable
    #[arg(long, value_name = "NAME")]
    pub banned: Vec<String>,
    /// Lines a second over all rooms; 0 for none but those of clients
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub rate: f64,
    /// What the chat follows from: the same seed gives the same lines apart from their times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Send the raw lines of this file instead, each once, in order, byte for byte
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Begin the chat once every room has been joined by so many connections
    #[arg(long, value_name = "N")]
    pub wait_for: Option<usize>,
    /// End the chat after so many lines
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Write the ledger here as JSON lines at the end
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// How many MiB the ledger may take; then the chat stops and new connections are refused
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub ledger_mib: u64,
    /// How many KiB may wait for one client before it is closed as too slow
    #[arg(long, value_name = "KIB", default_value_t = 8192)]
    pub queue_kib: usize,
    /// JOINs that one account may try in 10 s; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub join_budget: usize,
    /// Logins that one nick may try in 10 s; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub auth_budget: usize,
    /// Rooms that one account may be in; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub room_cap: usize,
    /// Made-up people in each room; above 1,000 nobody is told who comes and goes
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub room_crowd: usize,
    /// A token (without "oauth:") whose login fails; repeatable
    #[arg(long, value_name = "TOKEN")]
    pub bad_token: Vec<String>,
    /// Refuse an account's NICK before its PASS, as Twitch does
    #[arg(long)]
    pub strict_login: bool,
    /// An account that moderates everywhere; repeatable
    #[arg(long, value_name = "NICK")]
    pub moderator: Vec<String>,
    /// Seconds between the server's PINGs
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub ping_interval: u64,
    /// A fault as JSON, from the start, or SECONDS:JSON for so long after the chat began; repeatable
    #[arg(long, value_name = "[SECONDS:]JSON", value_parser = timed_fault)]
    pub fault: Vec<TimedFault>,
}

impl Args {
    /// The configuration that these options describe.
    pub fn config(&self) -> SimConfig {
        let budget = |attempts: usize| (attempts > 0).then_some(Budget { attempts, period_ms: 10_000 });
        let numbered = self.channels.unwrap_or(usize::from(self.replay.is_none() && self.channel.is_empty()));
        let mut channels = self.channel.clone();
        channels.extend(SimConfig::numbered_channels(numbered));
        SimConfig {
            listen: self.listen,
            tls_listen: self.tls_listen,
            ws_listen: Some(self.ws_listen),
            wss_listen: self.wss_listen.or(self.tls_listen.map(|addr| SocketAddr::new(addr.ip(), 0))),
            tls_ca_file: self.tls_ca.clone(),
            http_listen: Some(self.http),
            channels,
            rate: self.rate,
            seed: self.seed,
            room_crowd: self.room_crowd,
            replay: self.replay.clone(),
            start: self.wait_for.map_or(StartRule::Immediately, StartRule::WhenClients),
            limit: self.limit,
            suspended: self.suspended.clone(),
            renamed: self.renamed.clone(),
            banned: self.banned.clone(),
            moderators: self.moderator.clone(),
            bad_tokens: self.bad_token.clone(),
            strict_login_order: self.strict_login,
            join_budget: budget(self.join_budget),
            auth_budget: budget(self.auth_budget),
            room_cap: (self.room_cap > 0).then_some(self.room_cap),
            ping_interval: Duration::from_secs(self.ping_interval.max(1)),
            queue_bytes: self.queue_kib.saturating_mul(1024),
            ledger_bytes: self.ledger_mib.saturating_mul(1 << 20),
            faults: self.fault.clone(),
            ..SimConfig::default()
        }
    }
}

/// Runs until a signal: prints the addresses, serves, writes the ledger. Needs a tokio runtime with its drivers on.
pub async fn run(args: Args) -> Result<(), SimError> {
    // Registered before the first line is printed, so that whoever reads that line may end the process at once.
    let end = asked_to_end()?;
    let sim = Sim::start(args.config()).await?;
    let addresses = sim.addresses();
    let hello = Hello {
        irc: format!("irc://{}", addresses.irc),
        ircs: addresses.ircs.map(|addr| format!("ircs://{addr}")),
        ca: addresses.ircs.or(addresses.wss).and(args.tls_ca.as_deref()),
        ws: addresses.ws.map(|addr| format!("ws://{addr}")).unwrap_or_default(),
        wss: addresses.wss.map(|addr| format!("wss://{addr}")),
        http: addresses.http.map(|addr| format!("http://{addr}")).unwrap_or_default(),
    };
    print_line(&hello)?;
    end.await?;
    let ledger = sim.shutdown().await;
    match &args.ledger {
        Some(path) => write_ledger(&ledger, path),
        None => Ok(()),
    }
}

fn print_line(hello: &Hello<'_>) -> Result<(), SimError> {
    let mut line = serde_json::to_vec(hello).map_err(std::io::Error::from)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    Ok(stdout.flush()?)
}

/// The first line of output.
#[derive(Serialize)]
struct Hello<'a> {
    irc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ircs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a Path>,
    ws: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    wss: Option<String>,
    http: String,
}

/// Listens for the signals that end a process; the returned future waits for the first of them.
fn asked_to_end() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        })
    }
    #[cfg(not(unix))]
    Ok(tokio::signal::ctrl_c())
}

/// Writes a temporary file beside the target and renames it, so that nobody reads half a ledger.
fn write_ledger(ledger: &Ledger, path: &Path) -> Result<(), SimError> {
    let failed = |source| SimError::Write { what: "the ledger", path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&beside).map_err(failed)?);
    ledger.write_jsonl(&mut out).and_then(|()| out.flush()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

fn timed_fault(text: &str) -> Result<TimedFault, String> {
    let (after, json) = match text.split_once(':') {
        Some((seconds, json)) if !text.starts_with('{') => {
            let seconds: f64 = seconds.parse().map_err(|_| format!("{seconds:?} is not a number of seconds"))?;
            let after = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
            (Some(after), json)
        }
        _ => (None, text),
    };
    let fault: Fault = serde_json::from_str(json).map_err(|error| error.to_string())?;
    fault.check()?;
    Ok(TimedFault { after, fault })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::fault::{Cut, Select};

    /// The arguments fit into a larger command line, and the simulator's future into any task.
    #[test]
    fn it_can_be_embedded() {
        fn subcommand<T: clap::Args>() {}
        fn task<F: Future + Send>(_: impl Fn(Args) -> F) {}
        subcommand::<Args>();
        task(run);
    }

    /// The command line is well-formed, and its examples are understood.
    #[test]
    fn the_command_line_is_understood() {
        Args::command().debug_assert();
        let fault = r#"5:{"fault":"cut"}"#;
        let args =
            Args::parse_from(["twitch-sim", "--channels", "20", "--rate", "2000", "--wait-for", "3", "--fault", fault]);
        let config = args.config();
        assert_eq!(config.channels.len(), 20);
        assert_eq!(config.start, StartRule::WhenClients(3));
        let cut = Fault::Cut { select: Select::All, how: Cut::Rst };
        assert_eq!(config.faults, [TimedFault { after: Some(Duration::from_secs(5)), fault: cut }]);
        assert!(Args::try_parse_from(["twitch-sim", "--tls-listen", "127.0.0.1:0"]).is_err(), "who would trust it?");
        assert!(Args::try_parse_from(["twitch-sim", "--fault", "soon:{}"]).is_err());
    }
}
