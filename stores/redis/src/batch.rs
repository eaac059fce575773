//! Batches: items grouped by slot, at most 500 a script, all scripts of a server pipelined on its one connection. Each
//! script goes its own way to its answer: one that waits for a server which is down holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use redis::{Cmd, Value};
use tenure_store::{Answers, StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::address::Address;
use crate::error::{ErrorReply, unavailable};
use crate::migrating;
use crate::names;
use crate::server::{SendError, Server, Session};
use crate::topology::Topology;
use crate::verb::{Verb, in_order};

/// The most items in one script: while it runs, 0.5 ms, the server serves nobody else.
const SCRIPT_ITEMS: usize = 500;

/// How often a script is sent anew because its slot is being migrated, or the server has not got it in its script cache.
const ROUNDS: usize = 8;

/// The wait before another try where the migration of the slot has just come to another stage.
const MIGRATION_PAUSE: Duration = Duration::from_millis(20);

/// Some items of one slot, and where and how their script is sent next.
struct Job {
    slot: u16,
    items: Vec<usize>,
    route: Route,
    // Send the script's text instead of its hash: the server does not know it.
    whole: bool,
}

enum Route {
    /// To the server that is known to serve the slot.
    Slot,
    /// To the node that MOVED named.
    Moved(Address),
    /// To the node that ASK named, behind ASKING.
    Ask(Address),
}

/// What follows from sending a script once.
enum Step<T> {
    Done(Vec<Result<T, StoreError>>),
    Again(Route, bool),
    /// TRYAGAIN: the slot is being migrated, and the keys of the script lie on two nodes.
    Split,
}

/// Does `verb` for all items and answers for each, in order.
pub(crate) async fn run<T>(topology: &Topology, verb: &Verb<'_, T>, deadline: Instant) -> Vec<Result<T, StoreError>> {
    let answers = join_all(scripts(topology, verb, deadline)).await;
    in_order(verb.keys.len(), answers.into_iter().flatten())
}

/// What [`run`] does, as a future for each script: its items with their answers.
pub(crate) fn scripts<T>(
    topology: &Topology,
    verb: &Verb<'_, T>,
    deadline: Instant,
) -> impl Iterator<Item = impl Future<Output = Vec<(usize, Result<T, StoreError>)>>> {
    jobs(topology, verb).into_iter().map(move |mut job| async move {
        let answers = finish(topology, verb, &mut job, deadline).await;
        job.items.into_iter().zip(answers).collect()
    })
}

/// The answers as a store gives them: one error instead of all, where nothing was done for any item.
pub(crate) fn as_store_answers<T>(answers: Vec<Result<T, StoreError>>) -> Result<Answers<T>, StoreError> {
    let nothing_done =
        |error: &StoreError| matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Denied);
    match answers.first() {
        Some(Err(first)) if answers.iter().all(|answer| answer.as_ref().is_err_and(nothing_done)) => Err(first.clone()),
        _ => Ok(answers),
    }
}

fn jobs<T>(topology: &Topology, verb: &Verb<'_, T>) -> Vec<Job> {
    let mut slots: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    if topology.is_cluster() {
        for (item, key) in verb.keys.iter().enumerate() {
            slots.entry(names::slot(&names::lease_name(key))).or_default().push(item);
        }
    } else {
        slots.insert(0, (0..verb.keys.len()).collect());
    }
    let job = |slot: u16, items: &[usize]| Job { slot, items: items.to_vec(), route: Route::Slot, whole: false };
    slots.iter().flat_map(|(slot, items)| items.chunks(SCRIPT_ITEMS).map(|items| job(*slot, items))).collect()
}

/// Sends a script until it is answered, wherever it must go.
async fn finish<T>(
    topology: &Topology,
    verb: &Verb<'_, T>,
    job: &mut Job,
    deadline: Instant,
) -> Vec<Result<T, StoreError>> {
    for _ in 0..ROUNDS {
        match step(topology, verb, job, deadline).await {
            Step::Done(answers) => return answers,
            Step::Again(route, whole) => (job.route, job.whole) = (route, job.whole || whole),
            Step::Split if job.items.len() > 1 => {
                // One script for each item: most items have both their keys on one node, whichever that is.
                let alone = |item: &usize| Job { slot: job.slot, items: vec![*item], route: Route::Slot, whole: true };
                let mut jobs: Vec<Job> = job.items.iter().map(alone).collect();
                let each = jobs.iter_mut().map(|job| Box::pin(finish(topology, verb, job, deadline)));
                return join_all(each).await.into_iter().flatten().collect();
            }
            Step::Split => {
                if verb.with_records
                    && let Some(answer) = migrating::run(topology, verb, job.items[0], deadline).await
                {
                    return vec![answer];
                }
                job.route = Route::Slot;
                tokio::time::sleep_until(deadline.min(Instant::now() + MIGRATION_PAUSE)).await;
            }
        }
    }
    let unfinished = || Err(unavailable("redis cluster: the slot is being moved; nothing was done"));
    job.items.iter().map(|_| unfinished()).collect()
}

async fn step<T>(topology: &Topology, verb: &Verb<'_, T>, job: &Job, deadline: Instant) -> Step<T> {
    let all = |error: StoreError| Step::Done(job.items.iter().map(|_| Err(error.clone())).collect());
    let command = |uptime: Duration| verb.command(&job.items, job.whole, uptime);
    let Sent { server, session, answer } = match send(topology, job, verb.grants, &command, deadline).await {
        Ok(sent) => sent,
        Err(error) => return all(error),
    };
    match answer {
        Ok(value) => {
            let answers = verb.answers(server.address(), &job.items, value);
            // Inside a script a replica refuses each item's write.
            if answers.iter().any(|answer| answer.as_ref().is_err_and(|error| error.to_string().contains("READONLY"))) {
                session.retire();
                topology.doubt(server.address());
            }
            Step::Done(answers)
        }
        Err(SendError::Refused(reply)) => next_step(topology, &reply, &server).unwrap_or_else(all),
        Err(SendError::Unanswered(error)) => {
            topology.doubt(server.address());
            all(error)
        }
    }
}

/// A script that was sent, and what came back.
struct Sent {
    server: Arc<Server>,
    session: Arc<Session>,
    answer: Result<Value, SendError>,
}

/// Sends a script once; `command` is told for how long the server is known to be running. The future is boxed and does not know
/// the verb's answers, so that all that it does with connections is compiled once, and not again for each kind of answer.
fn send<'a>(
    topology: &'a Topology,
    job: &'a Job,
    grants: bool,
    command: &'a (dyn Fn(Duration) -> Cmd + Send + Sync),
    deadline: Instant,
) -> BoxFuture<'a, Result<Sent, StoreError>> {
    Box::pin(async move {
        let server = match &job.route {
            Route::Slot => topology.server(job.slot, deadline).await?,
            Route::Moved(address) | Route::Ask(address) => topology.server_at(address),
        };
        let session = match server.session_for(grants, deadline).await {
            Ok(session) => session,
            Err(error) => {
                if error.kind() == StoreErrorKind::Unavailable {
                    topology.doubt(server.address());
                }
                return Err(error);
            }
        };
        let command = command(session.min_uptime());
        let answer = match job.route {
            Route::Ask(_) => session.send_asking(command, deadline).await,
            _ => session.send(&command, deadline).await,
        };
        Ok(Sent { server, session, answer })
    })
}

/// What to do after an error reply that says that nothing was done; the error where there is nothing to try.
fn next_step<T>(topology: &Topology, reply: &ErrorReply, server: &Server) -> Result<Step<T>, StoreError> {
    let address = server.address();
    let target = || reply.redirected_to(address).ok_or_else(|| reply.to_error(address));
    match reply.code.as_str() {
        "NOSCRIPT" => Ok(Step::Again(Route::Slot, true)),
        "TRYAGAIN" => Ok(Step::Split),
        "MOVED" if topology.is_cluster() => {
            topology.doubt(address);
            Ok(Step::Again(Route::Moved(target()?), false))
        }
        "ASK" if topology.is_cluster() => Ok(Step::Again(Route::Ask(target()?), false)),
        _ => {
            topology.doubt(address);
            Err(reply.to_error(address))
        }
    }
}
