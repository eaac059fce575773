//! From a socket with chat to acknowledged in JetStream: our pipeline as in production, beside a bare loop over
//! async-nats.

mod bare;
mod chat;
mod counted;
mod material;
mod measured;
mod ours;

use anyhow::Result;
use tenure_test_servers::Nats;
use tokio::runtime::Runtime;

use crate::pairs::{self, Batch, Compared, Effort};
use crate::report::{Report, Row, Target};
use crate::servers;
use material::Chat;
use measured::MeasuredSpan;

/// The name of the group.
pub(crate) const GROUP: &str = "nats";
const WHAT: &str = "socket to acknowledged in JetStream";
const WHAT_BUS: &str = "ready messages to acknowledged in JetStream";
const BESIDE: &str = "bare async-nats loop, ready payloads, window 256";
/// How many lines one batch has: fewer than the ring holds, because they come as fast as the socket delivers them.
const LINES: usize = 30_000;

/// Measures passed time, because the server does most of the work. Each batch has a server of its own.
///
/// # Errors
/// Where the server or a client fails.
pub(crate) fn measure(report: &mut Report, effort: Effort, lines: &[String]) -> Result<()> {
    if let Err(error) = servers::nats() {
        report.left_out.push(format!("{WHAT}: {error:#}"));
        return Ok(());
    }
    let count = if effort.pairs < Effort::FULL.pairs { LINES / 10 } else { LINES };
    let chat = material::chat(lines, count)?;
    // The same kind of runtime as in the daemon's worker.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let from_socket = |url: &str, follows| runtime.block_on(ours::from_socket(url, &chat, follows));
    let target = Target { goal: 0.95, at_least: 0.85 };
    let whole = beside_bare(effort, &chat, &runtime, |url| from_socket(url, true))?;
    report.rows.push(Row::of_wall(GROUP, WHAT, BESIDE, whole.compared, target).noting(format!(
        "{count} lines of {} bytes on average, envelopes of {}, nats-server 2.9 with file storage on this machine, a fresh one each time; time that passed from \
         the first line to the last acknowledgement. Ours is the whole daemon but for its store: reader, parser, envelope, ring, fence and bus, \
         on a stream that it follows while it must and not while it leads in good order; the peer's payloads are made before. {}",
        chat.lines.len() / count,
        chat.messages.iter().map(|message| message.body.len()).sum::<usize>() / count,
        whole.cpu(),
    )));
    let unfollowed = beside_bare(effort, &chat, &runtime, |url| from_socket(url, false))?;
    let what = format!("{WHAT}, not following");
    report.rows.push(
        Row { target: None, ..Row::of_wall(GROUP, &what, BESIDE, unfollowed.compared, target) }
            .noting(format!("the same where the stream is never followed. {}", unfollowed.cpu())),
    );
    let bus = beside_bare(effort, &chat, &runtime, |url| runtime.block_on(ours::from_messages(url, &chat.messages)))?;
    report.rows.push(
        Row { target: None, ..Row::of_wall(GROUP, WHAT_BUS, BESIDE, bus.compared, target) }
            .noting(format!("ours begins with messages that are made before, 512 a batch. {}", bus.cpu())),
    );
    Ok(())
}

/// How the sides compare by passed time, and the CPU time that each spends.
struct Beside {
    compared: Compared,
    our_cpu: f64,
    peer_cpu: f64,
}

impl Beside {
    fn cpu(&self) -> String {
        format!(
            "CPU of the client's process: ours {:.0} ns a message, the peer's {:.0} ns",
            self.our_cpu, self.peer_cpu
        )
    }
}

fn beside_bare(
    effort: Effort,
    chat: &Chat,
    runtime: &Runtime,
    ours: impl Fn(&str) -> Result<MeasuredSpan>,
) -> Result<Beside> {
    let (mut our_cpu, mut peer_cpu) = (Vec::new(), Vec::new());
    let compared = pairs::compare(
        effort,
        |_| timed(chat, &mut our_cpu, &ours),
        |_| timed(chat, &mut peer_cpu, |url| runtime.block_on(bare::publish(url, &chat.messages))),
    )?;
    let median = |spent| pairs::spread(spent).median;
    Ok(Beside { compared, our_cpu: median(our_cpu), peer_cpu: median(peer_cpu) })
}

/// Runs against a fresh server; `run` returns the measured span, which begins after everything was connected.
fn timed(chat: &Chat, cpu: &mut Vec<f64>, run: impl FnOnce(&str) -> Result<MeasuredSpan>) -> Result<Batch> {
    let server: Nats = servers::nats()?;
    let began = run(&server.url())?;
    let (passed, spent) = (began.ended.saturating_sub(began.at), began.ended_cpu.saturating_sub(began.cpu));
    let count = chat.messages.len();
    cpu.push(spent.as_secs_f64() * 1e9 / count as f64);
    Ok(Batch::timed(count as u64, passed))
}
