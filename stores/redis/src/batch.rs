//! Batches: items grouped by slot, at most 500 a script, all scripts of a server pipelined on its one connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tenure_store::{Answers, LeaseKey, StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::config::Address;
use crate::failure::{Failure, Reply};
use crate::link::{Link, Live, Sent};
use crate::names;
use crate::scripts::Script;
use crate::topology::Topology;
use crate::url;

/// The most items in one script: it keeps everybody else from the server for half a millisecond.
const SCRIPT_ITEMS: usize = 500;

/// How often a script is sent anew because a cluster moves its slot, or the server has not seen it yet.
const ROUNDS: usize = 8;

/// How long a slot that is being moved is left alone before it is tried again.
const MOVING: Duration = Duration::from_millis(20);

/// How long a server that is not fit for new leases is believed to stay so.
const UNFIT: Duration = Duration::from_secs(1);

/// A verb with its items.
pub(crate) trait Verb: Sync {
    /// What is answered for an item.
    type Answer;

    /// The script that does it.
    fn script(&self) -> &'static Script;

    /// How many items there are.
    fn len(&self) -> usize;

    /// The key of an item.
    fn key(&self, item: usize) -> &LeaseKey;

    /// Whether the script needs the items' term records besides their leases.
    fn with_records(&self) -> bool {
        true
    }

    /// Whether it grants leases: only on a server that is fit for them.
    fn grants(&self) -> bool {
        false
    }

    /// Writes the arguments for these items.
    fn arguments(&self, command: &mut Cmd, items: &[usize], live: &Live, slot: u16);

    /// Reads the script's answer: one for each of the items in it, in their order.
    fn answers(&self, place: &str, items: &[usize], value: Value) -> Vec<Result<Self::Answer, Failure>>;
}

/// The items of one script.
struct Job {
    slot: u16,
    items: Vec<usize>,
    route: Route,
    // The whole text instead of its hash: the server does not know the script.
    whole: bool,
}

enum Route {
    Slot,
    Moved(Address),
    Asking(Address),
}

enum Step<T> {
    Done(Vec<Result<T, Failure>>),
    Again(Route, bool, Duration),
}

/// Does `verb` for all items and answers for each, in order.
pub(crate) async fn run<V: Verb>(topology: &Topology, verb: &V, deadline: Instant) -> Vec<Result<V::Answer, Failure>> {
    let mut answers: Vec<Option<Result<V::Answer, Failure>>> = (0..verb.len()).map(|_| None).collect();
    let mut jobs = jobs(topology, verb);
    for _ in 0..ROUNDS {
        let steps = join_all(jobs.iter().map(|job| step(topology, verb, job, deadline))).await;
        let (mut again, mut pause) = (Vec::new(), Duration::ZERO);
        for (mut job, step) in std::mem::take(&mut jobs).into_iter().zip(steps) {
            match step {
                Step::Done(done) => {
                    for (item, answer) in job.items.iter().zip(done) {
                        answers[*item] = Some(answer);
                    }
                }
                Step::Again(route, whole, wait) => {
                    (job.route, job.whole, pause) = (route, job.whole || whole, pause.max(wait));
                    again.push(job);
                }
            }
        }
        jobs = again;
        if jobs.is_empty() {
            break;
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
    }
    let unsettled = || Failure::unavailable("redis cluster: the slot is being moved; nothing was done");
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unsettled()))).collect()
}

/// The answers as a store gives them: one error instead of all, where nothing was done for any item.
pub(crate) fn settled<T>(answers: Vec<Result<T, Failure>>) -> Result<Answers<T>, StoreError> {
    let nothing_done = |failure: &Failure| matches!(failure.kind, StoreErrorKind::Unavailable | StoreErrorKind::Denied);
    if let Some(Err(first)) = answers.first()
        && answers.iter().all(|answer| answer.as_ref().is_err_and(nothing_done))
    {
        return Err(first.error());
    }
    Ok(answers.into_iter().map(|answer| answer.map_err(StoreError::from)).collect())
}

fn jobs<V: Verb>(topology: &Topology, verb: &V) -> Vec<Job> {
    let mut slots: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    if topology.is_cluster() {
        for item in 0..verb.len() {
            slots.entry(names::slot(&names::lease_name(verb.key(item)))).or_default().push(item);
        }
    } else {
        slots.insert(0, (0..verb.len()).collect());
    }
    let job = |slot: u16, items: &[usize]| Job { slot, items: items.to_vec(), route: Route::Slot, whole: false };
    slots.iter().flat_map(|(slot, items)| items.chunks(SCRIPT_ITEMS).map(|items| job(*slot, items))).collect()
}

async fn step<V: Verb>(topology: &Topology, verb: &V, job: &Job, deadline: Instant) -> Step<V::Answer> {
    let all = |failure: Failure| Step::Done(job.items.iter().map(|_| Err(failure.clone())).collect());
    let (address, asking) = match &job.route {
        Route::Slot => (None, false),
        Route::Moved(address) => (Some(address), false),
        Route::Asking(address) => (Some(address), true),
    };
    let link = match address.and_then(|address| topology.link_at(address)) {
        Some(link) => Ok(link),
        None => topology.link(job.slot, deadline).await,
    };
    let link = match link {
        Ok(link) => link,
        Err(failure) => return all(failure),
    };
    let live = match live(&link, verb, deadline).await {
        Ok(live) => live,
        Err(failure) => {
            topology.doubt();
            return all(failure);
        }
    };
    if let Some(unfit) = live.unfit() {
        link.tell(unfit);
        if verb.grants() {
            return all(unfit.clone());
        }
    }
    let command = command(verb, job, &live);
    let sent = if asking { live.send_asking(command, deadline).await } else { live.send(&command, deadline).await };
    match sent {
        Sent::Answered(value) => {
            let answers = verb.answers(live.place(), &job.items, value);
            // A replica refuses each item for itself.
            if answers.iter().any(|answer| answer.as_ref().is_err_and(|failure| failure.message.contains("READONLY"))) {
                live.retire();
                topology.doubt();
            }
            Step::Done(answers)
        }
        Sent::Refused(reply) => refused(topology, &reply, live.place()).unwrap_or_else(all),
        Sent::Failed(failure) => {
            topology.doubt();
            all(failure)
        }
    }
}

/// The connection for a script of this verb. A server that was not fit for new leases may have been mended: whoever wants
/// one asks it again, over a new connection.
async fn live<V: Verb>(link: &Link, verb: &V, deadline: Instant) -> Result<Arc<Live>, Failure> {
    let live = link.live(deadline).await?;
    if verb.grants() && live.unfit().is_some() && live.known_up() >= UNFIT {
        live.retire();
        return link.live(deadline).await;
    }
    Ok(live)
}

/// Whether a refusal is only a matter of asking otherwise, or elsewhere.
fn refused<T>(topology: &Topology, reply: &Reply, place: &str) -> Result<Step<T>, Failure> {
    let elsewhere = || {
        let address = reply.detail.split_whitespace().nth(1)?;
        // IPv6 comes without brackets; the port stands behind the last colon.
        let (host, port) = address.rsplit_once(':')?;
        let host = if matches!(host, "" | "?") { place.rsplit_once(':')?.0 } else { host };
        url::address(&format!("[{}]:{port}", host.trim_matches(['[', ']'])), 0).ok()
    };
    match reply.code.as_str() {
        "NOSCRIPT" => Ok(Step::Again(Route::Slot, true, Duration::ZERO)),
        "TRYAGAIN" => Ok(Step::Again(Route::Slot, false, MOVING)),
        "MOVED" if topology.is_cluster() => {
            topology.doubt();
            let address = elsewhere().ok_or_else(|| reply.failure(place))?;
            Ok(Step::Again(Route::Moved(address), false, Duration::ZERO))
        }
        "ASK" if topology.is_cluster() => {
            let address = elsewhere().ok_or_else(|| reply.failure(place))?;
            Ok(Step::Again(Route::Asking(address), false, Duration::ZERO))
        }
        _ => {
            topology.doubt();
            Err(reply.failure(place))
        }
    }
}

fn command<V: Verb>(verb: &V, job: &Job, live: &Live) -> Cmd {
    let script = verb.script();
    let mut command = redis::cmd(if job.whole { "EVAL" } else { "EVALSHA" });
    let keys_per_item = if verb.with_records() { 2 } else { 1 };
    command.arg(if job.whole { &script.text } else { &script.sha }).arg(job.items.len() * keys_per_item);
    for item in &job.items {
        let name = names::lease_name(verb.key(*item));
        command.arg(&*name);
        if verb.with_records() {
            command.arg(names::record_name(&name));
        }
    }
    verb.arguments(&mut command, &job.items, live, job.slot);
    command
}
