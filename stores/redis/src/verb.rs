//! A verb for some leases or documents: which script does it, what the script is told, and how its answer reads.

use std::time::Duration;

use redis::{Cmd, Value};
use tenure_store::{LeaseKey, StoreError};

use crate::address::Address;
use crate::error::unanswered;
use crate::names;
use crate::script::Script;
use crate::script_reply::ScriptReply;

/// A verb with its items.
pub(crate) struct Verb<'a, T> {
    /// The script that does it.
    pub(crate) script: &'static Script,
    /// The items' keys.
    pub(crate) keys: Vec<&'a LeaseKey>,
    /// Whether the script needs the items' term records besides their leases.
    pub(crate) with_records: bool,
    /// Whether the items are the documents of these keys, and not their leases.
    pub(crate) documents: bool,
    /// Whether it grants leases, or writes documents: only on a server that is fit for them.
    pub(crate) grants: bool,
    /// Writes the arguments for these items; the duration is for how long the server is known to be running.
    pub(crate) arguments: Arguments<'a>,
    /// Reads the answer for an item; `None` where the script had none for it.
    pub(crate) read: Read<'a, T>,
}

type Arguments<'a> = Box<dyn Fn(&mut Cmd, &[usize], Duration) + Send + Sync + 'a>;
type Read<'a, T> = Box<dyn Fn(usize, Option<ScriptReply<'_>>) -> Result<T, StoreError> + Send + Sync + 'a>;

impl<'a, T> Verb<'a, T> {
    /// A verb whose script needs leases and term records, and no arguments.
    pub(crate) fn new(
        script: &'static Script,
        keys: Vec<&'a LeaseKey>,
        read: impl Fn(usize, Option<ScriptReply<'_>>) -> Result<T, StoreError> + Send + Sync + 'a,
    ) -> Self {
        let (arguments, read) = (Box::new(|_: &mut Cmd, _: &[usize], _| {}), Box::new(read));
        Verb { script, keys, with_records: true, documents: false, grants: false, arguments, read }
    }

    /// The command for these items: EVAL with the `whole` script, or EVALSHA where the server should know it.
    pub(crate) fn command(&self, items: &[usize], whole: bool, uptime: Duration) -> Cmd {
        let mut command = redis::cmd(if whole { "EVAL" } else { "EVALSHA" });
        let keys_per_item = if self.with_records { 2 } else { 1 };
        command.arg(if whole { &self.script.text } else { &self.script.sha }).arg(items.len() * keys_per_item);
        for item in items {
            let name = names::lease_name(self.keys[*item]);
            if self.documents {
                command.arg(names::document_name(&name));
                continue;
            }
            command.arg(&*name);
            if self.with_records {
                command.arg(names::record_name(&name));
            }
        }
        (self.arguments)(&mut command, items, uptime);
        command
    }

    /// The script's answer for each of these items, in their order.
    pub(crate) fn answers(&self, server: &Address, items: &[usize], value: Value) -> Vec<Result<T, StoreError>> {
        let unreadable = |why| items.iter().map(|_| Err(unanswered(server, why))).collect();
        let Value::Array(values) = value else { return unreadable("the script's answer is no list") };
        // They come in the order of the items.
        let mut values = values.into_iter().peekable();
        let mut read = |(at, item): (usize, &usize)| {
            let value = values.next_if(|value| index_of(value) == Some(at));
            let reply = value.map(|value| ScriptReply::read(server, value)).transpose()?;
            (self.read)(*item, reply)
        };
        let answers = items.iter().enumerate().map(&mut read).collect();
        if values.next().is_some() { unreadable("the script's answers are in no order") } else { answers }
    }
}

/// Answers in order for so many items, from pairs of item and answer in any order.
pub(crate) fn in_order<T>(
    count: usize,
    answers: impl IntoIterator<Item = (usize, Result<T, StoreError>)>,
) -> Vec<Result<T, StoreError>> {
    let mut places: Vec<Option<Result<T, StoreError>>> = (0..count).map(|_| None).collect();
    for (item, answer) in answers {
        places[item] = Some(answer);
    }
    places.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missing()))).collect()
}

/// For an item without an answer.
pub(crate) fn missing() -> StoreError {
    unanswered("server", "an answer is missing")
}

/// The place of an answer that is an index, counted from 1, or ends with one.
fn index_of(answer: &Value) -> Option<usize> {
    match answer {
        Value::Int(index) => usize::try_from(index - 1).ok(),
        Value::Array(values) => values.last().and_then(index_of),
        _ => None,
    }
}
