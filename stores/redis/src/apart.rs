//! A lease apart from its term record: while a cluster moves their slot from its source to a target, either may have gone
//! already, and a script that names both runs on neither node. So the record is read by itself, the step is taken where the
//! lease is, with that record in hand, and what it makes of the record is written back if nobody changed it meanwhile.
//!
//! That is safe because a key that is missing at the source can appear at the target alone: the source sends whoever wants to
//! make it there (ASK). So
//! 1. a lease is made at the target only after the source has said that it has none, in the same step with a record beside
//!    it, which from then on is the later one; what the source still has of an older record is deleted right after, lest the
//!    move end at a name that is taken (BUSYKEY);
//! 2. the record's term does not change at the source any more once the lease is gone from there, so that what was read of it
//!    still holds at the target; where both nodes have a record the higher term counts;
//! 3. what was granted may have been forgotten by either node: a claim waits until both are up for its ttl.

use std::sync::Arc;

use redis::{Cmd, Value};
use tokio::time::Instant;

use crate::batch::{Verb, live};
use crate::failure::{Failure, Reply};
use crate::link::{Link, Live, Sent};
use crate::names;
use crate::scripts;
use crate::topology::Topology;

/// Does the verb for one item. `None` where nothing was done and the slot has come to another stage of its move.
pub(crate) async fn run<V: Verb>(
    topology: &Topology,
    verb: &V,
    item: usize,
    deadline: Instant,
) -> Option<Result<V::Answer, Failure>> {
    let lease = names::lease_name(verb.key(item));
    let record = names::record_name(&lease);
    let source = match topology.link(names::slot(&lease), deadline).await {
        Ok(source) => source,
        Err(failure) => return Some(Err(failure)),
    };
    let both = Both { topology, source, deadline };
    match both.step(verb, item, &lease, &record).await {
        Ok(answer) => answer.map(Ok),
        Err(failure) => Some(Err(failure)),
    }
}

/// The two nodes; which one the target is, the source says.
struct Both<'a> {
    topology: &'a Topology,
    source: Arc<Link>,
    deadline: Instant,
}

/// An answer, and where it was given.
struct Said {
    value: Value,
    place: String,
    at_source: bool,
}

impl Both<'_> {
    async fn step<V: Verb>(
        &self,
        verb: &V,
        item: usize,
        lease: &str,
        record: &str,
    ) -> Result<Option<V::Answer>, Failure> {
        // 1. The record as it stands, wherever that is.
        let read = self.send(verb, &|_, _| command(scripts::RECORD, record, &[b"read"])).await;
        let Some(read) = read.map_err(Failure::of_question)? else { return Ok(None) };
        let known = bytes(Some(&read.value));
        // 2. The step, where the lease is or is to be made.
        let step = |live: &Live, source: &Live| {
            let up = source.known_up().as_secs().to_string();
            let mut command = command(&verb.script().apart, lease, &[record.as_bytes(), known, up.as_bytes()]);
            verb.arguments(&mut command, &[item], live);
            command
        };
        let Some(done) = self.send(verb, &step).await? else { return Ok(None) };
        let unreadable = || Failure::unanswered(&done.place, "the script's answer is no list");
        let Value::Array(words) = &done.value else { return Err(unreadable()) };
        let [answer, rest @ ..] = words.as_slice() else { return Err(unreadable()) };
        let answer = verb.answers(&done.place, &[item], answer.clone()).pop().unwrap_or_else(|| Err(unreadable()))?;
        // 3. What is to become of the record. Where it has changed, that is whoever changed it's to know.
        match bytes(rest.first()) {
            b"left" => self.swap(verb, record, [known, bytes(rest.get(1)), bytes(rest.get(2))]).await?,
            b"here" if read.at_source && !done.at_source && !known.is_empty() => {
                self.clear_source(verb, record, known).await;
            }
            _ => {}
        }
        Ok(Some(answer))
    }

    /// The step itself is done already, so that no failure may say that nothing was.
    async fn swap<V: Verb>(&self, verb: &V, record: &str, [old, new, millis]: [&[u8]; 3]) -> Result<(), Failure> {
        let sent = self.send(verb, &|_, _| command(scripts::RECORD, record, &[b"swap", old, new, millis])).await;
        let why = match sent {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => "the slot moved on before the term record was written".to_owned(),
            Err(failure) => failure.message,
        };
        Err(Failure::unanswered(&self.source.address().to_string(), why))
    }

    /// Deletes an older record at the source, and there alone: where it has gone to the target already (ASK), it is the
    /// record that counts.
    async fn clear_source<V: Verb>(&self, verb: &V, record: &str, known: &[u8]) {
        let swap = command(scripts::RECORD, record, &[b"swap", known, b"", b""]);
        let why = match live(&self.source, verb, self.deadline).await {
            Ok(source) => match source.send(&swap, self.deadline).await {
                Sent::Answered(_) => return,
                Sent::Refused(reply) => reply.code,
                Sent::Failed(failure) => failure.message,
            },
            Err(failure) => failure.message,
        };
        tracing::debug!(why, "an older term record may be left where the slot moves from");
    }

    /// Sends what names one key to the source, and to the target where the source says that it has not got that key. `None`
    /// where the source is not the one any more. `command` is told whom it is for, and the source that was asked.
    async fn send<V: Verb>(
        &self,
        verb: &V,
        command: &(dyn Fn(&Live, &Live) -> Cmd + Sync),
    ) -> Result<Option<Said>, Failure> {
        let source = live(&self.source, verb, self.deadline).await?;
        let reply = match source.send(&command(&source, &source), self.deadline).await {
            Sent::Answered(value) => {
                return Ok(Some(Said { value, place: source.place().to_owned(), at_source: true }));
            }
            Sent::Refused(reply) if reply.code == "ASK" => reply,
            Sent::Refused(reply) => return self.refused(&self.source, &reply),
            Sent::Failed(failure) => return Err(self.failed(&self.source, failure)),
        };
        let failure = || reply.failure(source.place());
        let target = reply.elsewhere(self.source.address()).ok_or_else(failure)?;
        let target = self.topology.link_at(&target).ok_or_else(failure)?;
        let live = live(&target, verb, self.deadline).await.map_err(|failure| self.failed(&target, failure))?;
        match live.send_asking(command(&live, &source), self.deadline).await {
            Sent::Answered(value) => Ok(Some(Said { value, place: live.place().to_owned(), at_source: false })),
            Sent::Refused(reply) => self.refused(&target, &reply),
            Sent::Failed(failure) => Err(self.failed(&target, failure)),
        }
    }

    /// A refusal after which the ordinary way is right again, or a failure.
    fn refused<T>(&self, link: &Link, reply: &Reply) -> Result<Option<T>, Failure> {
        self.topology.doubt(link.address());
        match reply.code.as_str() {
            "MOVED" | "TRYAGAIN" => Ok(None),
            _ => Err(reply.failure(&link.address().to_string())),
        }
    }

    fn failed(&self, link: &Link, failure: Failure) -> Failure {
        self.topology.doubt(link.address());
        failure
    }
}

fn bytes(value: Option<&Value>) -> &[u8] {
    match value {
        Some(Value::BulkString(bytes)) => bytes,
        Some(Value::SimpleString(text)) => text.as_bytes(),
        _ => b"",
    }
}

fn command(script: &str, key: &str, words: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(1).arg(key);
    words.iter().for_each(|word| {
        command.arg(*word);
    });
    command
}
