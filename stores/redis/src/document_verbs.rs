//! The verbs of documents: what each tells its script, and what the script's answers mean.

use std::time::Duration;

use redis::Cmd;
use tenure_store::{Document, Found, LeaseKey, StoreError, StoreErrorKind, Swapped, Version};

use crate::names;
use crate::script;
use crate::script_reply::ScriptReply;
use crate::verb::{Verb, missing};

/// Leaves `to`, at the version `next`, where the document stands at the version that is expected; `None` is no document.
pub(crate) fn change<'a>(
    key: &'a LeaseKey,
    expected: Option<&'a Version>,
    to: Option<&'a [u8]>,
    next: &'a str,
    channel: &'a str,
) -> Verb<'a, Swapped<Version>> {
    let read = move |_, reply: Option<ScriptReply<'_>>| {
        let reply = reply.ok_or_else(missing)?;
        match (reply.kind(), reply.bytes(1)) {
            ("done", _) => Ok(Swapped::Done(Version::new(next))),
            ("conflict", b"") => Ok(Swapped::Conflict(Found::Nothing)),
            ("conflict", _) => Ok(Swapped::Conflict(Found::Document(document(key, &reply)?))),
            ("unreadable", _) => Err(unreadable(key)),
            _ => Err(reply.unreadable()),
        }
    };
    let arguments = move |command: &mut Cmd, _: &[usize], _: Duration| {
        command.arg(channel).arg(expected.map_or("", Version::as_str)).arg(next);
        command.arg(if to.is_some() { "write" } else { "delete" }).arg(to.unwrap_or_default());
    };
    let verb = Verb::new(&script::DOCUMENT, vec![key], read);
    // What may be evicted is no place for what is to stay; what is there may be deleted from anywhere.
    let grants = to.is_some();
    Verb { with_records: false, documents: true, grants, arguments: Box::new(arguments), ..verb }
}

/// A look at the documents of these keys.
pub(crate) fn read(keys: &[LeaseKey]) -> Verb<'_, Option<Document>> {
    let read = move |item: usize, reply: Option<ScriptReply<'_>>| match reply {
        None => Ok(None),
        Some(reply) => match reply.kind() {
            "document" => document(&keys[item], &reply).map(Some),
            "unreadable" => Err(unreadable(&keys[item])),
            _ => Err(reply.unreadable()),
        },
    };
    let verb = Verb::new(&script::DOCUMENTS, keys.iter().collect(), read);
    Verb { with_records: false, documents: true, ..verb }
}

/// The document in an answer whose second and third word are its version and its value.
fn document(key: &LeaseKey, reply: &ScriptReply<'_>) -> Result<Document, StoreError> {
    let version = std::str::from_utf8(reply.bytes(1)).map_err(|_| reply.unreadable())?;
    Ok(Document { key: key.clone(), version: Version::new(version), value: reply.bytes(2).to_vec() })
}

fn unreadable(key: &LeaseKey) -> StoreError {
    let name = names::document_name(&names::lease_name(key));
    let message = format!(
        "redis: document {key:?}: another program has written what stands there; see it with GET {name}, mend it with DEL"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}
