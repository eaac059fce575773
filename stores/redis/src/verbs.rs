//! The verbs: what each writes for its script, and what the script's words mean.

use std::time::Duration;

use redis::{Cmd, Value};
use tenure_store::foreign::{holder_in, holder_of_type, stand_in};
use tenure_store::{Claim, Claimed, Held, LeaseKey, LeaseRecord, Released, Renewed, StoreErrorKind, Term};

use crate::answers::Words;
use crate::batch::Verb;
use crate::failure::Failure;
use crate::link::Live;
use crate::names;
use crate::scripts::{self, Script};

/// Claims.
pub(crate) struct Acquire<'a> {
    /// The items.
    pub(crate) claims: Vec<&'a Claim>,
    /// Whether the server keeps what it acknowledged over a restart.
    pub(crate) durable: bool,
    /// Where to say what was granted.
    pub(crate) channel: &'a str,
}

/// Renewals of leases that stand as their holders believe, all for the same time and with equally long words: note, ttl
/// and term record stay as they are. Answers whether that was so; where not, nothing was done.
pub(crate) struct RenewPlain<'a> {
    /// The items.
    pub(crate) held: Vec<&'a Held>,
    /// For how long, in milliseconds.
    pub(crate) ttl: u64,
    /// How many bytes each one's words have: see [`width`].
    pub(crate) width: usize,
}

/// Renewals, whatever they meet and change.
pub(crate) struct Renew<'a> {
    /// The items.
    pub(crate) held: Vec<&'a Held>,
}

/// Releases.
pub(crate) struct Release<'a> {
    /// The items.
    pub(crate) held: &'a [Held],
    /// Where to say so.
    pub(crate) channel: &'a str,
}

/// One removal.
pub(crate) struct Remove<'a> {
    /// The key.
    pub(crate) key: &'a LeaseKey,
    /// Where to say so.
    pub(crate) channel: &'a str,
}

/// One request to resign.
pub(crate) struct Resign<'a> {
    /// The key.
    pub(crate) key: &'a LeaseKey,
}

/// One look at a key's last term.
pub(crate) struct LastTerm<'a> {
    /// The key.
    pub(crate) key: &'a LeaseKey,
}

/// A list of these keys.
pub(crate) struct List {
    /// The keys.
    pub(crate) keys: Vec<LeaseKey>,
}

/// Whole milliseconds, rounded up: a lease lasts no less than was asked for.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// `TERM NONCE`. A batch writes ten thousand of them, so that the formatting machinery would be felt.
fn tenure(held: &Held) -> Vec<u8> {
    let mut words = Vec::with_capacity(TENURE);
    write_tenure(&mut words, held);
    words
}

/// How long that is, at most.
const TENURE: usize = 16 + 1 + 32;

/// How many bytes stand behind the holder in this tenure's lease.
pub(crate) fn width(held: &Held) -> usize {
    let note = held.note.as_str().len();
    let digits = held.term.get().checked_ilog10().unwrap_or(0) as usize + 1;
    1 + digits + 1 + 32 + if note > 0 { 1 + note } else { 0 }
}

fn write_tenure(words: &mut Vec<u8>, held: &Held) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), held.term.get());
    while rest > 0 {
        at -= 1;
        digits[at] = HEX[(rest % 10) as usize];
        rest /= 10;
    }
    words.extend_from_slice(&digits[at..]);
    words.push(b' ');
    for half in [held.nonce.process, held.nonce.campaign] {
        words.extend((0..16).rev().map(|nibble| HEX[(half >> (4 * nibble) & 15) as usize]));
    }
}

fn each<T>(
    place: &str,
    items: &[usize],
    value: Value,
    read: impl Fn(usize, Words) -> Result<T, Failure>,
) -> Vec<Result<T, Failure>> {
    let mut values = match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    };
    // A script that answers for fewer items than it was given has no answer for the rest.
    values.resize(items.len(), Value::Nil);
    items.iter().zip(values).map(|(item, value)| read(*item, Words::read(place, value)?)).collect()
}

impl Verb for Acquire<'_> {
    type Answer = Claimed;

    fn script(&self) -> &'static Script {
        &scripts::ACQUIRE
    }

    fn len(&self) -> usize {
        self.claims.len()
    }

    fn key(&self, item: usize) -> &LeaseKey {
        &self.claims[item].key
    }

    fn grants(&self) -> bool {
        true
    }

    fn arguments(&self, command: &mut Cmd, items: &[usize], live: &Live) {
        command.arg(u8::from(self.durable)).arg(live.known_up().as_secs()).arg(self.channel);
        for claim in items.iter().map(|item| self.claims[*item]) {
            command
                .arg(names::holder_word(claim.holder.as_str()))
                .arg(claim.nonce.to_string())
                .arg(millis(claim.ttl))
                .arg(millis(claim.hold))
                .arg(claim.above.map_or(0, |term| term.get()))
                .arg(claim.note.as_str());
        }
    }

    fn answers(&self, place: &str, items: &[usize], value: Value) -> Vec<Result<Claimed, Failure>> {
        each(place, items, value, |item, words| {
            let held = |by, term, left| Ok(Claimed::Held { by, term, remaining: words.left(left) });
            let foreign = |by, left| held(by, None, left);
            match words.kind().as_str() {
                "granted" => Ok(Claimed::Granted { term: words.term(1)?, last_note: words.note(2)? }),
                "held" => held(words.holder(1), Some(words.term(2)?), 3),
                "foreign" => foreign(holder_in(words.bytes(1)), 2),
                "typed" => foreign(holder_of_type(&words.text(1).unwrap_or_default()), 2),
                // Always the same name, lest every claim tells of another leader.
                "young" => foreign(
                    stand_in("whoever held before Redis started (waiting until it cannot any more; see durable=true)"),
                    1,
                ),
                "exhausted" => {
                    let Claim { key, above, .. } = self.claims[item];
                    let message = format!("the terms of key {key:?} are exhausted: none is left above {above:?}");
                    Err(Failure::new(StoreErrorKind::Invalid, message))
                }
                _ => Err(words.unreadable()),
            }
        })
    }
}

impl Verb for RenewPlain<'_> {
    type Answer = bool;

    fn script(&self) -> &'static Script {
        &scripts::RENEW
    }

    fn len(&self) -> usize {
        self.held.len()
    }

    fn key(&self, item: usize) -> &LeaseKey {
        &self.held[item].key
    }

    fn with_records(&self) -> bool {
        false
    }

    fn arguments(&self, command: &mut Cmd, items: &[usize], _live: &Live) {
        let mut told = Vec::with_capacity(items.len() * self.width);
        for held in items.iter().map(|item| self.held[*item]) {
            told.push(b' ');
            write_tenure(&mut told, held);
            if !held.note.is_empty() {
                told.push(b' ');
                told.extend_from_slice(held.note.as_str().as_bytes());
            }
        }
        command.arg("plain").arg(self.ttl).arg(self.width).arg(told);
    }

    /// The script names those that it left alone.
    fn answers(&self, place: &str, items: &[usize], value: Value) -> Vec<Result<bool, Failure>> {
        let Value::Array(left) = value else {
            return items.iter().map(|_| Err(Failure::unanswered(place, "the script's answer is no list"))).collect();
        };
        let mut answers: Vec<Result<bool, Failure>> = items.iter().map(|_| Ok(true)).collect();
        for index in left {
            if let Value::Int(index) = index
                && let Some(answer) = usize::try_from(index - 1).ok().and_then(|at| answers.get_mut(at))
            {
                *answer = Ok(false);
            }
        }
        answers
    }
}

impl Verb for Renew<'_> {
    type Answer = Renewed;

    fn script(&self) -> &'static Script {
        &scripts::RENEW
    }

    fn len(&self) -> usize {
        self.held.len()
    }

    fn key(&self, item: usize) -> &LeaseKey {
        &self.held[item].key
    }

    fn arguments(&self, command: &mut Cmd, items: &[usize], _live: &Live) {
        command.arg("full");
        for held in items.iter().map(|item| self.held[*item]) {
            command.arg(tenure(held)).arg(millis(held.ttl)).arg(held.note.as_str());
        }
    }

    /// The script names only what was not simply extended: index, kind, word.
    fn answers(&self, place: &str, items: &[usize], value: Value) -> Vec<Result<Renewed, Failure>> {
        let extended = || Ok(Renewed::Extended { resign_requested: false });
        let mut answers: Vec<Result<Renewed, Failure>> = items.iter().map(|_| extended()).collect();
        let Value::Array(rest) = value else {
            return items.iter().map(|_| Err(Failure::unanswered(place, "the script's answer is no list"))).collect();
        };
        let mut rest = rest.into_iter();
        while let (Some(index), Some(kind), Some(word)) = (rest.next(), rest.next(), rest.next()) {
            let at = match index {
                Value::Int(index) => usize::try_from(index).unwrap_or(0).wrapping_sub(1),
                _ => usize::MAX,
            };
            if let Some(answer) = answers.get_mut(at) {
                *answer = Words::read(place, Value::Array(vec![kind, word])).and_then(|words| renewed(&words));
            }
        }
        answers
    }
}

fn renewed(words: &Words) -> Result<Renewed, Failure> {
    let lost = |to| Ok(Renewed::Lost { to });
    match words.kind().as_str() {
        "asked" => Ok(Renewed::Extended { resign_requested: true }),
        "free" => lost(None),
        "lost" => lost(Some(words.holder(1))),
        "foreign" => lost(Some(holder_in(words.bytes(1)))),
        "typed" => lost(Some(holder_of_type(&words.text(1).unwrap_or_default()))),
        _ => Err(words.unreadable()),
    }
}

impl Verb for Release<'_> {
    type Answer = Released;

    fn script(&self) -> &'static Script {
        &scripts::RELEASE
    }

    fn len(&self) -> usize {
        self.held.len()
    }

    fn key(&self, item: usize) -> &LeaseKey {
        &self.held[item].key
    }

    fn arguments(&self, command: &mut Cmd, items: &[usize], _live: &Live) {
        command.arg(self.channel);
        for held in items.iter().map(|item| &self.held[*item]) {
            command.arg(tenure(held)).arg(held.note.as_str());
        }
    }

    fn answers(&self, place: &str, items: &[usize], value: Value) -> Vec<Result<Released, Failure>> {
        each(place, items, value, |_, words| match words.kind().as_str() {
            "freed" => Ok(Released::Freed),
            "not held" => Ok(Released::NotHeld),
            _ => Err(words.unreadable()),
        })
    }
}

impl Verb for Remove<'_> {
    type Answer = Option<LeaseRecord>;

    fn script(&self) -> &'static Script {
        &scripts::REMOVE
    }

    fn len(&self) -> usize {
        1
    }

    fn key(&self, _item: usize) -> &LeaseKey {
        self.key
    }

    fn arguments(&self, command: &mut Cmd, _items: &[usize], _live: &Live) {
        command.arg(self.channel);
    }

    fn answers(&self, place: &str, _: &[usize], value: Value) -> Vec<Result<Option<LeaseRecord>, Failure>> {
        let read = |words: Words| match words.kind().as_str() {
            "none" => None,
            _ => Some(words.record(self.key.clone())),
        };
        vec![Words::read(place, value).map(read)]
    }
}

impl Verb for Resign<'_> {
    type Answer = bool;

    fn script(&self) -> &'static Script {
        &scripts::RESIGN
    }

    fn len(&self) -> usize {
        1
    }

    fn key(&self, _item: usize) -> &LeaseKey {
        self.key
    }

    fn with_records(&self) -> bool {
        false
    }

    fn arguments(&self, _command: &mut Cmd, _items: &[usize], _live: &Live) {}

    fn answers(&self, place: &str, _: &[usize], value: Value) -> Vec<Result<bool, Failure>> {
        vec![Words::read(place, value).map(|words| words.kind() == "asked")]
    }
}

impl Verb for LastTerm<'_> {
    type Answer = Option<Term>;

    fn script(&self) -> &'static Script {
        &scripts::TERM
    }

    fn len(&self) -> usize {
        1
    }

    fn key(&self, _item: usize) -> &LeaseKey {
        self.key
    }

    fn arguments(&self, _command: &mut Cmd, _items: &[usize], _live: &Live) {}

    fn answers(&self, place: &str, _: &[usize], value: Value) -> Vec<Result<Option<Term>, Failure>> {
        let read = |words: Words| match words.kind().as_str() {
            "none" => Ok(None),
            _ => words.term(1).map(Some),
        };
        vec![Words::read(place, value).and_then(read)]
    }
}

impl Verb for List {
    type Answer = Option<LeaseRecord>;

    fn script(&self) -> &'static Script {
        &scripts::LIST
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn key(&self, item: usize) -> &LeaseKey {
        &self.keys[item]
    }

    fn arguments(&self, _command: &mut Cmd, _items: &[usize], _live: &Live) {}

    fn answers(&self, place: &str, items: &[usize], value: Value) -> Vec<Result<Option<LeaseRecord>, Failure>> {
        let Value::Array(mut values) = value else {
            return items.iter().map(|_| Err(Failure::unanswered(place, "the script's answer is no list"))).collect();
        };
        values.resize(items.len(), Value::Nil);
        let read = |item: &usize, value| match value {
            Value::Nil => Ok(None),
            value => Words::read(place, value).map(|words| Some(words.record(self.keys[*item].clone()))),
        };
        items.iter().zip(values).map(|(item, value)| read(item, value)).collect()
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
