//! Batches: items grouped by slot, at most 500 a script, all scripts of a server pipelined on its one connection. Each
//! script goes its own way to its answer: one that waits for a server which is down holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tenure_store::{Answers, LeaseKey, StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::apart;
use crate::config::Address;
use crate::failure::{Failure, Reply};
use crate::link::{Link, Live, Sent};
use crate::names;
use crate::scripts::Script;
use crate::topology::Topology;

/// The most items in one script: it keeps everybody else from the server for half a millisecond.
const SCRIPT_ITEMS: usize = 500;

/// How often a script is sent anew because a cluster moves its slot, or the server has not seen it yet.
const ROUNDS: usize = 8;

/// How long a slot whose move has just come to another stage is left alone before it is tried again.
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
    fn arguments(&self, command: &mut Cmd, items: &[usize], live: &Live);

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

/// What became of a script.
enum Step<T> {
    Done(Vec<Result<T, Failure>>),
    Again(Route, bool),
    /// A cluster moves the slot, and what the script needs lies on two nodes.
    Apart,
}

/// Does `verb` for all items and answers for each, in order.
pub(crate) async fn run<V: Verb>(topology: &Topology, verb: &V, deadline: Instant) -> Vec<Result<V::Answer, Failure>> {
    let mut answers: Vec<Option<Result<V::Answer, Failure>>> = (0..verb.len()).map(|_| None).collect();
    for (items, done) in join_all(each(topology, verb, deadline)).await {
        for (item, answer) in items.into_iter().zip(done) {
            answers[item] = Some(answer);
        }
    }
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missing()))).collect()
}

/// What [`run`] does, as a future for each script: its items, and their answers.
pub(crate) fn each<V: Verb>(
    topology: &Topology,
    verb: &V,
    deadline: Instant,
) -> impl Iterator<Item = impl Future<Output = (Vec<usize>, Vec<Result<V::Answer, Failure>>)>> {
    jobs(topology, verb).into_iter().map(move |mut job| async move {
        let done = settle(topology, verb, &mut job, deadline).await;
        (job.items, done)
    })
}

/// For an item without an answer.
pub(crate) fn missing() -> Failure {
    Failure::unanswered("server", "an answer is missing")
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

/// Sends a script wherever it must go until it is answered.
async fn settle<V: Verb>(
    topology: &Topology,
    verb: &V,
    job: &mut Job,
    deadline: Instant,
) -> Vec<Result<V::Answer, Failure>> {
    for _ in 0..ROUNDS {
        match step(topology, verb, job, deadline).await {
            Step::Done(done) => return done,
            Step::Again(route, whole) => (job.route, job.whole) = (route, job.whole || whole),
            Step::Apart if job.items.len() > 1 => {
                // Each by itself: most of them lie on one node, whichever that is.
                let alone = |item: &usize| Job { slot: job.slot, items: vec![*item], route: Route::Slot, whole: true };
                let mut jobs: Vec<Job> = job.items.iter().map(alone).collect();
                let each = jobs.iter_mut().map(|job| Box::pin(settle(topology, verb, job, deadline)));
                return join_all(each).await.into_iter().flatten().collect();
            }
            Step::Apart => {
                if verb.with_records()
                    && let Some(answer) = apart::run(topology, verb, job.items[0], deadline).await
                {
                    return vec![answer];
                }
                job.route = Route::Slot;
                tokio::time::sleep_until(deadline.min(Instant::now() + MOVING)).await;
            }
        }
    }
    let unsettled = || Err(Failure::unavailable("redis cluster: the slot is being moved; nothing was done"));
    job.items.iter().map(|_| unsettled()).collect()
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
            if failure.kind == StoreErrorKind::Unavailable {
                topology.doubt(link.address());
            }
            return all(failure);
        }
    };
    let command = command(verb, job, &live);
    let sent = if asking { live.send_asking(command, deadline).await } else { live.send(&command, deadline).await };
    match sent {
        Sent::Answered(value) => {
            let answers = verb.answers(live.place(), &job.items, value);
            // A replica refuses each item for itself.
            if answers.iter().any(|answer| answer.as_ref().is_err_and(|failure| failure.message.contains("READONLY"))) {
                live.retire();
                topology.doubt(link.address());
            }
            Step::Done(answers)
        }
        Sent::Refused(reply) => refused(topology, &reply, &link).unwrap_or_else(all),
        Sent::Failed(failure) => {
            topology.doubt(link.address());
            all(failure)
        }
    }
}

/// The connection for a script of this verb. A server that was not fit for new leases may have been mended: whoever wants
/// one asks it again, over a new connection.
pub(crate) async fn live<V: Verb>(link: &Arc<Link>, verb: &V, deadline: Instant) -> Result<Arc<Live>, Failure> {
    let mut live = link.live(deadline).await?;
    if verb.grants() && live.unfit().is_some() && live.age() >= UNFIT {
        live.retire();
        live = link.live(deadline).await?;
    }
    if let Some(unfit) = live.unfit() {
        link.tell(unfit);
        if verb.grants() {
            return Err(unfit.clone());
        }
    }
    Ok(live)
}

/// Whether a refusal is only a matter of asking otherwise, or elsewhere.
fn refused<T>(topology: &Topology, reply: &Reply, link: &Link) -> Result<Step<T>, Failure> {
    let elsewhere = || reply.elsewhere(link.address()).ok_or_else(|| reply.failure(&link.address().to_string()));
    match reply.code.as_str() {
        "NOSCRIPT" => Ok(Step::Again(Route::Slot, true)),
        "TRYAGAIN" => Ok(Step::Apart),
        "MOVED" if topology.is_cluster() => {
            topology.doubt(link.address());
            Ok(Step::Again(Route::Moved(elsewhere()?), false))
        }
        "ASK" if topology.is_cluster() => Ok(Step::Again(Route::Asking(elsewhere()?), false)),
        _ => {
            topology.doubt(link.address());
            Err(reply.failure(&link.address().to_string()))
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
    verb.arguments(&mut command, &job.items, live);
    command
}
