//! A lease whose slot a cluster is migrating from a source to a target: lease and term record may lie on two nodes, and a script
//! that names both runs on neither (TRYAGAIN). So the record is read by itself, the step is taken where the lease is, with that
//! record in hand, and what the step makes of the record is written back if nobody changed it meanwhile.
//!
//! That is safe because a key that is missing at the source can appear at the target alone: the source redirects whoever wants
//! to create it there (ASK). So
//! 1. a lease is created at the target only after the source has said that it has none, in the same step with a record beside
//!    it, which from then on is the later one; what the source still has of an older record is deleted right after, lest the
//!    migration end at a name that is taken (BUSYKEY);
//! 2. the record's term does not change at the source any more once the lease is gone from there, so that what was read of it
//!    still holds at the target; where both nodes have a record the higher term counts;
//! 3. either node may have lost what was granted: a claim waits until both have been running for its ttl.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::{Cmd, Value};
use tenure_store::StoreError;
use tokio::time::Instant;

use crate::address::Address;
use crate::error::{ErrorReply, for_read, unanswered};
use crate::names;
use crate::script;
use crate::script_reply::bytes;
use crate::server::{SendError, Server, Session};
use crate::topology::Topology;
use crate::verb::Verb;

/// Does the verb for one item. `None` where nothing was done and the migration has come to another stage.
pub(crate) async fn run<T>(
    topology: &Topology,
    verb: &Verb<'_, T>,
    item: usize,
    deadline: Instant,
) -> Option<Result<T, StoreError>> {
    let lease = names::lease_name(verb.keys[item]);
    let record = names::record_name(&lease);
    // Boxed, as all that waits for a server: it is compiled once, and not again for each kind of answer.
    let source: BoxFuture<'_, _> = Box::pin(topology.server(names::slot(&lease), deadline));
    let source = match source.await {
        Ok(source) => source,
        Err(error) => return Some(Err(error)),
    };
    let migration = Migration { topology, source, record: &record, grants: verb.grants, deadline };
    migration.step(verb, item, &lease).await.transpose()
}

/// One step during a migration. The target is not known: the source names it with ASK.
struct Migration<'a> {
    topology: &'a Topology,
    source: Arc<Server>,
    record: &'a str,
    grants: bool,
    deadline: Instant,
}

/// An answer, and which node gave it.
struct NodeAnswer {
    value: Value,
    node: Address,
    by_source: bool,
}

impl Migration<'_> {
    async fn step<T>(&self, verb: &Verb<'_, T>, item: usize, lease: &str) -> Result<Option<T>, StoreError> {
        // 1. The record as it stands, on whichever node.
        let read = self.send(&|_, _| command(script::RECORD, self.record, &[b"read"])).await;
        let Some(read) = read.map_err(for_read)? else { return Ok(None) };
        let known = bytes(Some(&read.value));
        // 2. The step, where the lease is or is to be created.
        let step = |session: &Session, source: &Session| {
            let source_up = source.min_uptime().as_secs().to_string();
            let arguments: [&[u8]; 3] = [self.record.as_bytes(), known, source_up.as_bytes()];
            let mut command = command(&verb.script.migrating, lease, &arguments);
            (verb.arguments)(&mut command, &[item], session.min_uptime());
            command
        };
        let Some(done) = self.send(&step).await? else { return Ok(None) };
        let unreadable = || unanswered(&done.node, "the script's answer is no list");
        let Value::Array(arguments) = &done.value else { return Err(unreadable()) };
        let [answer, rest @ ..] = arguments.as_slice() else { return Err(unreadable()) };
        let answer = verb.answers(&done.node, &[item], answer.clone()).pop().unwrap_or_else(|| Err(unreadable()))?;
        // 3. The record, where the step has changed it or written a later one. If another client was faster, its record stays.
        match bytes(rest.first()) {
            b"elsewhere" => self.swap([known, bytes(rest.get(1)), bytes(rest.get(2))]).await?,
            b"here" if read.by_source && !done.by_source && !known.is_empty() => self.clear_source(known).await,
            _ => {}
        }
        Ok(Some(answer))
    }

    /// Replaces the record. The step itself is done already, so that no error may say that nothing was.
    async fn swap(&self, [old, new, millis]: [&[u8]; 3]) -> Result<(), StoreError> {
        let why = match self.send(&|_, _| command(script::RECORD, self.record, &[b"swap", old, new, millis])).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => "the slot moved on before the term record was written".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(unanswered(self.source.address(), why))
    }

    /// Deletes an older record at the source, and there alone: if it has been migrated already (ASK), it is the record that
    /// counts.
    async fn clear_source(&self, known: &[u8]) {
        let swap = command(script::RECORD, self.record, &[b"swap", known, b"", b""]);
        let why = match self.source.session_for(self.grants, self.deadline).await {
            Ok(source) => match source.send(&swap, self.deadline).await {
                Ok(_) => return,
                Err(error) => error.for_read(self.source.address()),
            },
            Err(error) => error,
        };
        tracing::debug!(%why, "an older term record may be left on the node that the slot leaves");
    }

    /// Sends a command that names one key to the source, and to the target where the source says that it has not got that
    /// key. `None` where the source is not the source any more. `command` is given the session that it is for, and the
    /// source's.
    fn send<'a>(
        &'a self,
        command: &'a (dyn Fn(&Session, &Session) -> Cmd + Sync),
    ) -> BoxFuture<'a, Result<Option<NodeAnswer>, StoreError>> {
        Box::pin(self.exchange(command))
    }

    async fn exchange(
        &self,
        command: &(dyn Fn(&Session, &Session) -> Cmd + Sync),
    ) -> Result<Option<NodeAnswer>, StoreError> {
        let (source, address) = (self.source.session_for(self.grants, self.deadline).await?, self.source.address());
        let reply = match source.send(&command(&source, &source), self.deadline).await {
            Err(SendError::Refused(reply)) if reply.code == "ASK" => reply,
            answer => return self.answer(address, answer),
        };
        let target = reply.redirected_to(address).ok_or_else(|| reply.to_error(address))?;
        let session = self.topology.server_at(&target).session_for(self.grants, self.deadline).await;
        let session = session.inspect_err(|_| self.topology.doubt(&target))?;
        self.answer(&target, session.send_asking(command(&session, &source), self.deadline).await)
    }

    /// `None` for an error reply after which the ordinary way is right again.
    fn answer(&self, node: &Address, answer: Result<Value, SendError>) -> Result<Option<NodeAnswer>, StoreError> {
        if answer.is_err() {
            self.topology.doubt(node);
        }
        match answer {
            Ok(value) => Ok(Some(NodeAnswer { value, node: node.clone(), by_source: node == self.source.address() })),
            Err(SendError::Unanswered(error)) => Err(error),
            Err(SendError::Refused(ErrorReply { code, .. })) if code == "MOVED" || code == "TRYAGAIN" => Ok(None),
            Err(SendError::Refused(reply)) => Err(reply.to_error(node)),
        }
    }
}

fn command(script: &str, key: &str, arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}
