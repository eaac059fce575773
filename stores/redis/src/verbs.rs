//! The verbs of a lease store: what each tells its script, and what the script's answers mean.

use std::time::Duration;

use redis::Cmd;
use tenure_store::{
    BoundClaim, Claim, Claimed, Held, LeaseKey, LeaseRecord, Released, Renewed, StoreError, StoreErrorKind, Term,
};

use crate::names;
use crate::script;
use crate::script_reply::ScriptReply;
use crate::verb::{Verb, missing};

/// Claims. `durable`: whether the server keeps what it acknowledged over a restart.
pub(crate) fn acquire<'a>(claims: &'a [&'a Claim], durable: bool, channel: &'a str) -> Verb<'a, Claimed> {
    let read = move |item: usize, reply: Option<ScriptReply<'_>>| {
        let reply = reply.ok_or_else(missing)?;
        match reply.kind() {
            "granted" => Ok(Claimed::Granted { term: reply.term(1)?, last_note: reply.note(2)? }),
            "stale" => Ok(Claimed::Stale { last_term: reply.last_term(1)? }),
            "exhausted" => {
                let Claim { key, above, .. } = claims[item];
                let message = format!("the terms of key {key:?} are exhausted: none is left above {above:?}");
                Err(StoreError::new(StoreErrorKind::Invalid, message))
            }
            kind => {
                let term = if kind == "held" { Some(reply.term(3)?) } else { None };
                Ok(Claimed::Held {
                    by: reply.other_holder()?,
                    term,
                    remaining: reply.time_left(2),
                    bound: reply.bound(4),
                })
            }
        }
    };
    let arguments = move |command: &mut Cmd, items: &[usize], uptime: Duration| {
        command.arg(u8::from(durable)).arg(uptime.as_secs()).arg(channel);
        for claim in items.iter().map(|item| claims[*item]) {
            command
                .arg(names::holder_word(claim.holder.as_str()))
                .arg(claim.nonce.to_string())
                .arg(millis(claim.ttl))
                .arg(millis(claim.hold))
                .arg(claim.above.map_or(0, Term::get))
                .arg(claim.note.as_str());
            let last_term = |bound: &BoundClaim| bound.last_term.map_or(0, Term::get).to_string();
            let bound = claim.bound.as_ref();
            command
                .arg(bound.map(|bound| names::bound_word(&bound.to)).unwrap_or_default())
                .arg(bound.map(last_term).unwrap_or_default())
                .arg(claim.displaces.as_ref().map(names::bound_word).unwrap_or_default());
        }
    };
    let keys = claims.iter().map(|claim| &claim.key).collect();
    Verb { grants: true, arguments: Box::new(arguments), ..Verb::new(&script::ACQUIRE, keys, read) }
}

/// Renewals, whatever they meet and change.
pub(crate) fn renew<'a>(held: &'a [&'a Held]) -> Verb<'a, Renewed> {
    let read = |_, reply: Option<ScriptReply<'_>>| {
        let Some(reply) = reply else { return Ok(Renewed::Extended { resign_requested: false }) };
        match reply.kind() {
            "asked" => Ok(Renewed::Extended { resign_requested: true }),
            "free" => Ok(Renewed::Lost { to: None }),
            _ => Ok(Renewed::Lost { to: Some(reply.other_holder()?) }),
        }
    };
    let arguments = move |command: &mut Cmd, items: &[usize], _| {
        command.arg("full");
        for held in items.iter().map(|item| held[*item]) {
            command.arg(tenure(held)).arg(millis(held.ttl)).arg(held.note.as_str());
        }
    };
    let verb = Verb::new(&script::RENEW, keys_of(held), read);
    Verb { arguments: Box::new(arguments), ..verb }
}

/// Renewals that change neither note nor ttl nor term record, all for the same time in milliseconds and with equally many
/// bytes to compare (see [`width`]). Answers `None` where the lease does not stand so; then nothing was done.
pub(crate) fn extend<'a>(held: &'a [&'a Held], ttl: u64, width: usize) -> Verb<'a, Option<Renewed>> {
    let read = |_, reply: Option<ScriptReply<'_>>| {
        Ok(reply.is_none().then_some(Renewed::Extended { resign_requested: false }))
    };
    let arguments = move |command: &mut Cmd, items: &[usize], _| {
        let mut expected = Vec::with_capacity(items.len() * width);
        for held in items.iter().map(|item| held[*item]) {
            expected.push(b' ');
            write_tenure(&mut expected, held);
            if !held.note.is_empty() {
                expected.push(b' ');
                expected.extend_from_slice(held.note.as_str().as_bytes());
            }
        }
        command.arg("extend").arg(ttl).arg(width).arg(expected);
    };
    let verb = Verb::new(&script::RENEW, keys_of(held), read);
    Verb { with_records: false, arguments: Box::new(arguments), ..verb }
}

/// Releases.
pub(crate) fn release<'a>(held: &'a [&'a Held], channel: &'a str) -> Verb<'a, Released> {
    let read = |_, reply: Option<ScriptReply<'_>>| {
        let reply = reply.ok_or_else(missing)?;
        match reply.kind() {
            "freed" => Ok(Released::Freed),
            "not held" => Ok(Released::NotHeld),
            _ => Err(reply.unreadable()),
        }
    };
    let arguments = move |command: &mut Cmd, items: &[usize], _| {
        command.arg(channel);
        for held in items.iter().map(|item| held[*item]) {
            command.arg(tenure(held)).arg(held.note.as_str());
        }
    };
    Verb { arguments: Box::new(arguments), ..Verb::new(&script::RELEASE, keys_of(held), read) }
}

/// A removal by force; answers what stood there.
pub(crate) fn remove<'a>(key: &'a LeaseKey, channel: &'a str) -> Verb<'a, Option<LeaseRecord>> {
    let read = |_, reply: Option<ScriptReply<'_>>| {
        let reply = reply.ok_or_else(missing)?;
        Ok((reply.kind() != "none").then(|| reply.record(key.clone())))
    };
    let arguments = move |command: &mut Cmd, _: &[usize], _| {
        command.arg(channel);
    };
    Verb { arguments: Box::new(arguments), ..Verb::new(&script::REMOVE, vec![key], read) }
}

/// A request to resign; answers whether there is a holder who may hear it.
pub(crate) fn request_resign(key: &LeaseKey) -> Verb<'_, bool> {
    let read = |_, reply: Option<ScriptReply<'_>>| Ok(reply.ok_or_else(missing)?.kind() == "asked");
    Verb { with_records: false, ..Verb::new(&script::RESIGN, vec![key], read) }
}

/// A look at a key's last term.
pub(crate) fn last_term(key: &LeaseKey) -> Verb<'_, Option<Term>> {
    let read = |_, reply: Option<ScriptReply<'_>>| {
        let reply = reply.ok_or_else(missing)?;
        if reply.kind() == "none" { Ok(None) } else { reply.term(1).map(Some) }
    };
    Verb::new(&script::TERM, vec![key], read)
}

/// A look at the records of these keys.
pub(crate) fn list(keys: &[LeaseKey]) -> Verb<'_, Option<LeaseRecord>> {
    let read = |item: usize, reply: Option<ScriptReply<'_>>| Ok(reply.map(|reply| reply.record(keys[item].clone())));
    Verb::new(&script::LIST, keys.iter().collect(), read)
}

/// Whole milliseconds, rounded up: a lease lasts no less than was asked for.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// How many bytes stand behind the holder in this tenure's lease: ` TERM NONCE[ NOTE]`.
pub(crate) fn width(held: &Held) -> usize {
    let note = held.note.as_str().len();
    let digits = held.term.get().checked_ilog10().unwrap_or(0) as usize + 1;
    1 + digits + 1 + 32 + if note > 0 { 1 + note } else { 0 }
}

fn keys_of<'a>(held: &[&'a Held]) -> Vec<&'a LeaseKey> {
    held.iter().map(|held| &held.key).collect()
}

/// `TERM NONCE`.
fn tenure(held: &Held) -> Vec<u8> {
    const LONGEST: usize = 16 + 1 + 32;
    let mut text = Vec::with_capacity(LONGEST);
    write_tenure(&mut text, held);
    text
}

/// Writes the digits without the formatting machinery, which takes several times as long: a batch has ten thousand of them.
fn write_tenure(text: &mut Vec<u8>, held: &Held) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    text.extend_from_slice(itoa::Buffer::new().format(held.term.get()).as_bytes());
    text.push(b' ');
    for half in [held.nonce.process, held.nonce.campaign] {
        text.extend((0..16).rev().map(|nibble| HEX[(half >> (4 * nibble) & 15) as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_store::{Nonce, Note};

    /// A tenure is written as its term and nonce print themselves.
    #[test]
    fn tenures_are_written_as_they_print() {
        for (term, process, campaign) in [(1, 0, 0), (10, 1, u64::MAX), (Term::LIMIT - 1, 0xdead_beef, 42)] {
            let (term, nonce) = (Term::new(term).unwrap(), Nonce { process, campaign });
            let key = LeaseKey::new("k").unwrap();
            let held = Held { key, nonce, term, ttl: Duration::from_secs(1), note: Note::default() };
            assert_eq!(tenure(&held), format!("{term} {nonce}").into_bytes());
            assert_eq!(width(&held), format!(" {term} {nonce}").len());
            let noted = Held { note: Note::new("né").unwrap(), ..held };
            assert_eq!(width(&noted), format!(" {term} {nonce} né").len());
        }
    }

    /// A lease lasts no less than was asked for.
    #[test]
    fn durations_are_rounded_up() {
        assert_eq!(millis(Duration::from_millis(15)), 15);
        assert_eq!(millis(Duration::from_nanos(15_000_001)), 16);
    }
}
